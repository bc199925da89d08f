"""What libraries say of files that they cannot read, in one sentence for whoever owns the file."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import UnidentifiedImageError

from ugpnet_core.errors import ImageError

_UNKNOWN = re.compile("unsupported|not supported|unimplemented", re.IGNORECASE)


def unreadable(path: Path, kind: str, error: Exception) -> ImageError:
    """The error of a file that a library could not read: it is damaged, or of a sort that the
    library says it does not know."""
    if isinstance(error, UnidentifiedImageError):
        return ImageError(f"{path} is a damaged {kind} file; replace or remove it.")
    reason = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, NotImplementedError) or _UNKNOWN.search(reason):
        return ImageError(
            f"{path} is a {kind} file of a sort that cannot be read ({reason}); export it as PNG, "
            "TIFF or JPEG."
        )
    return ImageError(f"{path} is damaged ({reason}); replace or remove it.")
