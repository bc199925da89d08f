"""What this machine has: devices, precision, memory, room on disks."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from ugpnet_core.diagnosis.finding import Finding

GIB = 2**30
# The shipped model restores 12 megapixels in about that.
MEMORY = 2 * GIB
DISK = GIB


def devices() -> Iterator[Finding]:
    """The CPU, its threads and precision, and GPUs."""
    import torch

    from ugpnet_core.devices import choose_device, has_bfloat16

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = torch.get_num_threads()
    few = cores is not None and threads < cores
    yield Finding(
        "devices",
        "cpu",
        "note" if few else "ok",
        f"{cores} cores, torch computes with {threads}",
        "torch uses fewer threads than there are cores; unset OMP_NUM_THREADS." if few else "",
    )
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        words = f"{facts.name}, {free / GIB:.1f} of {total / GIB:.1f} GiB free"
        yield Finding("devices", f"cuda:{index}", "ok", words)
    if torch.backends.mps.is_available():
        yield Finding("devices", "mps", "ok", "Apple's GPU")
    chosen = choose_device("auto")
    if chosen.type == "cpu" and torch.version.cuda is not None and Path("/dev/nvidia0").exists():
        yield Finding(
            "devices",
            "cuda",
            "broken",
            "there is an NVIDIA GPU, and torch cannot use it",
            f"update its driver to one for CUDA {torch.version.cuda}, or install a torch for "
            "the driver that is there.",
        )
    quick = has_bfloat16(chosen)
    yield Finding(
        "devices",
        "precision",
        "ok" if quick else "note",
        f"{'bfloat16' if quick else 'float32'} on {chosen.type}",
        "" if quick else "nothing to do: without bfloat16 in hardware it takes about twice as long",
    )


def memory() -> Iterator[Finding]:
    """Free memory, of the machine or of the container around this process."""
    machine = psutil.virtual_memory()
    free, total = machine.available, machine.total
    limit, used = _container("memory.max"), _container("memory.current")
    if limit is not None and limit < total:
        total, free = limit, min(free, limit - (used or 0))
    low = free < MEMORY
    yield Finding(
        "memory",
        "memory",
        "note" if low else "ok",
        f"{free / GIB:.1f} of {total / GIB:.1f} GiB free",
        "close other programs, or restore with --tile 128, which needs less." if low else "",
    )


def places() -> Iterator[Finding]:
    """Room where results, caches and temporary files go, and whether they can be written."""
    cache = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    for name, path in (
        ("this folder", Path.cwd()),
        ("temporary files", Path(tempfile.gettempdir())),
        ("downloads", cache),
    ):
        there = next(one for one in (path, *path.parents) if one.exists())
        free = shutil.disk_usage(there).free
        words = f"{free / GIB:.1f} GiB free at {path}"
        if not os.access(there, os.W_OK):
            advice = "nothing can be written there; change its rights, or use another folder."
            yield Finding("disk", name, "note", f"{words}, not writable", advice)
        elif free < DISK:
            yield Finding("disk", name, "note", words, "make room, or work on another disk.")
        else:
            yield Finding("disk", name, "ok", words)


def _container(name: str) -> int | None:
    """A number of bytes that Linux keeps on the container around this process."""
    try:
        return int((Path("/sys/fs/cgroup") / name).read_text(encoding="ascii"))
    except (OSError, ValueError):  # no container, or no limit, which is "max"
        return None
