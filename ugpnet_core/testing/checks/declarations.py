"""What a network and its entry say of themselves: types, values, the number of parameters."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from torch import nn

from ugpnet_core.checkpoints.downloads import find_weights
from ugpnet_core.model_files.prior import create_prior
from ugpnet_core.networks.synthesis import halvings
from ugpnet_core.plugins import registry
from ugpnet_core.protocols import TrainablePrior
from ugpnet_core.testing.report import CheckFailed, Outcome, failing, passed, require
from ugpnet_core.testing.subject import Subject

STATED = ("kind", "feature_channels", "scale", "size_multiple", "fixed_size", "resolution")
BACKBONE = ("feature_channels", "scale", "size_multiple")
PRIOR = ("resolution", "base_size", "base_channels", "num_styles", "style_dim", "feature_channels")
GENERATES = ("map_styles", "mean_latent", "generate")


def check_builds(subject: Subject) -> Outcome:
    """The entry is well-formed, and its factory makes a network."""
    if subject.fault is not None:
        raise CheckFailed(subject.fault)
    with contextlib.suppress(Exception, SystemExit):
        subject.make()  # where nothing is put back, to see what importing it does to torch
    network = subject.raw()
    require(
        isinstance(network, nn.Module),
        f"The factory returns a {type(network).__name__}; make it return a torch.nn.Module.",
    )
    # Parameters that cannot be moved would fail everything else with a worse message.
    require(
        subject.fresh() is not network,
        "The factory returns the same network at every call; make it build a new one.",
    )
    return passed(f"{type(network).__name__} of {type(network).__module__}")


def check_protocol(subject: Subject) -> Outcome:
    """The network has the attributes and methods of its protocol in ugpnet_core.protocols."""
    network = subject.raw()
    (_check_prior if subject.word == "prior" else _check_backbone)(network, type(network).__name__)
    counts = PRIOR if subject.word == "prior" else BACKBONE
    said = [f"{name} {getattr(network, name)}".replace("_", " ") for name in counts]
    return passed(", ".join([*([network.kind] if subject.word == "backbone" else []), *said]))


def _require_members(network: Any, methods: tuple[str, ...], counts: tuple[str, ...]) -> None:
    """Fail unless a network has methods, and attributes that are whole numbers from 1 on."""
    name = type(network).__name__
    for method in methods:
        there = callable(getattr(network, method, None))
        require(there, f"{name} lacks the method {method}; write it.")
    for attribute in counts:
        there = hasattr(network, attribute)
        require(there, f"{name} lacks the attribute {attribute}; set it in __init__.")
        value = getattr(network, attribute)
        require(
            type(value) is int and value >= 1,
            f"{name}.{attribute} is {value!r}; make it a whole number of at least 1.",
        )


def _check_backbone(network: Any, name: str) -> None:
    supervised = getattr(network, "forward_supervised", None) is not None
    methods = ("forward_features", "head", *["forward_supervised"] * supervised)
    fixed = getattr(network, "fixed_size", None)
    require(hasattr(network, "kind"), f"{name} lacks the attribute kind; set it in __init__.")
    _require_members(network, methods, (*BACKBONE, *["fixed_size"] * (fixed is not None)))
    require(
        network.kind in ("direct", "residual"),
        f"{name}.kind is {network.kind!r}; make it 'direct' or 'residual'.",
    )
    require(
        fixed is None or fixed % network.size_multiple == 0,
        f"{name}.fixed_size is {fixed}, which is no multiple of size_multiple="
        f"{network.size_multiple}; leave size_multiple at 1.",
    )
    require(
        network.kind == "direct" or network.scale == 1,
        f"{name} is residual with scale={network.scale}, but what is added to an image must have "
        "its size; declare it direct.",
    )
    options = getattr(network, "rebuild_options", None)
    require(
        _can_be_stored(options or {}),
        f"{name}.rebuild_options is {options!r}, which a model file cannot hold; make it a "
        "dictionary of numbers, strings and lists.",
    )


def _can_be_stored(options: object) -> bool:
    try:
        return isinstance(options, Mapping) and bool(json.dumps(dict(options)))
    except (TypeError, ValueError):
        return False


def _check_prior(prior: Any, name: str) -> None:
    _require_members(prior, ("synthesize",), PRIOR)
    with failing(f"{name} says what no encoder can halve", "make resolution 2^n times base_size"):
        halvings(prior)
    # A prior that has begun to be a TrainablePrior has to be one.
    if any(callable(getattr(prior, method, None)) for method in GENERATES):
        _require_members(prior, GENERATES, ("num_latents",))
        least = max(2, prior.num_styles)
        require(
            isinstance(prior, TrainablePrior) and prior.num_latents >= least,
            f"{name}.num_latents is {prior.num_latents}; make it {least} or more, and all as "
            "ugpnet_core.protocols.TrainablePrior says.",
        )


def check_declared_values(subject: Subject) -> Outcome:
    """What the entry declares for these options is what the network says and has."""
    network = subject.raw()
    count = sum(parameter.numel() for parameter in network.parameters())
    values = {name: getattr(network, name, None) for name in STATED} | {"parameters": count}
    declared = {name: getattr(subject.declared, name) for name in values}
    stated = [name for name, value in declared.items() if value is not None]
    stated += ["fixed_size"] * (subject.declares_size and declared["fixed_size"] is None)
    differing = [
        f"{name}={declared[name]!r} and the network has {values[name]!r}"
        for name in stated
        if declared[name] != values[name]
    ]
    require(not differing, f"The entry declares {', '.join(differing)}; make them equal.")
    if not stated:
        return Outcome("not declared", f"for these options; the network has {count:_} parameters")
    return passed(f"{', '.join(stated)} as in the entry ({count:_} parameters)")


def check_weights(subject: Subject) -> Outcome:
    """The file of weights that the entry names is there, whole, and fits the network."""
    installed = registry().priors.get(subject.name)
    if not subject.has_file or installed is None:
        return Outcome("not declared", "the entry names no file of weights")
    with failing("Its weights cannot be had"):
        path = find_weights(installed)
        create_prior(subject.name)
    return passed(f"{path.name} fits")
