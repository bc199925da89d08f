"""Sets of blur kernels in files: saved, and read again."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from ugpnet_core.checkpoints.state_dict import read_safetensors, write_safetensors
from ugpnet_core.degradations.kernels import KernelSet
from ugpnet_core.errors import WeightsError

_TENSOR = "kernels"
_TOLERANCE = 1e-3  # of a sum: kernels of others may have been stored with few digits


def save_kernels(kernels: KernelSet, path: str | PathLike[str]) -> None:
    """Write a ``.safetensors`` with the tensor ``kernels`` (N, K, K) and, as metadata, count,
    size and, where they are known, seed and generator; the file appears whole or not at all."""
    count, size = kernels.kernels.shape[:2]
    facts = {"count": count, "size": size, "seed": kernels.seed, "generator": kernels.generator}
    metadata = {key: str(value) for key, value in facts.items() if value is not None}
    write_safetensors({_TENSOR: kernels.kernels}, metadata, path)


def load_kernels(path: str | PathLike[str]) -> KernelSet:
    """Read a set of kernels, ours or anyone's: a ``.safetensors`` with a tensor ``kernels``
    (N, K, K), K odd, of finite numbers that are not negative, each kernel of sum 1.

    Raises:
        WeightsError: the file is missing, damaged, or holds something else.
    """
    if not Path(path).is_file():
        raise WeightsError(f"There is no file {path} with kernels; make one with ugpnet kernels.")
    tensors, metadata = read_safetensors(Path(path))
    kernels = tensors.get(_TENSOR)
    if kernels is None:
        raise WeightsError(f"{path} holds no tensor {_TENSOR!r}; make a set with ugpnet kernels.")
    if fault := _fault_of(kernels):
        raise WeightsError(f"The kernels in {path} {fault}; make a set with ugpnet kernels.")
    seed = metadata.get("seed", "")
    return KernelSet(
        kernels.float(), int(seed) if seed.isdecimal() else None, metadata.get("generator")
    )


def _fault_of(kernels: Tensor) -> str | None:
    """What is wrong with them, or None."""
    shape = tuple(kernels.shape)
    if kernels.dim() != 3 or shape[1] != shape[2] or not shape[1] % 2 or not kernels.numel():
        return f"have the shape {shape} and not (N, K, K) with an odd K"
    if not kernels.is_floating_point() or not bool(torch.isfinite(kernels).all()):
        return "are not all finite numbers"
    if kernels.min() < 0:
        return "are negative in places"
    if (kernels.double().sum(dim=(1, 2)) - 1).abs().max() > _TOLERANCE:
        return "do not all have the sum 1"
    return None
