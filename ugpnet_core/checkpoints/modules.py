"""Which module of a state dict is the network: behind which prefix it lies.

Training codes save the network within a module that has losses, metrics and averaged copies beside
it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from torch import Tensor

from ugpnet_core.checkpoints.pickles.stored_tensor import StoredTensor
from ugpnet_core.checkpoints.recognition import (
    network_prefixes,
    networks_in,
    outermost,
    prefixes,
)
from ugpnet_core.errors import SeveralNetworksError, WeightsError

T = TypeVar("T")

AVERAGED = re.compile(r"(^|[._-])(ema|swa|avg|averaged?|shadow)([._-]|$)|ema_model", re.IGNORECASE)
# What wraps a network for several devices, before all of its keys.
_PARALLEL = "module."
# What compiling, FSDP and recomputed activations put into names, wherever the module was.
WITHIN = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_DEPTH = 5
# Modules of a file that are tried as a network.
_MOST = 256
_SHOWN = 8


def is_tensor(value: object) -> bool:
    """Whether this is a tensor, read or still in a file.

    Args:
        value: Anything that a checkpoint may hold.
    """
    return isinstance(value, Tensor | StoredTensor)


def network_prefix(state: Mapping[Any, Any], source: str) -> str:
    """What stands before the keys of a known architecture in a state dict: a prefix that all keys
    share, or that of the one network among other modules; nothing where none is known.

    Raises:
        SeveralNetworksError: There are several such networks; the message lists their names.
    """
    keys = [key for key, value in state.items() if isinstance(key, str) and is_tensor(value)]
    found = averaged(network_prefixes(keys))
    # Parts of a larger network may look like small ones; networks are most of a file.
    if len(found) > 1 and 2 * sum(key.startswith(tuple(found)) for key in keys) < len(keys):
        return ""
    return the_one(found, source) if found else ""


def is_counter(key: object, value: Any) -> bool:
    """Whether this may be an epoch or the like, which training codes save among the tensors: a
    single number beside the modules of a network. Some networks have such numbers of their own.

    Args:
        key: The name in a state dict.
        value: What is there under it.
    """
    return isinstance(key, str) and "." not in key and is_tensor(value) and not value.shape


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
        SeveralNetworksError: There are several such networks; the message lists their names.
        WeightsError: As ``load``.
    """
    state = {key: value for key, value in tensors.items() if not is_counter(key, value)}
    places = [(prefix, under(state, prefix)) for prefix in possible_prefixes(state)[:_MOST]]
    if len(state) < len(tensors):
        places.insert(1, ("", dict(tensors)))  # the numbers may be its own
    made: dict[str, T] = {}
    wrong: list[WeightsError] = []
    for prefix, part in places:
        if any(prefix.startswith(outer) for outer in made):
            continue
        try:
            network = load(part)
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
    found = outermost(averaged(found))
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


def without_wrapper(state: Mapping[Any, Any]) -> dict[Any, Any]:
    """A state dict without the ``module.`` that all its keys begin with, and without what
    compiling and the like put into them."""
    inner = with_plain_names(state)
    while inner and all(isinstance(key, str) and key.startswith(_PARALLEL) for key in inner):
        inner = under(inner, _PARALLEL)
    return inner


def with_plain_names(state: Mapping[Any, Any]) -> dict[Any, Any]:
    """A state dict without what compiling and the like put into names (``_orig_mod.``)."""
    return {
        WITHIN.sub("", key) if isinstance(key, str) else key: value for key, value in state.items()
    }


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
