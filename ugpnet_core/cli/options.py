"""Options of a backbone, prior or task as the command line gives them: ``-O name=value``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

OptionPairs = Annotated[
    list[str] | None,
    typer.Option(
        "-O",
        "--set",
        "--option",
        metavar="NAME=VALUE",
        help="An option of it, for instance width=16 or blocks=[1,1]; repeatable.",
    ),
]

# One network of a file of weights.
Key = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Which network of a file that holds several: generator, net_g, model.net, ...",
    ),
]


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Turn ``["width=16", "blocks=[1, 1]"]`` into keyword arguments; values are YAML.

    The last one of a name counts, and ``name.key=value`` sets a key of a mapping.

    Raises:
        ConfigError: a pair has no ``=``, or its value is no YAML.
    """
    from ugpnet_core.config_files import apply_override

    options: dict[str, Any] = {}
    for pair in pairs:
        apply_override(options, pair, "option")
    return options
