"""What a network and its entry say of themselves: types, values, the number of parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import nn

from ugpnet_core.testing.report import CheckFailed, Outcome, passed
from ugpnet_core.testing.subject import Subject

STATED = ("kind", "feature_channels", "scale", "size_multiple", "fixed_size", "resolution")


def check_builds(subject: Subject) -> Outcome:
    """The entry is well-formed, and its factory makes a network."""
    if subject.fault is not None:
        raise CheckFailed(subject.fault)
    # What importing and making it does to torch is seen where nothing is put back.
    network = _made(subject)
    if not isinstance(network, nn.Module):
        raise CheckFailed(
            f"The factory returns a {type(network).__name__}; make it return a torch.nn.Module."
        )
    # Parameters that cannot be moved would fail everything else with a worse message.
    if subject.fresh() is network:
        raise CheckFailed(
            "The factory returns the same network at every call; make it build a new one."
        )
    return passed(f"{type(network).__name__} of {type(network).__module__}")


def _made(subject: Subject) -> Any:
    try:
        return subject.make()
    except (Exception, SystemExit):
        return subject.raw()  # which says what is wrong


def check_protocol(subject: Subject) -> Outcome:
    """The network has the attributes and methods of ugpnet_core.protocols.Backbone."""
    network = subject.raw()
    name = type(network).__name__
    for method in ("forward_features", "head"):
        if not callable(getattr(network, method, None)):
            raise CheckFailed(f"{name} lacks the method {method}; write it.")
    kind = _attribute(network, "kind")
    if kind not in ("direct", "residual"):
        raise CheckFailed(f"{name}.kind is {kind!r}; make it 'direct' or 'residual'.")
    for attribute in ("feature_channels", "scale", "size_multiple"):
        _require_count(name, attribute, _attribute(network, attribute))
    fixed = getattr(network, "fixed_size", None)
    if fixed is not None:
        _require_count(name, "fixed_size", fixed)
        if fixed % network.size_multiple:
            raise CheckFailed(
                f"{name}.fixed_size is {fixed}, which is no multiple of size_multiple="
                f"{network.size_multiple}; leave size_multiple at 1."
            )
    if kind == "residual" and network.scale != 1:
        raise CheckFailed(
            f"{name} is residual with scale={network.scale}, but what is added to an image must "
            "have its size; declare it direct."
        )
    _check_rebuild_options(name, getattr(network, "rebuild_options", None))
    supervised = getattr(network, "forward_supervised", None)
    if supervised is not None and not callable(supervised):
        raise CheckFailed(f"{name}.forward_supervised is no method; make it one or leave it out.")
    return passed(
        f"{kind}, {network.feature_channels} feature channels, scale {network.scale}, "
        + (f"fixed size {fixed}" if fixed else f"size multiple {network.size_multiple}")
    )


def _attribute(network: Any, attribute: str) -> Any:
    try:
        return getattr(network, attribute)
    except AttributeError:
        raise CheckFailed(
            f"{type(network).__name__} lacks the attribute {attribute}; set it in __init__."
        ) from None


def _require_count(name: str, attribute: str, value: object) -> None:
    if type(value) is not int or value < 1:
        raise CheckFailed(f"{name}.{attribute} is {value!r}; make it a whole number of at least 1.")


def _check_rebuild_options(name: str, options: object) -> None:
    if options is None:
        return
    try:
        stored = isinstance(options, Mapping) and json.loads(json.dumps(dict(options)))
    except (TypeError, ValueError):
        stored = False
    if stored is False:
        raise CheckFailed(
            f"{name}.rebuild_options is {options!r}, which a model file cannot hold; make it a "
            "dictionary of numbers, strings and lists."
        )


def check_declared_values(subject: Subject) -> Outcome:
    """What the entry declares for these options is what the network says."""
    network = subject.raw()
    agreed, differing = [], []
    for field in STATED:
        declared, actual = getattr(subject.declared, field), getattr(network, field, None)
        if declared is None and not (field == "fixed_size" and subject.declares_size):
            continue
        if declared != actual:
            differing.append(f"{field}={declared!r} and the network has {actual!r}")
        agreed.append(field)
    if differing:
        raise CheckFailed(f"The entry declares {', '.join(differing)}; make them equal.")
    if not agreed:
        return Outcome("not declared", "the entry declares nothing for these options")
    return passed(f"{', '.join(agreed)} as in the entry")


def check_parameter_count(subject: Subject) -> Outcome:
    """The network has as many parameters as the entry declares."""
    count = sum(parameter.numel() for parameter in subject.raw().parameters())
    declared = subject.declared.parameters
    if declared is None:
        return Outcome("not declared", f"the network has {count:_} parameters")
    if declared != count:
        raise CheckFailed(
            f"The entry declares parameters={declared:_} and the network has {count:_}; declare "
            "that number."
        )
    return passed(f"{count:_} parameters, as declared")
