"""Names of files by a pattern: which files belong to a photograph, such as ``{stem}x4``."""

from __future__ import annotations

import re

from ugpnet_core.image.files import EXTENSIONS

STEM, NAME = "{stem}", "{name}"


def expression(pattern: str, stem: str, name: str) -> re.Pattern[str]:
    """What a path has to match as a whole to be meant by a pattern.

    Args:
        pattern: ``{stem}`` stands for ``stem``, ``{name}`` for ``name``, and ``*`` for anything but
            "/". Without an extension of an image, the path may have any.
        stem, name: of the photograph; a star in them is none.
    """
    meant = {NAME: re.escape(name), STEM: re.escape(stem), "*": "[^/]*"}
    parts = re.split(r"(\{name\}|\{stem\}|\*)", pattern)
    written = "".join(meant.get(part, re.escape(part)) for part in parts)
    if not pattern.lower().endswith(EXTENSIONS):
        written += r"\.[^/.]+"
    return re.compile(written)
