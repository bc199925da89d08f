"""Where in a checkpoint a state dict lies: in which dictionary.

Training codes save a state dict within dictionaries. Usual names are known; where several networks
could be meant, ``key`` says which. What is a network in a state dict is in
:mod:`ugpnet_core.checkpoints.modules`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from ugpnet_core.checkpoints.modules import (
    averaged,
    is_tensor,
    quoted,
    under,
    with_plain_names,
    without_wrapper,
)
from ugpnet_core.checkpoints.recognition import (
    Kind,
    meant,
    network_prefixes,
    networks_in,
    signatures,
)
from ugpnet_core.errors import SeveralNetworksError, WeightsError

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
# What training codes keep beside networks, and dictionaries within dictionaries of it: optimizer_g,
# lr_schedulers, GradScaler. An upscaler is a network.
_NO_NETWORKS = re.compile(
    r"(^|[^a-z])(optim(i[sz]ers?)?|(lr)?sched(ulers?)?|(grad|amp)?scalers?|callbacks|loops"
    r"|hyper_parameters)[gd]?($|[^a-z])",
    re.IGNORECASE,
)
_DEPTH = 5
_MOST = 10_000
_MOST_STATE_DICTS = 256
_LONGEST = 1_000  # characters of a name that others stand behind
_HOLDERS = (Mapping, list, tuple)


def inside_wrappers(content: Any) -> Any:
    """What the dictionaries hold that published training code saves around a state dict."""
    for _ in range(_DEPTH):  # dictionaries can hold themselves
        if not isinstance(content, Mapping) or _is_state_dict(content):
            break
        known = (key for key in WRAPPERS if any(True for _ in state_dicts(content.get(key))))
        wrapper = next(known, None)
        if wrapper is None:
            break
        content = content[wrapper]
    is_state_dict = isinstance(content, Mapping) and _is_state_dict(content)
    return with_plain_names(content) if is_state_dict else content


def state_dicts(content: Any) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Every dictionary with tensors in it, by the names that lead to it, joined by dots."""
    if not isinstance(content, _HOLDERS):
        return
    waiting: list[tuple[str, Any, int]] = [("", content, _DEPTH)]
    found, others = 0, set[int]()
    for place, inner, depth in waiting:  # which grows meanwhile
        if id(inner) in others:
            continue
        if isinstance(inner, Mapping) and _is_state_dict(inner):
            yield place, with_plain_names(inner)
            found += 1
            if found == _MOST_STATE_DICTS:
                return
            continue
        others.add(id(inner))
        places = (
            inner
            if isinstance(inner, Mapping)
            else dict(zip(map(str, range(len(inner))), inner, strict=True))
        )
        inside = (
            (f"{place}.{key}".lstrip("."), value, depth - 1)
            for key, value in places.items()
            if isinstance(value, _HOLDERS) and isinstance(key, str) and not _NO_NETWORKS.search(key)
        )
        if depth > 0 and len(place) < _LONGEST:
            waiting += islice(inside, _MOST - len(waiting))


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


def _kind(state: Mapping[Any, Any]) -> Kind:
    keys = [key for key in state if isinstance(key, str)]
    place = next(iter(network_prefixes(keys)), None)
    if place is None:
        return "unknown"
    kind = networks_in(keys)[place]
    heads = (place + end for end, (told, _) in signatures().items() if told == "classifier")
    # Of an image classifier the last layer is linear; other networks' first one may be called so.
    if kind == "classifier" and not any(
        head in state and is_tensor(state[head]) and len(state[head].shape) == 2 for head in heads
    ):
        return "unknown"
    return kind


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
