"""A module that several models share, and that lies in the file of one of them only.

The paper's three models differ in their restoration and fusion modules; one synthesis module may
serve all of them, and is most of a file. A file that leaves it out says in its metadata, under
``shared``, whose it is: the other file's name, the name of the model where it is an installed one,
and a digest of the module's tensors, so that no other module is ever taken for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from ugpnet_core.checkpoints.file import Checkpoint, read_checkpoint_file
from ugpnet_core.checkpoints.state_dict import unwrap
from ugpnet_core.errors import WeightsError
from ugpnet_core.model_files.card import Shared, card_of
from ugpnet_core.model_files.finding import find_model_file
from ugpnet_core.plugins import registry


@dataclass(frozen=True)
class Module:
    """One module's part of a model file.

    Attributes:
        tensors: in the precision of the file, with the names that they have there.
        shared: where another file leaves it out, what that one has to say.
    """

    tensors: Mapping[str, Tensor]
    shared: Shared


def all_tensors(file: Checkpoint) -> dict[str, Tensor]:
    """The tensors of a model file, those of shared modules included.

    Args:
        file: a model file, see :func:`ugpnet_core.model_files.card.is_model_file`.

    Raises:
        WeightsError: the file of a shared module is not there, or another one is; or as
            :func:`ugpnet_core.model_files.card.card_of`.
    """
    tensors = unwrap(file)
    for name, shared in card_of(file).shared.items():
        tensors |= _found(file.path, name, shared)
    return tensors


def module_of(model: str | PathLike[str], name: str) -> Module:
    """The module of a model, to be left out of another's file.

    Args:
        model: a name that ``ugpnet list-models`` shows, or a model file.
        name: "restoration", "synthesis" or "fusion".

    Raises:
        PluginError, WeightsError: there is no such model, or its file has no such module itself.
    """
    path = find_model_file(model)
    file = read_checkpoint_file(path)
    card_of(file)  # says what the file is where it is none
    tensors = _under(name, unwrap(file))
    if not tensors:
        raise WeightsError(
            f"{path} has no {name} module of its own to share; name the model that has it."
        )
    named = str(model) if str(model) in registry().models else ""
    return Module(tensors, Shared(model=named, file=path.name, digest=digest_of(tensors)))


def without_shared(
    tensors: Mapping[str, Tensor], module: Module, what: str | PathLike[str]
) -> dict[str, Tensor]:
    """A model's tensors without those of a module that it shares.

    Args:
        tensors: all of the model, in any precision.
        module: what it shares.
        what: the other model, for the message.

    Raises:
        WeightsError: it is not the same module.
    """
    for key, theirs in module.tensors.items():
        ours = tensors.get(key)
        if ours is None or not torch.equal(ours.detach().cpu().to(theirs.dtype), theirs):
            raise WeightsError(
                f"{key!r} is not what {what} has, so the module cannot be shared; train with its "
                "synthesis.weights and synthesis.iterations=0, or share nothing."
            )
    return {key: value for key, value in tensors.items() if key not in module.tensors}


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values, whatever order they have in a file."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        value = tensors[key].detach().cpu().contiguous()
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _found(path: Path, name: str, shared: Shared) -> dict[str, Tensor]:
    other = None
    for other in _candidates(path, shared):
        tensors = _under(name, unwrap(read_checkpoint_file(other)))
        if digest_of(tensors) == shared.digest:
            return tensors
    whose = f"model {shared.model}, {shared.file}" if shared.model else shared.file
    if other is None:
        raise WeightsError(
            f"{path.name} takes its {name} module from {whose}, which is not there; put it beside "
            f"{path.name}."
        )
    raise WeightsError(
        f"{path.name} takes its {name} module from {whose}, and {other} has another one; get both "
        "files of the same release."
    )


def _candidates(path: Path, shared: Shared) -> Iterator[Path]:
    """Where the other file may be: beside this one, or where the model of its name lies."""
    beside = path.with_name(shared.file)
    if beside.is_file():
        yield beside
    if shared.model in registry().models:
        named = find_model_file(shared.model)
        if named != beside:
            yield named


def _under(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in tensors.items() if key.startswith(f"{name}.")}
