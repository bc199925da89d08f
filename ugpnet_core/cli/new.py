"""``ugpnet new-backbone``: the start of a plugin."""

from __future__ import annotations

import shlex
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Kind(str, Enum):
    """What ``--kind`` takes."""

    direct = "direct"
    residual = "residual"


def new_backbone(
    name: Annotated[str, typer.Argument(help="Name of the backbone, for instance my-net.")],
    kind: Annotated[
        Kind,
        typer.Option(
            help="What the network predicts: the clean image, or what to add to the input."
        ),
    ] = Kind.residual,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder of the distribution (default: NAME)."),
    ] = None,
) -> None:
    """Write a plugin with a network of your own: complete, installable and tested.

    It holds a small network that works, to be replaced by yours, its options, tests, a README
    and a CI file. An existing folder is never touched.

    Example: ugpnet new-backbone my-net --kind direct
    """
    from ugpnet_core.templates import write_backbone

    folder = out if out is not None else Path(name)
    write_backbone(name, kind.value, folder)
    place = str(folder) if folder.is_absolute() else f"./{folder}"
    print(f"Wrote the {kind.value} backbone {name} to {folder}. Next:")
    print(f"  pip install -e {shlex.quote(f'{place}[test]')}")
    print(f"  ugpnet check-backbone {name}")
    print(f"  pytest {shlex.quote(str(folder))}")
