"""One network of files that hold several, chosen by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ugpnet_core.checkpoints.file import Checkpoint
from ugpnet_core.checkpoints.locating import at
from ugpnet_core.checkpoints.pickles.restricted import Inert
from ugpnet_core.errors import WeightsError


def at_key(files: Sequence[Checkpoint], key: str | None) -> list[Checkpoint]:
    """Files as if they held nothing but what is under a key, those of them that have it; as they
    are without one.

    Raises:
        WeightsError: nothing is there in any of them.
    """
    if key is None:
        return list(files)
    found, errors = [], []
    for file in files:
        try:
            found.append(replace(file, content=_under(file, key)))
        except WeightsError as error:
            found.append(file)
            errors.append(error)
    if len(errors) == len(files):
        raise errors[0]
    return found


def refuse_key(path: object, key: str | None) -> None:
    """Refuse a key for a file, or a name, that leaves it no choice.

    Raises:
        WeightsError: there is one.
    """
    if key is not None:
        raise WeightsError(
            f"{path} holds one network, which is taken as it is; leave the key {key!r} out."
        )


def _under(file: Checkpoint, key: str) -> Mapping[Any, Any]:
    value = file.content.get(key) if isinstance(file.content, Mapping) else None
    if isinstance(value, Inert):
        return {key: value}
    return at(file.content, key, str(file.path))
