"""Where networks run, in which precision, and how this process keeps its memory."""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
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


def free_memory(device: torch.device) -> int | None:
    """Bytes that this process may still take on a device; None where nothing says so."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    known = [*_available(), *_left_by_limit(), *_left_to_group()]
    return max(0, min(known)) if known else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out, on a CPU or elsewhere."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    words = ("out of memory", "not enough memory", "can't allocate memory")
    return isinstance(error, RuntimeError) and any(each in str(error).lower() for each in words)


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


def give_back_memory() -> None:
    """Give back to the system what this process has freed and kept, where glibc can.

    Maps of many sizes leave holes that no other map fits into: a photograph of 48 megapixels took
    twice the memory without this, between its rows of tiles.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _available() -> Iterator[int]:
    """What Linux has to give without writing memory to the disk."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024


def _left_by_limit() -> Iterator[int]:
    """What ``ulimit -v`` leaves."""
    with contextlib.suppress(ImportError, OSError, ValueError, IndexError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            yield limit - pages * resource.getpagesize()


def _left_to_group() -> Iterator[int]:
    """What the limit of a container leaves (control groups, version 2)."""
    with contextlib.suppress(OSError, ValueError):
        folder = Path("/sys/fs/cgroup")
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            yield int(limit) - int((folder / "memory.current").read_text(encoding="ascii"))
