"""What a network and its entry say of themselves: types, values, the number of parameters."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
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
    network = None
    with contextlib.suppress(Exception, SystemExit):
        network = subject.make()  # where nothing is put back, to see what that does to torch
    if network is None:
        network = subject.raw()  # which says what is wrong
    what = type(network).__name__
    said = f"The factory returns a {what}; make it return a torch.nn.Module."
    require(isinstance(network, nn.Module), said)
    # Parameters that cannot be moved would fail everything else with a worse message.
    said = "The factory returns the same network at every call; make it build a new one."
    require(subject.fresh() is not network, said)
    return passed(f"{what} of {type(network).__module__}")


def check_protocol(subject: Subject) -> Outcome:
    """The network has the attributes and methods of its protocol in ugpnet_core.protocols."""
    network = subject.raw()
    rules = _prior_rules if subject.word == "prior" else _backbone_rules
    for holds, said in rules(network):
        require(holds, f"{type(network).__name__} {said}.")
    counts = PRIOR if subject.word == "prior" else BACKBONE
    said = ", ".join(f"{name} {getattr(network, name)}".replace("_", " ") for name in counts)
    return passed(said if subject.word == "prior" else f"{network.kind}, {said}")


# Whether something holds, and what is to be said of the network where not; each may rely on those
# before it.
Rules = Iterator[tuple[bool, str]]


def _members(network: Any, methods: tuple[str, ...], counts: tuple[str, ...]) -> Rules:
    for method in methods:
        yield callable(getattr(network, method, None)), f"lacks the method {method}; write it"
    for name in counts:
        yield hasattr(network, name), f"lacks the attribute {name}; set it in __init__"
        value = getattr(network, name)
        said = f"has {name}={value!r}; make it a whole number of at least 1"
        yield type(value) is int and value >= 1, said


def _backbone_rules(network: Any) -> Rules:
    yield hasattr(network, "kind"), "lacks the attribute kind; set it in __init__"
    kind, fixed = network.kind, getattr(network, "fixed_size", None)
    yield kind in ("direct", "residual"), f"has kind={kind!r}; make it 'direct' or 'residual'"
    supervised = getattr(network, "forward_supervised", None) is not None
    methods = ("forward_features", "head", *["forward_supervised"] * supervised)
    yield from _members(network, methods, (*BACKBONE, *["fixed_size"] * (fixed is not None)))
    scale, multiple = network.scale, network.size_multiple
    said = f"has fixed_size={fixed}, no multiple of size_multiple={multiple}; leave that at 1"
    yield fixed is None or fixed % multiple == 0, said
    said = f"is residual with scale={scale}, and what is added to an image must have its size; "
    yield kind == "direct" or scale == 1, f"{said}declare it direct"
    options = getattr(network, "rebuild_options", None)
    said = f"has rebuild_options={options!r}, which no model file can hold; make them a dictionary"
    yield options is None or _can_be_stored(options), f"{said} of numbers, strings and lists"


def _can_be_stored(options: object) -> bool:
    try:
        return isinstance(options, Mapping) and bool(json.dumps(dict(options)))
    except (TypeError, ValueError):
        return False


def _prior_rules(prior: Any) -> Rules:
    yield from _members(prior, ("synthesize",), PRIOR)
    with failing("No encoder can halve its resolution", "make it 2, 4, 8, ... times base_size"):
        halvings(prior)
    # A prior that has begun to be a TrainablePrior has to be one.
    if any(callable(getattr(prior, method, None)) for method in GENERATES):
        yield from _members(prior, GENERATES, ("num_latents",))
        least, latents = max(2, prior.num_styles), prior.num_latents
        yield latents >= least, f"has num_latents={latents}; make it {least} or more"
        yield isinstance(prior, TrainablePrior), "is no TrainablePrior; make it one"


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
