"""``ugpnet demo``: degrade a portrait, restore it, and show both beside the original."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ugpnet_core.cli.console import output
from ugpnet_core.errors import DependencyError

if TYPE_CHECKING:
    from torch import Tensor

# scikit-image's astronaut, aligned like FFHQ: the side is four times the distance of the eyes,
# centred below them by a tenth of the way to the mouth.
_TOP, _LEFT, _SIDE = 20, 139, 172


def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the pictures.")] = Path(
        "demo"
    ),
    image: Annotated[
        Path | None,
        typer.Option("--input", help="A clean image (default: the astronaut Eileen Collins)."),
    ] = None,
    model: Annotated[
        str, typer.Option("-m", "--model", help="Name (see list-models) or model file.")
    ] = "portraits-denoise",
    seed: Annotated[int, typer.Option(help="Another seed gives other noise.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
) -> None:
    """Degrade a portrait, restore it, and write a side-by-side picture with PSNR and SSIM."""
    from rich.table import Table

    from ugpnet_core.degradations.seeding import rng_for
    from ugpnet_core.evaluation.metrics import psnr, ssim
    from ugpnet_core.factory import create_task_at
    from ugpnet_core.image import center_square, read_image, resize, write_image
    from ugpnet_core.inference.restorer import Restorer
    from ugpnet_core.inference.sheet import side_by_side

    restorer = Restorer(model, device=device)
    size = restorer.resolution
    clean = center_square(_astronaut() if image is None else read_image(image).pixels, size)
    task = create_task_at(restorer.model.config.task, size)
    degraded = task(clean, rng_for(seed, "demo"))
    restored = restorer(degraded)
    pictures = {
        "degraded": resize(degraded, (size, size)),
        "regression": restored.regression,
        "synthesis": restored.synthesis,
        "restored": restored.image,
        "original": clean,
    }

    table = Table(title=f"{model}, task {task.name}, {size}x{size}, seed {seed}")
    for heading in ("image", "PSNR (dB)", "SSIM"):
        table.add_column(heading, justify="left" if heading == "image" else "right")
    for name, picture in pictures.items():
        write_image(out / f"{name}.png", picture)
        if name != "original":
            pair = picture.unsqueeze(0), clean.unsqueeze(0)
            table.add_row(name, f"{float(psnr(*pair)):.2f}", f"{float(ssim(*pair)):.3f}")
    write_image(out / "side-by-side.png", side_by_side(pictures))

    console = output()
    console.print(table)
    console.print(f"Look at {out / 'side-by-side.png'}", soft_wrap=True)
    console.print(f"The pictures are in {out.resolve()}", soft_wrap=True)


def _astronaut() -> Tensor:
    """The face of Eileen Collins, RGB (3, H, W): a NASA portrait in the public domain."""
    try:
        data: Any = importlib.import_module("skimage.data")
    except ImportError as error:
        raise DependencyError(
            "The demo's portrait comes with scikit-image; pip install scikit-image, or give a "
            "portrait of your own with --input."
        ) from error
    from ugpnet_core.image import from_levels

    return from_levels(data.astronaut()[_TOP : _TOP + _SIDE, _LEFT : _LEFT + _SIDE])
