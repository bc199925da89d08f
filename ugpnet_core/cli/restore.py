"""``ugpnet restore``: photographs in, better ones out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ugpnet_core.cli.files import Recursive, SkipExisting, report, require, tracked


def restore(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Images and folders.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the results, or a file for one image.")
    ],
    model: Annotated[
        str, typer.Option("-m", "--model", help="Name (see list-models) or model file.")
    ] = "portraits-denoise",
    save_all: Annotated[
        bool,
        typer.Option("--save-all", help="Write NAME_reg.png and NAME_syn.png (x_reg, x_syn), too."),
    ] = False,
    fidelity: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="0: the restored image; 1: the plain regression."),
    ] = 0.0,
    tile: Annotated[
        str,
        typer.Option(
            metavar="auto|N", help="Pixels between tiles; less than the model's size overlaps more."
        ),
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    skip_existing: SkipExisting = False,
    recursive: Recursive = False,
) -> None:
    """Restore photographs, of any size, with a trained model."""
    from ugpnet_core.inference.batch import REGRESSION, SYNTHESIS, restore_files
    from ugpnet_core.inference.outputs import plan
    from ugpnet_core.inference.restorer import Restorer

    suffixes = (REGRESSION, SYNTHESIS) if save_all else ()
    jobs = require(plan(inputs, out, recursive=recursive, suffixes=suffixes), inputs)
    restorer = Restorer(model, device=device, tile=_tile(tile), fidelity=fidelity)
    results = restore_files(restorer, jobs, save_all=save_all, skip_existing=skip_existing)
    report(tracked(results, len(jobs), "Restoring"), "restored", out)


def _tile(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    try:
        return int(text)
    except ValueError as error:
        raise typer.BadParameter(f"'auto' or a number of pixels, not {text!r}.") from error
