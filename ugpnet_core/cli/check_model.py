"""``ugpnet check-model``: is a trained model there, and what its entry says?"""

from __future__ import annotations

from typing import Annotated

import typer

from ugpnet_core.cli.checking import AsJson, ListChecks, Only, check_installed, list_checks_of
from ugpnet_core.plugins import ModelEntry


def check_model(
    name: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="Trained model (see list-models), or a model file."),
    ] = None,
    only: Only = None,
    as_json: AsJson = False,
    list_checks: ListChecks = False,
) -> None:
    """Check that a trained model is there and works, and what its entry says.

    The file is found (weights on the Hub are downloaded) and compared with its SHA-256 and size;
    the network is built and its weights are loaded; the entry is compared with the file; and
    pictures are restored: sizes, range, the same result at every call and in every batch.

    Every line is one check: ok, FAIL with what is wrong and what to do, or - where it does not
    apply. Exit status: 0 nothing failed, 1 something failed, 2 wrong usage.

    Example: ugpnet check-model runs/mine/mine.safetensors

    In tests of a plugin: ugpnet_core.testing.check_model.
    """
    if list_checks:
        list_checks_of("model", as_json)
        return
    check_installed(ModelEntry, name, [], only or [], False, as_json)
