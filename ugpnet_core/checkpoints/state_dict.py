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
from ugpnet_core.checkpoints.file import Checkpoint, read_checkpoint_file
from ugpnet_core.checkpoints.pickles.restricted import Inert
from ugpnet_core.checkpoints.pickles.stored_tensor import StoredTensor
from ugpnet_core.checkpoints.recognition import known_prefix, prefixes, recognise
from ugpnet_core.errors import WeightsError

# Where published checkpoints keep the state dict, the averaged one first.
WRAPPERS = (
    "params_ema",
    "params-ema",
    "g_ema",
    "state_dict_ema",
    "model_ema",
    "params",
    "state_dict",
    "model_state_dict",
    "model",
    "d",
    "net",
    "net_g",
    "module",
)
# Tied weights share memory; a small file whose tensors share all of theirs is no checkpoint.
SHARING = 8
# Prefixes of a network that was wrapped for several devices, or compiled.
PREFIXES = ("module.", "_orig_mod.")
# Functions that make tensors.
REBUILT = ("torch._utils._rebuild", "torch._tensor._rebuild")


def read_tensors(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Read a state dict from a file in any of the formats that
    :mod:`ugpnet_core.checkpoints.file` knows, unwrapped, without executing anything in it, and
    without the prefix of a known architecture.

    Raises:
        WeightsError: the file is missing, damaged, or holds Python objects or no tensors.
    """
    return without_prefix(unwrap(read_checkpoint_file(path)))


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of a ``.safetensors`` file, without unwrapping.

    Raises:
        WeightsError: the file is missing, damaged, or in another format.
    """
    file = read_checkpoint_file(path)
    if file.container != "safetensors":
        raise WeightsError(f"{path} is no safetensors file but a {file.container}; give another.")
    return file.content, file.metadata


def unwrap(file: Checkpoint) -> dict[str, Tensor]:
    """Find the state dict inside a published checkpoint, read it and strip ``module.`` prefixes.

    Raises:
        WeightsError: there is none, or its tensors together are far larger than the file.
    """
    content = inside_wrappers(file.content)
    tensors = load_tensors(content, file) if isinstance(content, Mapping) else {}
    if tensors:
        return tensors
    beside = content.values() if isinstance(content, Mapping) else ()
    found = next((each for each in (content, *beside) if isinstance(each, Inert)), None)
    if found is not None:
        raise WeightsError(
            f"{file.path} holds Python objects, which are never loaded; ask for a file with "
            f"tensors only (found: {_printable(found.name)})."
        )
    several = [
        key
        for key, value in (content.items() if isinstance(content, Mapping) else ())
        if isinstance(value, Mapping) and any(map(is_tensor, value.values()))
    ]
    if several:
        raise WeightsError(
            f"{file.path} holds no state dict but several, under {_quoted(several)}; save the one "
            "you mean as a file of its own."
        )
    raise WeightsError(f"{file.path} holds no state dict; give a checkpoint of a network.")


def without_prefix(state: Mapping[Any, Any]) -> dict[Any, Any]:
    """A state dict, read or still in a file, without the prefix (``model.`` of Lightning,
    ``module.net_g.``) that all its tensors share before the keys of a known architecture."""
    keys = [key for key, value in state.items() if isinstance(key, str) and is_tensor(value)]
    prefix = known_prefix(keys) or ""
    return {
        key.removeprefix(prefix) if isinstance(key, str) else key: value
        for key, value in state.items()
    }


def inside_wrappers(content: Any) -> Any:
    """What the dictionaries hold that published training code saves around a state dict."""
    while isinstance(content, Mapping):
        wrapper = next((key for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if wrapper is None:
            break
        content = content[wrapper]
    return content


def load_tensors(content: Mapping[Any, Any], file: Checkpoint) -> dict[str, Tensor]:
    """Read the tensors of a state dict that lies in a file, without ``module.`` and ``_orig_mod.``
    prefixes; what is no tensor is left out.

    Raises:
        WeightsError: a tensor is of a kind that cannot be read (sparse, quantised), or they are
            together far larger than the file, by sharing memory.
    """
    content = {key: value for key, value in content.items() if isinstance(key, str)}
    for key, value in content.items():
        if isinstance(value, Inert) and value.name.startswith(REBUILT):
            raise WeightsError(
                f"{_printable(key)!r} in {file.path} is a tensor that cannot be read "
                f"({_printable(value.name)}); ask for a file with plain tensors."
            )
    found = {key: value for key, value in content.items() if is_tensor(value)}
    if sum(math.prod(v.shape) * v.dtype.itemsize for v in found.values()) > SHARING * file.size:
        raise WeightsError(f"{file.path} is damaged: its tensors repeat themselves; get it again.")
    tensors = {
        key: value.load() if isinstance(value, StoredTensor) else value
        for key, value in found.items()
    }
    while tensors and (prefix := _shared_prefix(tensors)):
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def _printable(name: str) -> str:
    return (name if name.isprintable() else ascii(name))[:80]


def _quoted(keys: Iterable[Any]) -> str:
    """A few keys for a message."""
    words = sorted(repr(_printable(key)) for key in keys if isinstance(key, str))
    return ", ".join(words[:5]) + (f" and {len(words) - 5} more" if len(words) > 5 else "")


def _shared_prefix(keys: Iterable[str]) -> str | None:
    return next((p for p in PREFIXES if all(key.startswith(p) for key in keys)), None)


def is_tensor(value: object) -> bool:
    """Whether this is a tensor, read or still in a file."""
    return isinstance(value, Tensor | StoredTensor)


def load_weights(network: nn.Module, path: str | PathLike[str]) -> None:
    """Read a file into a network; every key and shape must fit, but for a prefix that all keys of
    the file share (``model.``, ``net_g.``, ``module.model.``).

    A network whose published checkpoints have other layouts as well renames their keys in
    ``translate_published_keys`` (see :class:`ugpnet_core.protocols.Backbone`).

    Raises:
        WeightsError: as :func:`read_tensors`, or as :func:`fit`.
    """
    tensors = unwrap(read_checkpoint_file(path))
    translate = getattr(network, "translate_published_keys", dict)
    readings = [
        translate({key.removeprefix(prefix): value for key, value in tensors.items()})
        for prefix in prefixes(tensors)
    ]
    own = network.state_dict().keys()
    fit(network, min(readings, key=lambda reading: len(own ^ reading.keys())), str(path))


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
    optional = {key for key in own if key.endswith("num_batches_tracked")}
    missing = sorted(own.keys() - tensors.keys() - optional)
    unexpected = sorted(tensors.keys() - own.keys())
    shapes = sorted(k for k in own.keys() & tensors.keys() if own[k].shape != tensors[k].shape)
    if not (missing or unexpected or shapes):
        return
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
        if 1 < len(begins) < 5 and not begins & {key.partition(".")[0] for key in own}:
            problem += f", all of them under {_quoted(begins)}"
    raise WeightsError(
        f"{source} does not fit {type(network).__name__}: {problem}; it looks like "
        f"{recognise(tensors)}."
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
