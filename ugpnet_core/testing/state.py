"""State that a network keeps outside of its parameters and buffers, and how to see it change."""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import os
import sys
import types
from collections.abc import Mapping, Sequence, Set

import numpy as np
import torch
from torch import Tensor, nn

from ugpnet_core.testing.differences import SAME, difference

# What libraries keep in their own modules is their matter.
_LIBRARIES = {"torch", "torchvision", "timm", "numpy", "einops", "builtins", "ugpnet_core"}
_OWN_OF_MODULE = set(vars(nn.Module()))
_DEPTH = 3
_SIMPLE = (bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.memory_format)


def fingerprint(network: nn.Module) -> dict[str, object]:
    """What a network could keep from call to call, by a name that an author understands.

    Numbers, strings, tensors and containers of the former in attributes of layers, and how many
    hooks those have; the same in class attributes, in variables of the modules where the classes
    stand, in default arguments and in closures; environment variables.
    """
    found: dict[str, object] = {"the environment variables": dict(os.environ)}
    classes: dict[type, None] = {}
    for path, layer in network.named_modules():
        where = f"of layer {path!r}" if path else "of the network"
        for name, value in vars(layer).items():
            if name.endswith("_hooks"):
                found[f"the number of {name.strip('_').replace('_', ' ')} {where}"] = len(value)
            elif isinstance(value, Tensor):
                # Kept to be looked at (an attention map), it is the same after the same image.
                found[f"attribute {name!r} {where}"] = _Values(value)
            elif name not in _OWN_OF_MODULE:
                found[f"attribute {name!r} {where}"] = _print(value, tensors=False)
        for one in type(layer).__mro__:
            if one.__module__.partition(".")[0] not in _LIBRARIES:
                classes[one] = None
    for one in classes:
        for name, value in vars(one).items():
            if isinstance(value, types.FunctionType):
                found |= _of_function(value)
            elif not name.startswith("__"):
                found[f"class attribute {one.__name__}.{name}"] = _print(value)
    for module in {one.__module__ for one in classes}:
        for name, value in vars(sys.modules.get(module, types.ModuleType(module))).items():
            if isinstance(value, types.FunctionType) and value.__module__ == module:
                found |= _of_function(value)
            elif not name.startswith("__"):
                found[f"variable {name!r} of module {module}"] = _print(value)
    return found


def changes(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """The names of what differs or is new."""
    return [name for name, value in after.items() if before.get(name) != value]


def unregistered(network: nn.Module) -> list[str]:
    """Names of attributes that hold tensors or layers which the network does not know of: in
    plain lists and dictionaries, or tensors that are no buffers."""
    known = {id(value) for value in (*network.parameters(), *network.buffers())}
    known |= {id(layer) for layer in network.modules()}
    names = []
    for path, layer in network.named_modules():
        for name, value in vars(layer).items():
            if name not in _OWN_OF_MODULE and any(id(one) not in known for one in _inside(value)):
                names.append(f"{path}.{name}".lstrip("."))
    return names


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


def lost_parameters(network: nn.Module) -> list[str]:
    """Names of attributes that hold parameters which an optimiser would not see."""
    known = {id(value) for value in network.parameters()}
    names = []
    for path, layer in network.named_modules():
        for name, value in vars(layer).items():
            if name in _OWN_OF_MODULE:
                continue
            for one in _inside(value):
                own = one.parameters() if isinstance(one, nn.Module) else [one]
                if any(isinstance(p, nn.Parameter) and id(p) not in known for p in own):
                    names.append(f"{path}.{name}".lstrip("."))
                    break
    return names


def _inside(value: object, depth: int = _DEPTH) -> list[Tensor | nn.Module]:
    """Tensors and layers in a value and the containers in it."""
    if isinstance(value, (Tensor, nn.Module)):
        return [value]
    if depth and isinstance(value, (list, tuple, dict, set)):
        members = value.values() if isinstance(value, dict) else value
        return [one for member in members for one in _inside(member, depth - 1)]
    return []


def _of_function(function: types.FunctionType) -> dict[str, object]:
    """Mutable default arguments, variables of an enclosing function, and attributes."""
    name = function.__qualname__
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    found: dict[str, object] = {f"a default argument of {name}": _print(defaults)}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for variable, cell in cells:
        if variable != "__class__":
            with contextlib.suppress(ValueError):  # an empty cell
                found[f"variable {variable!r} around {name}"] = _print(cell.cell_contents)
    for attribute, value in vars(function).items():
        found[f"attribute {attribute!r} of function {name}"] = _print(value)
    return found


class _Values:
    """The values of a tensor, equal to those of another where they differ by rounding only."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor.detach().clone()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Values) and difference([self.tensor], [other.tensor]) <= SAME

    __hash__ = None  # type: ignore[assignment]


def _print(value: object, depth: int = _DEPTH, tensors: bool = True) -> object:
    """Something to compare with ``==`` that differs where a value has changed."""
    if value is None or isinstance(value, _SIMPLE):
        return repr(value)
    if isinstance(value, Tensor):
        return (id(value), value._version) if tensors else None
    if isinstance(value, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    if isinstance(value, contextvars.ContextVar):
        return _print(value.get(None), depth, tensors)
    if isinstance(value, torch.Generator):
        return hashlib.sha256(value.get_state().numpy().tobytes()).hexdigest()
    if isinstance(value, nn.Module) or callable(value) or isinstance(value, types.ModuleType):
        return id(value)
    if isinstance(value, (Mapping, Sequence, Set)):
        length = len(value)
        if not depth or length > 1000:
            return length
        members = value.items() if isinstance(value, Mapping) else value
        return (length, *(_print(member, depth - 1, tensors) for member in list(members)))
    if depth and hasattr(value, "__dict__"):
        own = {name: _print(one, depth - 1, tensors) for name, one in vars(value).items()}
        return (id(value), *own.items())
    # Counters of itertools and the like show where they are.
    return repr(value) if type(value).__module__ == "itertools" else id(value)
