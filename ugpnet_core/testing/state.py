"""What a network keeps, above all outside of its parameters and buffers."""

from __future__ import annotations

import contextvars
import os
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from types import ModuleType
from typing import Any

import numpy as np
from torch import Tensor, nn

from ugpnet_core.testing.differences import SAME, difference

# What libraries keep in their own modules is their matter.
_LIBRARIES = {"torch", "torchvision", "timm", "numpy", "einops", "builtins", "ugpnet_core"}
_DEPTH = 3


def fingerprint(network: nn.Module) -> dict[str, object]:
    """What a network could keep from call to call, by a name that an author understands: in
    parameters, buffers, attributes and hooks of its layers, in their classes and the modules where
    those stand, in context variables and in the environment."""
    return {name: _look(value) for name, value in _places(network)}


def _places(network: nn.Module) -> Iterator[tuple[str, object]]:
    yield "the environment variables", dict(os.environ)
    for variable, value in contextvars.copy_context().items():
        yield f"variable {variable.name!r}", value
    classes = set()
    for path, layer in network.named_modules():
        where = f"of layer {path!r}" if path else "of the network"
        values = {**vars(layer), **layer._parameters, **layer._buffers}
        for name, value in values.items():
            if name not in ("_parameters", "_buffers"):
                yield f"attribute {name!r} {where}", value
        classes |= {c for c in type(layer).__mro__ if c.__module__.split(".")[0] not in _LIBRARIES}
    for one in classes:
        for name, value in vars(one).items():
            yield f"class attribute {one.__name__}.{name}", value
    for module in {one.__module__ for one in classes}:
        for name, value in vars(sys.modules.get(module, ModuleType(module))).items():
            yield f"variable {name!r} of module {module}", value


class _Values:
    """The values of a tensor, equal to those of another where they differ by rounding only: a map
    that is kept to be looked at is the same after the same image."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor.detach().clone()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Values) and difference([self.tensor], [other.tensor]) <= SAME

    __hash__ = None  # type: ignore[assignment]


def _look(value: Any, depth: int = _DEPTH) -> object:
    """Something to compare with ``==`` that differs where a value has changed."""
    if isinstance(value, Tensor):
        return _Values(value)
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, (Mapping, Sequence, Set)) and not isinstance(value, (str, bytes)):
        if not depth or len(value) > 1000:
            return len(value)
        members = value.items() if isinstance(value, Mapping) else value
        return [_look(member, depth - 1) for member in list(members)]
    if callable(value) or isinstance(value, ModuleType):
        return id(value)
    if depth and hasattr(value, "__dict__"):
        return [_look(one, depth - 1) for one in vars(value).items()]
    return repr(value)  # counters of itertools, too, show where they are


def unregistered(network: nn.Module) -> dict[str, bool]:
    """Names of attributes that hold tensors or layers which the network does not know of: in
    plain lists and dictionaries, or tensors that are no buffers; and whether an optimiser would
    miss parameters there."""
    known = {id(one) for one in (*network.parameters(), *network.buffers(), *network.modules())}
    found: dict[str, bool] = {}
    for path, layer in network.named_modules():
        for attribute, value in vars(layer).items():
            name = f"{path}.{attribute}".lstrip(".")
            for one in _inside(value):
                if id(one) not in known:
                    found[name] = found.get(name, False) or _is_trained(one)
    return found


def _is_trained(one: Tensor | nn.Module) -> bool:
    if isinstance(one, nn.Module):
        return next(one.parameters(), None) is not None
    return isinstance(one, nn.Parameter)


def _inside(value: object, depth: int = _DEPTH) -> list[Tensor | nn.Module]:
    """Tensors and layers in a value and the containers in it."""
    if isinstance(value, (Tensor, nn.Module)):
        return [value]
    if depth and isinstance(value, (list, tuple, dict, set)):
        members = value.values() if isinstance(value, dict) else value
        return [one for member in members for one in _inside(member, depth - 1)]
    return []


def culprit(network: nn.Module) -> str:
    """What to do about the first that is unregistered, to begin an advice; empty without one."""
    name = next(iter(unregistered(network)), "")
    return f"register {name!r} with register_buffer, and " if name else ""
