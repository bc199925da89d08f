"""What the page does with a picture: files in, files out; nothing of the page itself."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from ugpnet_core.errors import ImageError
from ugpnet_core.image import EXTENSIONS, read_image, resize, write_image
from ugpnet_core.inference.restored import Restored
from ugpnet_core.inference.restorer import Restorer
from ugpnet_core.inference.writing import Writing

# A browser shows no more, and phones choke on it.
SHOWN = 2048
# Restorers that are kept: another fidelity makes another one.
_KEPT = 2


@dataclass(frozen=True)
class Pictures:
    """Files for the page, in a folder of their own.

    Attributes:
        before, after: the same size, for the slider.
        regression, synthesis: x_reg and x_syn.
        result: for downloading, in full size and of the input's kind.
        words: what there is to say, a sentence each.
    """

    before: Path
    after: Path
    regression: Path
    synthesis: Path
    result: Path
    words: tuple[str, ...]


def restore_upload(
    path: Path,
    folder: Path,
    *,
    model: str,
    fidelity: float,
    faces: bool,
    megapixels: float,
) -> Pictures:
    """Restore a file and write everything that the page shows.

    Args:
        path: what was uploaded, named as on the user's machine.
        folder: for the results.
        fidelity, faces: see :class:`Restorer`.
        megapixels: largest picture that is taken.

    Raises:
        UGPNetError: it cannot be read or restored, or is too large.
    """
    photo = read_image(path)
    height, width = photo.pixels.shape[-2:]
    if height * width > megapixels * 1e6:
        raise ImageError(
            f"{path.name} has {height * width / 1e6:.3g} megapixels and this page takes up to "
            f"{megapixels:g}; use the command ugpnet restore, or start the page with "
            "--max-megapixels."
        )
    restorer = _restorer(model, fidelity, "auto" if faces else "off")
    restored = restorer.restore_tensor(photo.pixels)
    place = Path(tempfile.mkdtemp(dir=folder))
    suffix = path.suffix if path.suffix.lower() in EXTENSIONS else ".png"
    result = place / f"{path.stem}_restored{suffix}"
    Writing()(result, restored.image, photo)
    large = restored.image.shape[-2:]
    return Pictures(
        before=_shown(place / "before.png", resize(photo.pixels, large)),
        after=_shown(place / "after.png", restored.image),
        regression=_shown(place / "x_reg.png", restored.regression),
        synthesis=_shown(place / "x_syn.png", restored.synthesis),
        result=result,
        words=(*_words(restorer, restored, faces), *photo.notices),
    )


@functools.lru_cache(maxsize=_KEPT)
def _restorer(model: str, fidelity: float, faces: Literal["auto", "off"]) -> Restorer:
    return Restorer(model, fidelity=fidelity, faces=faces)


def _shown(path: Path, pixels: Tensor) -> Path:
    """Write a picture no larger than what is shown."""
    height, width = pixels.shape[-2:]
    share = min(1.0, SHOWN / max(height, width))
    write_image(path, resize(pixels, [max(1, round(side * share)) for side in (height, width)]))
    return path


def _words(restorer: Restorer, restored: Restored, faces: bool) -> tuple[str, ...]:
    height, width = restored.image.shape[-2:]
    words = [f"{width}x{height} pixels."]
    if restorer.domain == "faces" and faces:
        count = len(restored.faces[0])
        many = {0: "No face was found: nothing was invented.", 1: "One face got detail."}
        words.append(many.get(count, f"{count} faces got detail."))
    return (*words, *(f"Note: {notice}." for notice in restored.notices))
