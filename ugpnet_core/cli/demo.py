"""``ugpnet demo``: degrade a photograph as photographs get degraded, restore it, and show both."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ugpnet_core.cli.console import output
from ugpnet_core.cli.default_model import DEFAULT_MODEL
from ugpnet_core.errors import DependencyError

if TYPE_CHECKING:
    from torch import Tensor

    from ugpnet_core.protocols import Task

# A camera in the evening: a soft lens, noise that grows with the light, and compression.
_EVENING = (
    {"blur": {"sigma": 0.7, "isotropic": 1, "kernel_size": 9}},
    {"noise": {"sigma": 0.03, "k": 150}},
    {"jpeg": {"quality": 80}},
)
# Of the pictures that show a face closely.
_DETAIL = 192


def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the pictures.")] = Path(
        "demo"
    ),
    image: Annotated[
        Path | None,
        typer.Option("--input", help="A clean photograph (default: scikit-image's astronaut)."),
    ] = None,
    model: Annotated[
        str, typer.Option("-m", "--model", help="Name (see list-models) or model file.")
    ] = DEFAULT_MODEL,
    seed: Annotated[int, typer.Option(help="Another seed gives other noise.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
) -> None:
    """Degrade a photograph, restore it, and write side-by-side pictures with PSNR and SSIM.

    It is degraded as a camera does in the evening (a soft lens, noise, JPEG); for a model of
    another task than photo, as that task says.

    Example: ugpnet demo --input photos/anna.png -o demo
    """
    from rich.table import Table

    from ugpnet_core.degradations.held import run_task
    from ugpnet_core.devices import keep_memory
    from ugpnet_core.faces.alignment import align, scaled
    from ugpnet_core.image import read_image, resize, write_image
    from ugpnet_core.image.sheet import side_by_side
    from ugpnet_core.inference.restorer import Restorer
    from ugpnet_core.metrics.pixel import psnr, ssim
    from ugpnet_core.seeding import rng_for

    keep_memory()
    restorer = Restorer(model, device=device)
    clean = _astronaut() if image is None else read_image(image).pixels
    height, width = (side // restorer.scale * restorer.scale for side in clean.shape[-2:])
    clean = clean[:, :height, :width]
    task = _task(restorer.model.config.task.name, restorer)
    degraded = run_task(task, clean, rng_for(seed, "demo"))
    restored = restorer(degraded)
    pictures = {
        "degraded": resize(degraded, (height, width)),
        "regression": restored.regression,
        "restored": restored.image,
        "original": clean,
    }

    table = Table(title=f"{model}, task {task.name}, {width}x{height}, seed {seed}")
    for heading in ("image", "PSNR (dB)", "SSIM"):
        table.add_column(heading, justify="left" if heading == "image" else "right")
    for name, picture in pictures.items():
        write_image(out / f"{name}.png", picture)
        if name != "original":
            pair = picture.unsqueeze(0), clean.unsqueeze(0)
            table.add_row(name, f"{float(psnr(*pair)):.2f}", f"{float(ssim(*pair)):.3f}")
    sheets = {"side-by-side.png": side_by_side(pictures)}
    for face in scaled(restored.faces[0][:1], restorer.scale):
        details = {name: align(one, [face], _DETAIL)[0] for name, one in pictures.items()}
        sheets["face.png"] = side_by_side(details)

    console = output()
    console.print(table)
    for notice in restored.notices:
        console.print(f"note: {notice}.", soft_wrap=True)
    for name, sheet in sheets.items():
        write_image(out / name, sheet)
        console.print(f"Look at {out / name}", soft_wrap=True)
    console.print(f"The pictures are in {out.resolve()}", soft_wrap=True)


def _task(name: str, restorer: Any) -> Task:
    from ugpnet_core.degradations.composition import composition
    from ugpnet_core.factory import create_task_at

    if name == "photo":
        return composition(_EVENING)
    return create_task_at(restorer.model.config.task, restorer.resolution)


def _astronaut() -> Tensor:
    """Eileen Collins, RGB (3, 512, 512): a NASA photograph in the public domain."""
    try:
        data: Any = importlib.import_module("skimage.data")
    except ImportError as error:
        raise DependencyError(
            "The demo's photograph comes with scikit-image; pip install scikit-image, or give one "
            "of your own with --input."
        ) from error
    from ugpnet_core.image import from_levels

    return from_levels(data.astronaut())
