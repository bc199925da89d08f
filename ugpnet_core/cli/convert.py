"""``ugpnet convert``: published checkpoints in, a prior file or a model file out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ugpnet_core.cli.console import output, plain
from ugpnet_core.cli.options import Key


def convert(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="IN... OUT", help="Checkpoints, and the .safetensors to write."),
    ],
    task: Annotated[
        str | None,
        typer.Option(help="What a published UGPNet was trained for (see list-tasks)."),
    ] = None,
    key: Key = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights, kept in the file.")] = "",
) -> None:
    """Turn published checkpoints into a prior file, a model file or a backbone's checkpoint.

    Takes StyleGAN2 in the layouts of BasicSR, rosinality and NVIDIA (generator and discriminator
    may be two files), the paper's own models (one file, or restoration, synthesis and fusion), and
    backbones in ncnn's format (.param, with the .bin beside it).
    Nothing in the files is executed.

    Example: ugpnet convert ffhq.pkl ffhq.safetensors
    """
    if len(files) < 2:
        raise typer.BadParameter("Give one or several checkpoints, and the file to write.")
    from ugpnet_core.model_files.conversion import convert as convert_files

    *inputs, out = files
    made = convert_files(inputs, out, task=task, key=key, licence=licence)
    console = output()
    console.print(plain(f"{made.kind} from {made.layout} layout: {made.path}"), soft_wrap=True)
    console.print(plain(f"{made.summary}"), soft_wrap=True)
