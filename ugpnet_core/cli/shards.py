"""``ugpnet shards``: photographs packed for trainings whose data outgrows one disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ugpnet_core.errors import ImageError


def shards(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="Images and folders, which are read recursively."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the shards.")],
    size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Crop square and resize to this, stored as PNG (default: as the files are)."
        ),
    ] = None,
    per_shard: Annotated[int, typer.Option(min=1, help="Images in one shard.")] = 1000,
    prefix: Annotated[str, typer.Option(help="Beginning of the shards' names.")] = "photographs",
) -> None:
    """Pack photographs into WebDataset shards (.tar), for data.train of a training.

    The shards can be spread over several disks: data.train takes braces, and a list of them. A file
    that cannot be read is left out and named.

    Example: ugpnet shards photos -o shards --size 512
    """
    from ugpnet_core.image import list_images
    from ugpnet_core.progress import watched
    from ugpnet_core.training.shard_writing import write_shards

    if not prefix or Path(prefix).name != prefix:
        raise ImageError(f"--prefix is {prefix!r}; give the beginning of a file name.")
    files = list_images(inputs, recursive=True)
    if not files:
        raise ImageError("There is no image in these folders; give folders of photographs.")
    root = inputs[0] if len(inputs) == 1 and inputs[0].is_dir() else None
    written = write_shards(
        watched(files, len(files), "Packing"),
        out,
        prefix=prefix,
        per_shard=per_shard,
        size=size,
        root=root,
    )
    for problem in written.problems:
        typer.echo(f"left out: {problem}", err=True)
    if written.shards:
        last = f"{{000000..{len(written.shards) - 1:06d}}}"
        typer.echo(f"{written.images} images in {len(written.shards)} shards, for a training:")
        typer.echo(f'  data.train=["{out / prefix}-{last}.tar"]')
    if written.problems:
        raise typer.Exit(1)
