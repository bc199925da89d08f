"""Weights in files: read them safely, and fit them strictly to a network.

Nothing is ever unpickled: see :mod:`ugpnet_core.checkpoints.pickles.restricted`.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from ugpnet_core.atomic import write_beside
from ugpnet_core.checkpoints.backbones import options_in_words
from ugpnet_core.checkpoints.file import NCNN, Checkpoint, read_checkpoint_file
from ugpnet_core.checkpoints.locating import find_state_dict, inside_wrappers
from ugpnet_core.checkpoints.modules import (
    averaged,
    is_counter,
    is_tensor,
    network_prefix,
    possible_prefixes,
    printable,
    quoted,
    under,
    without_wrapper,
)
from ugpnet_core.checkpoints.pickles.restricted import Inert
from ugpnet_core.checkpoints.pickles.stored_tensor import StoredTensor
from ugpnet_core.checkpoints.recognition import network_prefixes, recognise
from ugpnet_core.errors import WeightsError

# Tied weights share memory; a small file whose tensors share all of theirs is no checkpoint.
SHARING = 8
# Buffers that may be missing: the constructor computes them.
COMPUTED = "num_batches_tracked"
# What thop leaves in every layer that it has counted.
COUNTED = ("total_ops", "total_params")
# Functions that make tensors.
REBUILT = ("torch._utils._rebuild", "torch._tensor._rebuild")


def read_tensors(path: str | PathLike[str], key: str | None = None) -> dict[str, Tensor]:
    """Read a state dict from a file in any of the formats that
    :mod:`ugpnet_core.checkpoints.file` knows, unwrapped, without executing anything in it, and
    without the prefix of a known architecture and the modules beside it.

    Args:
        path: The file, told by its content and not by its name.
        key: The network of a file that holds several, by the name of its dictionary, or of its
            module in a larger state dict.

    Returns:
        The tensors by their names.

    Raises:
        WeightsError: The file is missing, damaged, or holds Python objects or no tensors; or
            several networks, or nothing under ``key``; or values that are no finite numbers.
    """
    tensors = without_prefix(unwrap(read_checkpoint_file(path), key), str(path))
    check_finite(tensors, str(path))
    return tensors


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of a ``.safetensors`` file, without unwrapping.

    Raises:
        WeightsError: the file is missing, damaged, or in another format.
    """
    file = read_checkpoint_file(path)
    if file.container != "safetensors":
        raise WeightsError(f"{path} is no safetensors file but a {file.container}; give another.")
    return file.content, file.metadata


def unwrap(file: Checkpoint, key: str | None = None) -> dict[str, Tensor]:
    """Find the state dict inside a published checkpoint, read it and strip ``module.`` prefixes.

    Args:
        key: as for :func:`read_tensors`.

    Raises:
        WeightsError: there is none, or several; or its tensors together are far larger than the
            file.
    """
    if file.container == NCNN:
        raise WeightsError(
            f"{file.path} is a network of ncnn, whose layers have no names; make a checkpoint of "
            f"it: ugpnet convert {file.path} NEW.safetensors"
        )
    content = find_state_dict(file.content, key, str(file.path))
    tensors = load_tensors(content or {}, file)
    if tensors:
        return tensors
    outer = inside_wrappers(file.content)
    beside: Iterable[Any] = outer if isinstance(outer, (tuple, list)) else ()
    if isinstance(outer, Mapping):
        beside = outer.values()
    found = next((each for each in (outer, *beside) if isinstance(each, Inert)), None)
    if found is not None:
        raise WeightsError(
            f"{file.path} holds Python objects, which are never loaded; ask for a file with "
            f"tensors only (found: {printable(found.name)})."
        )
    raise WeightsError(f"{file.path} holds no state dict; give a checkpoint of a network.")


def without_prefix(state: Mapping[Any, Any], source: str) -> dict[Any, Any]:
    """A state dict, read or still in a file, without what stands before the keys of a known
    architecture (``model.`` of Lightning, ``module.net_g.``), and without what is beside it:
    losses, metrics, other networks, and of a known one counters.

    Raises:
        WeightsError: it holds several networks that could be meant.
    """
    inner = under(state, network_prefix(state, source))
    if not network_prefixes(key for key in inner if isinstance(key, str)):
        return inner  # what is single there may be an unknown network's own
    return {key: value for key, value in inner.items() if not is_counter(key, value)}


def load_tensors(content: Mapping[Any, Any], file: Checkpoint) -> dict[str, Tensor]:
    """Read the tensors of a state dict that lies in a file, without the ``module.`` before all
    keys and what compiling put into them; what is no tensor is left out.

    Args:
        content: The dictionary, whose tensors may still be in the file.
        file: The file that it lies in.

    Returns:
        The tensors by their names.

    Raises:
        WeightsError: A tensor is of a kind that cannot be read (sparse, quantised), or they are
            together far larger than the file, by sharing memory.
    """
    content = {key: value for key, value in content.items() if isinstance(key, str)}
    found = {
        key: value
        for key, value in content.items()
        if is_tensor(value) and key.rpartition(".")[2] not in COUNTED
    }
    unreadable = {
        key: value.name
        for key, value in content.items()
        if isinstance(value, Inert) and value.name.startswith(REBUILT)
    }
    # Beside a known network they may be what they are.
    prefix = network_prefix(found, str(file.path)) if unreadable else ""
    first = next((key for key in unreadable if key.startswith(prefix)), None)
    if first is not None:
        raise WeightsError(
            f"{printable(first)!r} in {file.path} is a tensor that cannot be read "
            f"({printable(unreadable[first])}); ask for a file with plain tensors."
        )
    if sum(math.prod(v.shape) * v.dtype.itemsize for v in found.values()) > SHARING * file.size:
        raise WeightsError(f"{file.path} is damaged: its tensors repeat themselves; get it again.")
    tensors = {
        key: value.load() if isinstance(value, StoredTensor) else value
        for key, value in found.items()
    }
    return without_wrapper(tensors)


def load_weights(network: nn.Module, path: str | PathLike[str], key: str | None = None) -> None:
    """Read a file into a network; every key and shape must fit, but for a prefix before the keys of
    the network (``model.``, ``net_g.``, ``module.model.``) and for what else the file holds.

    A network whose published checkpoints have other layouts as well renames their keys in
    ``translate_published_keys`` (see :class:`ugpnet_core.protocols.Backbone`).

    Args:
        key: as for :func:`read_tensors`.

    Raises:
        WeightsError: as :func:`read_tensors`, or as :func:`fit`.
    """
    tensors = unwrap(read_checkpoint_file(path), key)
    fit(network, reading_for(network, tensors), str(path))


def reading_for(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What of a state dict is the network's, in its own keys as far as it knows how to rename
    them; where nothing fits, what comes nearest, and where several parts do, all of it.
    """
    own = network.state_dict().keys()
    translate = getattr(network, "translate_published_keys", dict)
    # Counters may be missing, and stand in losses, too.
    anchor = max((key for key in own if not key.endswith(COMPUTED)), key=len, default=None)
    tensors = {key: v for key, v in tensors.items() if key in own or not is_counter(key, v)}
    readings = {
        prefix: translate(under(tensors, prefix)) for prefix in possible_prefixes(tensors, anchor)
    }
    if not readings:
        return {}
    differing = {prefix: len(_differing(own, reading)) for prefix, reading in readings.items()}
    fitting = averaged(prefix for prefix, count in differing.items() if not count)
    if len(fitting) > 1:
        return dict(tensors)
    return readings[fitting[0] if fitting else min(differing, key=differing.__getitem__)]


def _differing(own: Iterable[str], reading: Mapping[str, Tensor]) -> set[str]:
    """The keys that only one of the two has, but for counters that the constructor computes."""
    own = set(own)
    optional = {key for key in own if key.endswith(COMPUTED)}
    return (own - optional) ^ (reading.keys() - optional)


def fit(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy tensors into a network; every key and shape must fit.

    Buffers that the constructor computes (batch counters) may be left out.

    Raises:
        WeightsError: they do not fit, and the message says what they look like instead; or they
            hold values that are no finite numbers.
    """
    check_fit(network, tensors, source)
    check_finite(tensors, source)
    network.load_state_dict(dict(tensors), strict=False)


def check_finite(tensors: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights that are no numbers: everything they make is none either.

    Raises:
        WeightsError: the message names one of them.
    """
    for key, value in tensors.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise WeightsError(
                f"{key!r} in {source} has values that are no finite numbers, so nothing can be "
                "restored with it; get the file again, or an earlier one."
            )


def check_fit(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Compare keys and shapes as :func:`fit` does, and change nothing."""
    own = network.state_dict()
    optional = {key for key in own if key.endswith(COMPUTED)}
    missing = sorted(own.keys() - tensors.keys() - optional)
    unexpected = sorted(tensors.keys() - own.keys())
    shapes = sorted(k for k in own.keys() & tensors.keys() if own[k].shape != tensors[k].shape)
    if not (missing or unexpected or shapes):
        return
    choose = ""
    if shapes and not (missing or unexpected):
        key = shapes[0]
        problem = (
            f"{key!r} is {tuple(tensors[key].shape)} there and {tuple(own[key].shape)} here; "
            "check the options"
        )
    else:
        problem = f"{len(missing)} keys are missing and {len(unexpected)} unknown"
        examples = [repr(keys[0]) for keys in (missing, unexpected) if keys]
        problem += f" (for instance {' and '.join(examples)})"
        begins = {key.partition(".")[0] for key in unexpected}
        in_modules = all("." in key for key in unexpected)
        if (
            in_modules
            and 1 < len(begins) < 5
            and not begins & {key.partition(".")[0] for key in own}
        ):
            problem += f", all of them under {quoted(begins)}"
            choose = "; say with key= (--key) which of them you mean"
    raise WeightsError(
        f"{source} does not fit {type(network).__name__}: {problem}; it looks like "
        f"{recognise(tensors)}{options_in_words(tensors)}{choose}."
    )


def write_safetensors(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str], path: str | PathLike[str]
) -> None:
    """Write tensors and metadata; the file appears whole or not at all."""
    stored: dict[str, Tensor] = {}
    seen = set()
    for key, value in tensors.items():
        value = value.detach().cpu().contiguous()
        # safetensors refuses tensors that share memory, which tied weights do.
        memory = value.untyped_storage().data_ptr()
        stored[key] = value.clone() if memory in seen else value
        seen.add(memory)

    def write(partial: Path) -> None:
        partial.touch()
        mode = partial.stat().st_mode  # what new files get here; the library lets the owner only
        try:
            save_file(stored, partial, metadata=dict(metadata))
            partial.chmod(mode)
        except SafetensorError as error:  # the library's word for a disk that refuses
            raise OSError(errno.EIO, str(error)) from error

    write_beside(Path(path), write)
