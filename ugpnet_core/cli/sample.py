"""``ugpnet sample``: what a prior makes of random codes, to be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ugpnet_core.cli.console import output, plain
from ugpnet_core.cli.options import Key, OptionPairs, parse_options
from ugpnet_core.errors import ConfigError


def sample(
    prior: Annotated[
        str,
        typer.Argument(
            metavar="PRIOR",
            help="Name of a prior (list-priors) or model; prior file, checkpoint or model file.",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The picture to write: grid.png.")],
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other pictures.")] = 0,
    truncation: Annotated[
        float,
        typer.Option(min=0.0, help="How far from the mean: 1 as trained, 0 the mean itself."),
    ] = 0.7,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many pictures.")] = 16,
    rows: Annotated[
        int | None, typer.Option(min=1, help="In so many rows (default: as many as columns).")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="For a name: prior file, checkpoint, or result of a training."),
    ] = None,
    key: Key = None,
    option: OptionPairs = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
) -> None:
    """Write a grid of pictures that a prior makes of random codes.

    The same seed gives the same pictures, and the first ones of a seed are the same for any
    --count. Truncation goes towards the mean of w that is stored with the prior; where none is,
    towards that of codes with a fixed seed.

    Examples: ugpnet sample stylegan2 --weights ffhq.safetensors -o grid.png

    ugpnet sample runs/mine/prior.safetensors -o grid.png --seed 1 --truncation 1
    """
    from ugpnet_core.devices import choose_device
    from ugpnet_core.image import EXTENSIONS, write_image
    from ugpnet_core.image.sheet import columns_for, grid
    from ugpnet_core.inference.opened_prior import open_prior
    from ugpnet_core.inference.outputs import same_file
    from ugpnet_core.inference.sampling import moved
    from ugpnet_core.inference.sampling import sample as draw
    from ugpnet_core.progress import watched

    if out.suffix.lower() not in EXTENSIONS or out.is_dir():
        raise ConfigError(f"{out} is no name for a picture; give one such as grid.png.")
    for source in (Path(prior), weights):
        if source is not None and same_file(source, out):
            raise ConfigError(f"{out} is an input and would be overwritten; choose another -o.")
    where = choose_device(device)
    opened = open_prior(prior, weights, parse_options(option or []), seed, key)
    if opened.file is not None and same_file(opened.file, out):
        raise ConfigError(f"{out} is an input and would be overwritten; choose another -o.")
    for remark in opened.remarks:
        typer.echo(f"note: {plain(remark)}", err=True)
    network = moved(opened.prior, where)
    made = draw(network, count, seed=seed, truncation=truncation, device=str(where))
    pictures = list(watched(made, count, "Sampling"))
    write_image(out, grid(pictures, columns_for(count, rows)))
    console = output()
    console.print(
        f"{count} pictures of {network.resolution}x{network.resolution}, seed {seed}, truncation "
        f"{truncation:g}: {out}",
        soft_wrap=True,
    )
