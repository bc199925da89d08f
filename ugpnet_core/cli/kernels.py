"""``ugpnet kernels``: sets of camera-shake kernels, made, saved and looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ugpnet_core.cli.console import output
from ugpnet_core.errors import ConfigError

if TYPE_CHECKING:
    from ugpnet_core.degradations.kernels import KernelSet

COUNT, SIZE, SEED = 1000, 71, 0


def kernels(
    out: Annotated[
        Path | None,
        typer.Argument(metavar="OUT", help="File for a new set: shakes.safetensors."),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help=f"How many kernels. [default: {COUNT}]"),
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=3, max=999, help=f"Their side, odd. [default: {SIZE}]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help=f"Another seed is another set. [default: {SEED}]")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Read this set; make none.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Picture of all kernels to write: sheet.png.")
    ] = None,
) -> None:
    """Make a set of motion blur kernels from random camera shakes, or look at one.

    A kernel belongs to its number and the seed: a larger set begins with a smaller one. Train
    with a saved set by the option kernels of task deblur. On the sheet, every kernel is as bright
    as its brightest pixel, on a square-root scale, so that faint parts show.

    Examples: ugpnet kernels shakes.safetensors --count 2000 --size 51 --sheet shakes.png

    ugpnet kernels --from shakes.safetensors --sheet shakes.png
    """
    _check(out, source, sheet, new=(count, size, seed) != (None, None, None))
    if size is not None and size % 2 == 0:
        raise ConfigError(f"A kernel of {size} pixels has no middle; give --size {size + 1}.")

    from ugpnet_core.degradations.kernel_files import load_kernels, save_kernels
    from ugpnet_core.degradations.kernels import kernel_pictures
    from ugpnet_core.image import write_image
    from ugpnet_core.image.sheet import columns_for, grid

    if source is not None:
        shown = load_kernels(source)
    else:
        shown = _made(
            COUNT if count is None else count,
            SIZE if size is None else size,
            SEED if seed is None else seed,
        )
    if out is not None:
        save_kernels(shown, out)
    if sheet is not None:
        pictures = kernel_pictures(shown.kernels)
        write_image(sheet, grid(pictures, columns_for(len(pictures))))
    number, side = shown.kernels.shape[:2]
    origin = "" if shown.seed is None else f", seed {shown.seed}, generator {shown.generator}"
    written = ", ".join(str(path) for path in (out, sheet) if path is not None) or str(source)
    output().print(f"{number} kernels of {side}x{side}{origin}: {written}", soft_wrap=True)


def _check(out: Path | None, source: Path | None, sheet: Path | None, new: bool) -> None:
    """Refuse what contradicts itself, and names that the results cannot have."""
    from ugpnet_core.image import EXTENSIONS
    from ugpnet_core.inference.outputs import same_file

    if source is not None and (out is not None or new):
        raise ConfigError("--from reads a set, and OUT, --count, --size and --seed make one.")
    if out is None and source is None and sheet is None:
        raise ConfigError("Give a file for a new set, a set to read (--from), or a --sheet.")
    if out is not None and (out.suffix != ".safetensors" or out.is_dir()):
        raise ConfigError(f"{out} is no name for a set; give one such as shakes.safetensors.")
    if sheet is not None and (sheet.suffix.lower() not in EXTENSIONS or sheet.is_dir()):
        raise ConfigError(f"{sheet} is no name for a picture; give one such as sheet.png.")
    if source is not None and sheet is not None and same_file(source, sheet):
        raise ConfigError(f"{sheet} is the input and would be overwritten; choose another --sheet.")


def _made(count: int, size: int, seed: int) -> KernelSet:
    import torch

    from ugpnet_core.degradations.kernels import GENERATOR, KernelSet, each_kernel
    from ugpnet_core.progress import watched

    made = list(watched(each_kernel(count, size, seed), count, "Shaking"))
    return KernelSet(torch.stack(made), seed, GENERATOR)
