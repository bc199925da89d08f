"""Whole networks in a pickle, saved as objects: what they hold, as state dicts. Their code stays
what it was, names that nothing is done with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ugpnet_core.checkpoints.pickles.restricted import Inert
from ugpnet_core.checkpoints.pickles.stored_tensor import StoredTensor

# Dictionaries and modules can hold themselves.
_DEPTH = 5
_DEEPEST_MODULE = 32
_MOST = 10_000
_MOST_NETWORKS = 16
# Characters of a name that others stand behind: all of them repeat it.
_LONGEST = 1_000


def opened(content: Any) -> Any:
    """What a pickle holds, with the networks in it and in its dictionaries as state dicts. Where
    there is a state dict, objects beside it (losses, settings) stay as they are.

    Args:
        content: What was read; its dictionaries are changed.
    """
    if isinstance(content, Inert):
        return _state_dict(content) or content
    waiting: list[tuple[Any, int]] = [(content, _DEPTH)]
    networks: list[tuple[dict[Any, Any], Any, Inert]] = []
    for seen, (inner, depth) in enumerate(waiting):
        if not isinstance(inner, dict) or depth == 0 or seen > _MOST:
            continue
        for key, value in inner.items():
            if isinstance(value, StoredTensor) and isinstance(key, str) and "." in key:
                return content
            if isinstance(value, Inert):
                networks.append((inner, key, value))
            waiting.append((value, depth - 1))
    for inner, key, value in networks[:_MOST_NETWORKS]:
        inner[key] = _state_dict(value) or value
    return content


def _state_dict(network: Inert) -> dict[str, StoredTensor]:
    """The parameters and buffers of a module and of those inside of it; empty of what is none."""
    found: dict[str, StoredTensor] = {}
    waiting: list[tuple[str, Any, int]] = [("", network, _DEEPEST_MODULE)]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST:
        prefix, module, depth = waiting.pop()
        state = module.state if isinstance(module, Inert) else None
        if not isinstance(state, Mapping) or id(module) in seen:
            continue
        if depth == 0 or len(prefix) > _LONGEST:
            continue
        seen.add(id(module))
        for kind in ("_parameters", "_buffers"):
            found |= {
                f"{prefix}{name}": value
                for name, value in _items(state.get(kind))
                if isinstance(value, StoredTensor)
            }
        waiting += [
            (f"{prefix}{name}.", child, depth - 1) for name, child in _items(state.get("_modules"))
        ]
    return found


def _items(content: Any) -> list[tuple[str, Any]]:
    items = content.items() if isinstance(content, Mapping) else ()
    return [(key, value) for key, value in items if isinstance(key, str)]
