"""State that a network keeps outside of its parameters and buffers, and how to see it change."""

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
_OWN_OF_MODULE = set(vars(nn.Module()))
_DEPTH = 3


def fingerprint(network: nn.Module) -> dict[str, object]:
    """What a network could keep from call to call, by a name that an author understands: in
    attributes and hooks of its layers, in their classes and the modules where those stand, in
    context variables and in the environment."""
    found: dict[str, object] = {"the environment variables": dict(os.environ)}
    for variable, value in contextvars.copy_context().items():
        found[f"variable {variable.name!r}"] = _look(value)
    classes = set()
    for path, layer in network.named_modules():
        where = f"of layer {path!r}" if path else "of the network"
        for name, value in vars(layer).items():
            if name.endswith("_hooks"):
                found[f"the number of {name.strip('_').replace('_', ' ')} {where}"] = len(value)
            elif name not in _OWN_OF_MODULE:
                found[f"attribute {name!r} {where}"] = _look(value)
        classes |= {c for c in type(layer).__mro__ if c.__module__.split(".")[0] not in _LIBRARIES}
    for one in classes:
        for name, value in vars(one).items():
            found[f"class attribute {one.__name__}.{name}"] = _look(value)
    for module in {one.__module__ for one in classes}:
        for name, value in vars(sys.modules.get(module, ModuleType(module))).items():
            found[f"variable {name!r} of module {module}"] = _look(value)
    return found


def changes(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """The names of what differs or is new."""
    return [name for name, value in after.items() if before.get(name) != value]


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
    if callable(value) or isinstance(value, (ModuleType, nn.Module)):
        return id(value)
    if depth and hasattr(value, "__dict__"):
        return [_look(one, depth - 1) for one in vars(value).items()]
    return repr(value)  # counters of itertools, too, show where they are


def unregistered(network: nn.Module) -> list[str]:
    """Names of attributes that hold tensors or layers which the network does not know of: in
    plain lists and dictionaries, or tensors that are no buffers."""
    return list(dict.fromkeys(name for name, _ in _unknown(network)))


def lost_parameters(network: nn.Module) -> list[str]:
    """Names of attributes that hold parameters which an optimiser would not see."""
    return [
        name
        for name, one in _unknown(network)
        if isinstance(one, nn.Parameter)
        or (isinstance(one, nn.Module) and next(one.parameters(), None) is not None)
    ]


def _unknown(network: nn.Module) -> Iterator[tuple[str, Tensor | nn.Module]]:
    known = {id(one) for one in (*network.parameters(), *network.buffers(), *network.modules())}
    for path, layer in network.named_modules():
        for name, value in vars(layer).items():
            if name not in _OWN_OF_MODULE:
                for one in _inside(value):
                    if id(one) not in known:
                        yield f"{path}.{name}".lstrip("."), one


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
    names = unregistered(network)
    return f"register {names[0]!r} with register_buffer, and " if names else ""


def loaded(network: nn.Module, weights: Mapping[str, Tensor]) -> bool:
    """Load a state dict; False where it does not fit, which is for another check to say."""
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        return False
    return True
