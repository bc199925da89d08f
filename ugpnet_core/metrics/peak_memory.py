"""The most memory that something takes beyond what was held before.

On CUDA that is torch's own count. On a CPU it is the resident memory of this process, whose
highest mark Linux keeps and lets be set back; elsewhere it cannot be told.
"""

from __future__ import annotations

import ctypes
import gc
import re
from collections.abc import Callable
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_SET_BACK_MARK = "5"


def memory_words(device: torch.device) -> str:
    """What :func:`peak_memory` measures on a device, for a table."""
    if device.type == "cuda":
        return "peak of torch's CUDA allocator beyond what was allocated before"
    return "peak of the process's resident memory beyond what was resident before"


def peak_memory(run: Callable[[], object], device: torch.device) -> int | None:
    """Run something once, and tell the bytes that it took at most; None where that is not known.

    Something that was run before has made what it keeps; that does not count.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device)) - before
    if device.type != "cpu" or not _give_back():
        return None
    try:
        _CLEAR.write_text(_SET_BACK_MARK)
        resident = _kilobytes("VmRSS")
        run()
        highest = _kilobytes("VmHWM")
    except OSError:
        return None
    return None if resident is None or highest is None else max(highest - resident, 0) * 1024


def _give_back() -> bool:
    """Let the C library return freed memory to the system, so that it is not counted as held."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return False
    return True


def _kilobytes(field: str) -> int | None:
    found = re.search(rf"{field}:\s+(\d+) kB", _STATUS.read_text())
    return int(found[1]) if found else None
