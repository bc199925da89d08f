"""Where networks run, in which precision, and how this process keeps its memory."""

from __future__ import annotations

import ctypes
import platform
from contextlib import AbstractContextManager
from typing import Literal

import torch

from ugpnet_core.errors import ConfigError

Precision = Literal["auto", "float32", "bfloat16"]
# glibc's names for mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def choose_device(device: str | torch.device) -> torch.device:
    """The device that ``"auto"`` or a name stands for.

    Raises:
        ConfigError: torch does not know it or cannot use it here.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"Device {str(device)!r} cannot be used here; choose auto, cpu, cuda or mps."
        ) from error
    return chosen


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 rather than imitate it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type != "cpu":
        return False
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return any(ask is not None and bool(ask()) for ask in (asked, amx))


def choose_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """What networks compute in: with ``"auto"`` bfloat16 where the device has it.

    Raises:
        ConfigError: it is none of the three.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise ConfigError(f"precision is auto, float32 or bfloat16, not {precision!r}.")
    if precision == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def computing_in(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[object]:
    """A context in which convolutions and products are computed in a type."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def keep_memory() -> bool:
    """Let this process keep the memory of maps that it has freed, for the next ones of their size.

    By default glibc gives every large block back to the system at once, which costs as much time
    as many a convolution: each page comes back filled with zeros. The process stays as large as it
    was once; how large it was at most does not change.

    Returns:
        Whether there is a glibc that does so.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(
        libc.mallopt(_M_MMAP_THRESHOLD, 2**30) and libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    )
