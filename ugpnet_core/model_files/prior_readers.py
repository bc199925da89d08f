"""Weights of priors in the files of other programs, as the readers that plugins bring know them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ugpnet_core.checkpoints.file import Checkpoint
from ugpnet_core.checkpoints.locating import state_dicts
from ugpnet_core.checkpoints.modules import under
from ugpnet_core.checkpoints.pickles.restricted import Inert
from ugpnet_core.checkpoints.recognition import networks_in
from ugpnet_core.errors import PluginError, UGPNetError, WeightsError
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.plugins import Installed, PriorEntry, registry, resolve
from ugpnet_core.plugins.discovery import describe_error

# Dictionaries beside a chosen network that are tried as its company.
_MOST_BESIDE = 32


def read_foreign(
    files: Sequence[Checkpoint], chosen: Sequence[Checkpoint], name: str | None, key: str | None
) -> tuple[str, PriorWeights] | None:
    """The name of the prior whose weights files hold together, and the weights, as the first reader
    that knows them says.

    Args:
        chosen: the same files, as :func:`ugpnet_core.checkpoints.choosing.at_key` cuts them.
        name: the prior that they are for; None asks the readers of all.

    Raises:
        WeightsError: a reader recognises the files and cannot read them.
        PluginError: a reader failed.
    """
    bare = [_bare(_named(one, key)) for one in chosen]
    for installed in registry().priors.values():
        if installed.entry.reader is None or name not in (None, installed.entry.name):
            continue
        weights = _read(installed, bare)
        if weights is not None and weights.generator and key is not None:
            pairs = zip(bare, map(_bare, files), strict=True)
            weights = _read(installed, [_with_company(installed, *pair) for pair in pairs])
        if weights is not None:
            return installed.entry.name, weights
    return None


def _read(installed: Installed[PriorEntry], files: Sequence[Checkpoint]) -> PriorWeights | None:
    """What the reader of a prior makes of files; errors as :func:`read_foreign`."""
    reader = installed.entry.reader or ""
    read = resolve(reader)
    try:
        weights: PriorWeights | None = read(files)
    except UGPNetError:
        raise
    except Exception as error:
        raise PluginError(
            f"{reader!r} of {installed.distribution} failed ({describe_error(error)}); "
            "tell its author."
        ) from error
    return weights


def _named(chosen: Checkpoint, key: str | None) -> Checkpoint:
    """With the name of a network that was chosen, which readers put beside those of others."""
    is_one = any(not place for place, _ in state_dicts(chosen.content))
    return replace(chosen, content={key: chosen.content}) if key and is_one else chosen


def _with_company(
    installed: Installed[PriorEntry], chosen: Checkpoint, whole: Checkpoint
) -> Checkpoint:
    """What was chosen of a file, and all else that leaves it the network that is read: a
    discriminator, the mean of w."""
    own = _read(installed, [chosen]) if isinstance(whole.content, Mapping) else None
    if own is None:
        return chosen
    company: dict[Any, Any] = {}
    tried = 0
    for name, value in whole.content.items():
        if name in chosen.content:
            continue
        if isinstance(value, Mapping | Inert):
            tried += 1
            if tried > _MOST_BESIDE:
                continue
            beside = replace(chosen, content={**chosen.content, name: value})
            if _leaves(own, installed, beside):
                company[name] = value
        elif isinstance(name, str) and "." not in name:  # those with dots are of layers
            company[name] = value
    return replace(chosen, content={**company, **chosen.content})


def _leaves(own: PriorWeights, installed: Installed[PriorEntry], file: Checkpoint) -> bool:
    """Whether the same generator is read from a file, and no discriminator less."""
    try:
        read = _read(installed, [file])
    except WeightsError:
        return False
    if read is None or (own.discriminator is not None and read.discriminator is None):
        return False
    theirs, ours = read.generator, own.generator
    return theirs.keys() == ours.keys() and all(torch.equal(theirs[k], v) for k, v in ours.items())


def _bare(file: Checkpoint) -> Checkpoint:
    """A file as readers know it: dictionaries of tensors in the keys of a network, each under the
    name of its dictionary or of its module in a larger one; all of the name that leads there, where
    several would have the same."""
    content = file.content
    if not isinstance(content, Mapping | list | tuple):
        return file
    items = content.items() if isinstance(content, Mapping) else ()
    bare: dict[Any, Any] = {k: v for k, v in items if not isinstance(v, Mapping)}
    named: list[tuple[str, str, Mapping[Any, Any]]] = []
    for place, state in state_dicts(content):
        parts = _networks_in(state)
        if place == "":
            bare = dict(parts.pop("", {}))
        if len(parts) > 1:
            bare |= {k: v for k, v in state.items() if "." not in k and k not in bare}
        last = place.rpartition(".")[2]
        named += [(part or last, f"{place}.{part}".strip("."), parts[part]) for part in parts]
    times = Counter(name for name, _, _ in named)
    found = {name if times[name] == 1 else full: inner for name, full, inner in named}
    return replace(file, content={**found, **bare})


def _networks_in(state: Mapping[Any, Any]) -> dict[str, Mapping[Any, Any]]:
    """The networks of priors in a state dict by the names of their modules; without a name where it
    is one network, or none that is known."""
    networks = networks_in(key for key in state if isinstance(key, str))
    found = [place for place, kind in networks.items() if kind in ("prior", "discriminator")]
    if len(found) < 2:
        return {"": under(state, found[0] if found else "")}
    return {prefix.rstrip("."): under(state, prefix) for prefix in found}
