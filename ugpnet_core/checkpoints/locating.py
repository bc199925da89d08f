"""Where in a checkpoint a network lies: in which dictionary, and behind which prefix.

Training codes save a state dict within dictionaries, and the network within a module that has
losses, metrics and averaged copies beside it. Usual names are known; where several networks could
be meant, ``key`` says which.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from torch import Tensor

from ugpnet_core.checkpoints.pickles.stored_tensor import StoredTensor
from ugpnet_core.checkpoints.recognition import (
    Kind,
    meant,
    network_prefixes,
    networks_in,
    outermost,
    prefixes,
)
from ugpnet_core.errors import SeveralNetworksError, WeightsError

T = TypeVar("T")

# Where published checkpoints keep the state dict, the averaged one first.
WRAPPERS = (
    "params_ema",
    "params-ema",
    "g_ema",
    "net_g_ema",
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
    "params",
    "state_dict",
    "model_state_dict",
    "model_state",
    "network_state_dict",
    "model",
    "net",
    "net_g",
    "module",
    "shadow",
)
AVERAGED = re.compile(r"(^|[._-])(ema|swa|avg|averaged?|shadow)([._-]|$)|ema_model", re.IGNORECASE)
# Prefixes of a network that was wrapped for several devices, or compiled.
PREFIXES = ("module.", "_orig_mod.")
# What training codes keep beside networks, and dictionaries within dictionaries of it.
_NO_NETWORKS = re.compile(r"optim|sched|scaler|callbacks|loops|hyper_parameters", re.IGNORECASE)
_DEPTH = 5
_MOST = 10_000
_SHOWN = 8


def is_tensor(value: object) -> bool:
    """Whether this is a tensor, read or still in a file.

    Args:
        value: Anything that a checkpoint may hold.
    """
    return isinstance(value, Tensor | StoredTensor)


def inside_wrappers(content: Any) -> Any:
    """What the dictionaries hold that published training code saves around a state dict."""
    while isinstance(content, Mapping) and not _is_state_dict(content):
        known = (key for key in WRAPPERS if any(True for _ in state_dicts(content.get(key))))
        wrapper = next(known, None)
        if wrapper is None:
            break
        content = content[wrapper]
    return content


def state_dicts(content: Any) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Every dictionary with tensors in it, by the names that lead to it, joined by dots."""
    waiting: list[tuple[str, Any, int]] = [("", content, _DEPTH)]
    seen = 0
    while waiting and seen < _MOST:
        place, inner, depth = waiting.pop(0)
        seen += 1
        if not isinstance(inner, Mapping):
            continue
        if _is_state_dict(inner):
            yield place, inner
        elif depth > 0:
            waiting += [
                (f"{place}.{key}".lstrip("."), value, depth - 1)
                for key, value in inner.items()
                if isinstance(key, str) and not _NO_NETWORKS.search(key)
            ]


def find_state_dict(content: Any, key: str | None, source: str) -> Mapping[Any, Any] | None:
    """The state dict in a file's content, read or not; None where there is none.

    Args:
        key: the name of the dictionary that holds it, or of the module within a larger state dict
            (joined by dots where it is nested); None finds it.

    Raises:
        WeightsError: nothing has that name, or there are several and none is named; the message
            lists the names.
    """
    if key is not None:
        content = at(content, key, source)
    content = inside_wrappers(content)
    found = dict(state_dicts(content))
    known = averaged(meant({place: _kind(state) for place, state in found.items()}))
    if len(known) > 1:
        raise SeveralNetworksError(
            f"{source} holds no state dict but several, under {quoted(known)}; save the one you "
            "mean as a file of its own, or name it with key= (--key)."
        )
    return found[known[0]] if known else None


def network_prefix(state: Mapping[Any, Any], source: str) -> str:
    """What stands before the keys of a known architecture in a state dict: a prefix that all keys
    share, or that of the one network among other modules; nothing where none is known.

    Raises:
        WeightsError: there are several such networks; the message lists their names.
    """
    keys = [key for key, value in state.items() if isinstance(key, str) and is_tensor(value)]
    found = averaged(network_prefixes(keys))
    # Parts of a larger network may look like small ones; networks are most of a file.
    if len(found) > 1 and 2 * sum(key.startswith(tuple(found)) for key in keys) < len(keys):
        return ""
    return the_one(found, source) if found else ""


def find_network(
    tensors: Mapping[str, Tensor], load: Callable[[dict[str, Tensor]], T | None], source: str
) -> T | None:
    """Load the one network in a state dict that a function knows, whatever stands before its keys
    and beside it; of several, the averaged copy.

    Args:
        tensors: The state dict.
        load: Makes the network of its own state dict; None where it knows none of such keys. A
            :class:`~ugpnet_core.errors.WeightsError` of one part of the file counts where no
            other part is a network.
        source: What a message calls the file.

    Returns:
        What ``load`` made; None where it knows nothing of it.

    Raises:
        WeightsError: there are several such networks; the message lists their names.
    """
    # Counters that training codes save among the tensors, which networks check the keys of.
    state = {key: value for key, value in tensors.items() if "." in key or value.dim()}
    made: dict[str, T] = {}
    wrong: list[WeightsError] = []
    for prefix in possible_prefixes(state):
        if any(prefix.startswith(outer) for outer in made):
            continue
        try:
            network = load(under(state, prefix))
        except WeightsError as error:
            wrong.append(error)
        else:
            made |= {} if network is None else {prefix: network}
    if wrong and not made:
        raise wrong[0]
    return made[the_one(made, source)] if made else None


def the_one(found: Iterable[str], source: str) -> str:
    """Of prefixes that all lead to a network that could be meant, the one that is.

    Raises:
        SeveralNetworksError: there are several; the message lists their names.
    """
    found = averaged(outermost(found))
    if len(found) > 1:
        names = quoted(prefix.rstrip(".") for prefix in found)
        raise SeveralNetworksError(
            f"{source} holds several networks that could be meant, under {names}; name one with "
            "key= (--key)."
        )
    return found[0]


def averaged(found: Iterable[str]) -> list[str]:
    """Of several prefixes or names that all lead to a network, that of the averaged copy alone,
    where there is one.

    Args:
        found: The prefixes or names.
    """
    found = list(found)
    copies = [prefix for prefix in found if AVERAGED.search(prefix)]
    return copies if len(copies) == 1 else found


def at(content: Any, key: str, source: str) -> Mapping[Any, Any]:
    """What of a file's content lies under a name that a message of this module offers: a state
    dict, or a dictionary that holds some.

    Args:
        key: as for :func:`find_state_dict`; the beginning of a name may be left out where one
            network alone ends so.

    Raises:
        WeightsError: nothing has that name, or several have; the message lists the names.
    """
    found = dict(state_dicts(content))
    places = [place for place in found if place.endswith(f".{key}")]
    if key in found or places:
        return found[key if key in found else _only(places, key, source)]
    value = _value_at(content, key)
    if isinstance(value, Mapping) and any(True for _ in state_dicts(value)):
        return value
    usual = inside_wrappers(content)
    inner = _module(usual, key) if isinstance(usual, Mapping) else {}
    if inner:
        return inner
    # The name of a module, behind that of its dictionary or without it.
    modules = {
        f"{place}.{name}": inner
        for place, state in found.items()
        for name in dict.fromkeys((key, key.removeprefix(f"{place}.")))
        if (inner := _module(state, name))
    }
    if modules:
        return modules[_only(modules, key, source)]
    raise WeightsError(f"{source} holds nothing under {key!r}; there are {_places(found)}.")


def _only(places: Iterable[str], key: str, source: str) -> str:
    first, *others = averaged(places)
    if others:
        raise SeveralNetworksError(
            f"{source} holds several networks that could be meant by {key!r}: "
            f"{quoted([first, *others])}; name one of them with key= (--key)."
        )
    return first


def _module(state: Mapping[Any, Any], name: str) -> dict[Any, Any]:
    """What a state dict has of a module, as messages name it: without what wraps all of it."""
    return under(state, f"{name}.") or under(without_wrapper(state), f"{name}.")


def without_wrapper(state: Mapping[Any, Any]) -> dict[Any, Any]:
    """A state dict without the ``module.`` and ``_orig_mod.`` that all its keys begin with."""
    inner = dict(state)
    while prefix := next(
        (p for p in PREFIXES if inner and all(str(key).startswith(p) for key in inner)), None
    ):
        inner = {key.removeprefix(prefix): value for key, value in inner.items()}
    return inner


def under(state: Mapping[Any, Any], prefix: str) -> dict[Any, Any]:
    """What of a state dict begins with a prefix, without it."""
    if not prefix:
        return dict(state)
    return {
        key.removeprefix(prefix): value
        for key, value in state.items()
        if isinstance(key, str) and key.startswith(prefix)
    }


def possible_prefixes(keys: Iterable[str], anchor: str | None = None) -> list[str]:
    """Where a network may begin in a state dict, the likeliest first: behind prefixes that all keys
    share, where a known architecture begins, where the key ``anchor`` of a network is found, or
    else behind the name of each module on top, and of modules of these.

    Args:
        keys: The keys of the state dict.
        anchor: A key that the network is known to have.

    Returns:
        The prefixes, each ending in a dot unless it is empty.
    """
    keys = list(keys)
    found = [*prefixes(keys), *networks_in(keys)]
    if anchor is not None:
        ends = [key for key in keys if key == anchor or key.endswith(f".{anchor}")]
        found += [key.removesuffix(anchor) for key in ends]
    else:
        modules = dict.fromkeys(place for key in keys for place in _modules(key))
        found += sorted(modules, key=lambda place: place.count("."))
    return list(dict.fromkeys(found))


def _modules(key: str) -> Iterator[str]:
    """The modules that hold a tensor and may be a network, from the top: what has a number below
    another one is a layer of it."""
    *names, _ = key.split(".")
    for depth, name in enumerate(names[:_DEPTH], 1):
        if depth > 1 and name.isdigit():
            return
        yield ".".join(names[:depth]) + "."


def quoted(keys: Iterable[Any]) -> str:
    """A few keys for a message."""
    words = sorted(repr(printable(key)) for key in keys if isinstance(key, str))
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def printable(name: str) -> str:
    """A name out of a stranger's file, as it can be shown."""
    return (name if name.isprintable() else ascii(name))[:80]


def _kind(state: Mapping[Any, Any]) -> Kind:
    networks = networks_in(key for key in state if isinstance(key, str))
    return next((networks[name] for name in meant(networks)), "unknown")


def _value_at(content: Any, key: str) -> Any:
    """What a name leads to, or names joined by dots."""
    if not isinstance(content, Mapping):
        return None
    if key in content:
        return content[key]
    first, _, rest = key.partition(".")
    return _value_at(content.get(first), rest) if rest else None


def _places(found: Mapping[str, Mapping[Any, Any]]) -> str:
    names = [place for place in found if place]
    if len(names) < 2:
        states = map(without_wrapper, found.values())
        keys = [key for state in states for key in state if isinstance(key, str)]
        names += [key.partition(".")[0] for key in keys if "." in key]
    return quoted(dict.fromkeys(names)) or "no names"


def _is_state_dict(content: Mapping[Any, Any]) -> bool:
    """Whether tensors lie in it under names of layers; a counter or a metric beside state dicts
    is none."""
    tensors = {k: each for k, each in content.items() if isinstance(k, str) and is_tensor(each)}
    if any("." in key and len(each.shape) > 1 for key, each in tensors.items()):
        return True
    inner = (value for value in content.values() if isinstance(value, Mapping))
    return any("." in key or len(each.shape) for key, each in tensors.items()) and not any(
        is_tensor(one) for each in inner for one in each.values()
    )
