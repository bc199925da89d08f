"""``ugpnet invert``: how well a prior can show pictures of yours."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ugpnet_core.cli.console import output, plain
from ugpnet_core.cli.files import Recursive, prepare
from ugpnet_core.cli.options import Key, OptionPairs, parse_options
from ugpnet_core.cli.telling import ANEW, INVERTING, Telling
from ugpnet_core.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from ugpnet_core.inference.inversion import Inversion
    from ugpnet_core.inference.outputs import Job

ENCODED, REFINED = "_encoded", "_refined"


def invert(
    inputs: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Images and folders.")],
    prior: Annotated[
        str,
        typer.Option(
            "--prior",
            "-p",
            help="Model (list-models), model file or synthesis stage; or a prior as for sample.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the results, or a file for one image.")
    ] = Path("inverted"),
    steps: Annotated[
        int, typer.Option(min=0, help="Of the optimisation; 0: what the encoder finds.")
    ] = 100,
    weights: Annotated[Path | None, typer.Option(help="For a prior by name: its file.")] = None,
    key: Key = None,
    option: OptionPairs = None,
    perceptual_weights: Annotated[
        Path | None,
        typer.Option(
            "--perceptual-weights",
            help="Network of LPIPS: a SqueezeNet 1.1 file, or a folder with vgg16*.pth. Default: "
            "UGPNET_PERCEPTUAL, else VGG16 in torch's cache.",
        ),
    ] = None,
    save_all: Annotated[
        bool,
        typer.Option("--save-all", help="Write NAME_encoded.png and NAME_refined.png, too."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of a prior without weights.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    recursive: Recursive = False,
) -> None:
    """Find the codes with which a prior shows your pictures best, and show how well it does.

    A model's encoder gives base code and styles, as in every restoration; optimisation refines
    both for the one picture (BDInvert's setting). For each picture a sheet is written: input,
    encoded, refined, and the PSNR of both is printed. Of a prior without an encoder, optimisation
    begins at an empty base code and mean styles. A prior has one resolution; the centre square of
    each picture is resized to it.

    Examples: ugpnet invert photos/ --prior portraits -o inverted --steps 200

    ugpnet invert anna.png --prior runs/mine/prior.safetensors -o anna-inverted.png
    """
    from ugpnet_core.devices import choose_device, keep_memory
    from ugpnet_core.image import read_image, write_image
    from ugpnet_core.image.sheet import side_by_side
    from ugpnet_core.inference.batch import each_file
    from ugpnet_core.inference.inversion import Inverter
    from ugpnet_core.inference.opened_prior import open_prior
    from ugpnet_core.inference.outputs import Naming, same_file
    from ugpnet_core.losses.perceptual import build_lpips, describe, optional_perceptual
    from ugpnet_core.metrics.pixel import psnr

    where = choose_device(device)
    keep_memory()
    suffixes = ((ENCODED, REFINED) if steps else (ENCODED,)) if save_all else ()
    naming = Naming(suffixes, lossless=True)
    jobs = prepare(inputs, out, naming, recursive=recursive, overwrite=True).jobs
    source = open_prior(prior, weights, parse_options(option or []), seed, key)
    if source.file is not None and any(same_file(source.file, job.target) for job in jobs):
        raise ConfigError(f"{source.file} is an input and would be overwritten; choose another -o.")
    config, missing = optional_perceptual(perceptual_weights) if steps else (None, "")
    lpips = build_lpips(config) if config is not None else None
    if steps:
        loss = describe(config).lpips if config else f"left out: {missing}"
        typer.echo(f"Perceptual loss: {plain(loss)}", err=True)
    if source.synthesis is None:
        for remark in source.remarks:
            typer.echo(f"note: {plain(remark)}", err=True)
        typer.echo(f"note: {plain(prior)} has no encoder; 'start' is the mean.", err=True)
    inverter = Inverter(source, steps, lpips, where)
    first = "encoded" if source.synthesis is not None else "start"
    figures: dict[str, dict[str, float]] = {}
    telling = Telling(INVERTING, out, len(jobs), going_on=ANEW)

    def work(job: Job) -> None:
        photo = read_image(job.source)
        made = count(1)
        found = inverter(photo.pixels, lambda: telling.part(next(made), steps))
        pictures = {"input": found.picture, **_made(found, first)}
        figures[job.name] = {
            name: float(psnr(picture[None], found.picture[None]))
            for name, picture in pictures.items()
            if name != "input"
        }
        for suffix, name in zip(suffixes, list(pictures)[1:], strict=False):
            write_image(job.beside(suffix), pictures[name])
        write_image(job.target, side_by_side(pictures))  # last: it marks the job as done

    telling.follow(each_file(jobs, work))
    _print(figures)
    telling.close()


def _made(found: Inversion, first: str) -> dict[str, Tensor]:
    refined = {} if found.refined is None else {"refined": found.refined}
    return {first: found.encoded, **refined}


def _print(figures: dict[str, dict[str, float]]) -> None:
    """A line for each picture, and their means where there are several."""
    console = output()
    lines = [(plain(name), row) for name, row in figures.items()]
    if len(figures) > 1:
        names = next(iter(figures.values()))
        means = {one: sum(row[one] for row in figures.values()) / len(figures) for one in names}
        lines.append(("mean", means))
    for name, row in lines:
        words = ", ".join(f"{which} {value:.2f} dB" for which, value in row.items())
        console.print(f"{name}: PSNR {words}", soft_wrap=True)
