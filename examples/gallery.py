"""Photographs before and after, as docs/gallery.md shows them, and the picture of the README.

    python -m examples.gallery

The photographs come with scikit-image and are in the public domain or CC0; the shipped model has
never seen them. They are degraded with fixed seeds by steps of the toolkit.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ugpnet_core as ug
from ugpnet_core.degradations.composition import composition
from ugpnet_core.image import from_levels
from ugpnet_core.image.sheet import side_by_side
from ugpnet_core.metrics.pixel import psnr
from ugpnet_core.seeding import rng_for

ROOT = Path(__file__).parents[1]
MODEL = "portraits"
Step = Mapping[str, Mapping[str, Any]]
EVENING: tuple[Step, ...] = (
    {"blur": {"sigma": 0.7, "isotropic": 1, "kernel_size": 9}},
    {"noise": {"sigma": 0.05, "k": 120}},
    {"jpeg": {"quality": 80}},
)
SIDE = 256


class Scene(NamedTuple):
    """A photograph of scikit-image, a square of it, and what happens to that.

    Attributes:
        title: What it shows.
        photograph: The name in ``skimage.data``.
        corner: The row and column where the square of 256 pixels begins.
        steps: What degrades it.
        words: What there is to see.
    """

    title: str
    photograph: str
    corner: tuple[int, int]
    steps: Sequence[Step]
    words: str


SCENES = (
    Scene(
        "An evening",
        "astronaut",
        (0, 96),
        EVENING,
        "A soft lens, noise and JPEG of quality 80. The noise goes; eyes, mouth and hair stay "
        "where they are.",
    ),
    Scene(
        "An old print",
        "astronaut",
        (0, 96),
        ({"grey": {}}, {"noise": {"sigma": 0.08, "grey": 1}}),
        "Grey, with grain. What is grey comes back grey: no colours are invented.",
    ),
    Scene(
        "High sensitivity",
        "chelsea",
        (20, 90),
        ({"noise": {"sigma": 0.1}},),
        "Noise of standard deviation 0.1 on what is no face: the restoration module alone is at "
        "work.",
    ),
    Scene(
        "A quick snapshot",
        "coffee",
        (60, 130),
        ({"noise": {"sigma": 0.06, "k": 200}}, {"jpeg": {"quality": 60}}),
        "Noise, then JPEG of quality 60.",
    ),
    Scene(
        "A small copy",
        "rocket",
        (60, 190),
        ({"rescale": {"factor": 2}}, {"noise": {"sigma": 0.04}}),
        "Half the size and back, then noise. Details that are gone do not come back.",
    ),
    Scene(
        "Too much",
        "astronaut",
        (0, 96),
        ({"blur": {"sigma": 3, "isotropic": 1, "kernel_size": 21}}, {"noise": {"sigma": 0.15}}),
        "Strong blur under strong noise. The noise goes, the blur stays, and the skin is blotchy: "
        "this is where the shipped model ends.",
    ),
)


class Made(NamedTuple):
    """A scene's pictures, RGB (3, 256, 256), and how close they are to the original, in dB."""

    pictures: Mapping[str, Any]
    before: float
    after: float


def photograph(scene: Scene) -> Any:
    """The clean square of a scene, RGB (3, 256, 256)."""
    top, left = scene.corner
    levels = levels_of(scene.photograph)
    return from_levels(levels[top : top + SIDE, left : left + SIDE])


def levels_of(photograph: str) -> Any:
    """A photograph of scikit-image, RGB (H, W, 3), uint8."""
    from skimage import data

    return getattr(data, photograph)()


def make(scene: Scene, restorer: ug.Restorer) -> Made:
    """Degrade and restore a scene."""
    clean = photograph(scene)
    before = composition(scene.steps)(clean, rng_for(1, scene.title))
    if any("grey" in step for step in scene.steps):
        clean = composition([{"grey": {}}])(clean, rng_for(1, scene.title))
    after = restorer(before).image
    pictures = {"before": before, "after": after, "original": clean}
    return Made(pictures, *(float(psnr(one[None], clean[None])) for one in (before, after)))


def file_of(scene: Scene) -> str:
    """The name of a scene's picture."""
    return f"{scene.title.lower().replace(' ', '-')}.jpg"


def page(made: Mapping[str, Made]) -> str:
    """docs/gallery.md."""
    parts = [
        "# Before and after",
        "Photographs that the shipped model [`portraits`](../ugpnet_priors/portraits/portraits.md) "
        "has never seen, degraded on purpose so that the original can stand beside them. They come "
        "with scikit-image: Eileen Collins by NASA (public domain), Chelsea by Stefan van der Walt "
        "and coffee by Rachel Michetti (CC0), a rocket by SpaceX (public domain). PSNR says how "
        "close a picture is to the original; more is closer.",
        "This page and its pictures are made by one command:",
        "```text\npython -m examples.gallery\n```",
    ]
    for scene in SCENES:
        one = made[scene.title]
        parts += [
            f"## {scene.title}",
            f"![{scene.title}: before, after, original](gallery/{file_of(scene)})",
            f"{scene.words} PSNR: {one.before:.1f} dB before, {one.after:.1f} dB after.",
        ]
    return "\n\n".join(parts) + "\n"


def first_picture(restorer: ug.Restorer) -> Any:
    """The README's: most of a photograph, before and after."""
    before = composition(EVENING)(
        from_levels(levels_of("astronaut")[:400, 40:440]), rng_for(1, "readme")
    )
    return side_by_side({"before": before, "after": restorer(before).image}, side=400)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=ROOT, help="default: this repository")
    out = parser.parse_args().out
    restorer = ug.Restorer(MODEL, device="cpu")
    made = {scene.title: make(scene, restorer) for scene in SCENES}
    for scene in SCENES:
        sheet = side_by_side(made[scene.title].pictures, side=SIDE)
        ug.write_image(out / "docs" / "gallery" / file_of(scene), sheet, quality=80)
    (out / "docs" / "gallery.md").write_text(page(made), encoding="utf-8")
    first = out / "examples" / "images" / "before-and-after.jpg"
    ug.write_image(first, first_picture(restorer), quality=82)
    print(f"Written: {out / 'docs' / 'gallery.md'}, its pictures, and {first}")


if __name__ == "__main__":
    main()
