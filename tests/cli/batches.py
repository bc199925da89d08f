"""What tests of batches share: pictures, commands, and what is in a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from ugpnet_core.cli import main
from ugpnet_core.image import write_image

COMMAND = [sys.executable, "-m", "ugpnet_core.cli"]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def degrade(*arguments: object) -> int:
    """The shared rules by the command that needs no model."""
    return run("degrade", "--task", "denoise", *arguments)


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def make(folder: Path, *wanted: str) -> Path:
    for name in wanted:
        write_image(folder / name, torch.full((3, 8, 8), 0.5))
    return folder


def many(folder: Path, count: int) -> Path:
    return make(folder, *(f"{number:03}.png" for number in range(count)))
