"""Speed and memory in one line."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ugpnet_core.metrics.complexity import backbone_macs
from ugpnet_core.metrics.peak_memory import peak_memory
from ugpnet_core.testing.images import images, probe_size, takes_sizes
from ugpnet_core.testing.kind import Probe, Size
from ugpnet_core.testing.report import CheckFailed, Outcome, passed
from ugpnet_core.testing.subject import Subject

SIDE = 256
# Seconds that measuring may take: large networks are measured on smaller images.
PATIENCE = 4.0
# Seconds that an image of 64x64 or less may take; larger ones take more in proportion.
SLOW = 1.0


def check_runs(subject: Subject) -> Outcome:
    """A small input goes through, in eval and in training mode, without waiting for it."""
    network = subject.fresh()
    probe = subject.probe(network, 2)
    shape = " and ".join("x".join(map(str, one.shape[1:])) for one in probe)
    try:
        seconds = min(_seconds(subject, network, probe) for _ in range(2))
        with torch.no_grad():
            image = subject.kind.train(network.train(), *probe)[0]
    except CheckFailed as failed:
        raise CheckFailed(
            f"{str(failed).rstrip('.')}; make it take {subject.kind.given}s of {shape}, which it "
            "declares to take."
        ) from failed
    slow = f"{seconds:.1f} s for two {subject.kind.given}s of {shape}, so users will wait long"
    allowed = SLOW * max(1.0, image.numel() / (3 * 64**2))
    return passed(f"takes {subject.kind.given}s of {shape}", slow if seconds > allowed else "")


def check_speed(subject: Subject) -> Outcome:
    """An image of 256x256 goes through; says how fast, and with how much memory.

    Memory is what it takes beyond that of the network itself, where that can be told.
    """
    network = subject.fresh()
    size = _affordable(subject, subject.fresh())
    probe = (images(1, size),)
    times: list[float] = []
    while len(times) < 3 and sum(times) < PATIENCE / 2:
        times.append(_seconds(subject, network, probe))
    seconds = min(times)
    pixels = size[0] * size[1]
    threads = torch.get_num_threads()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    memory = peak_memory(lambda: subject.outputs(network, probe), probe[0].device)
    mebibytes = "" if memory is None else f"{memory / 2**20:.0f} MiB, "
    return passed(
        f"{seconds * 1000:.0f} ms for an image of {size[0]}x{size[1]} "
        f"({pixels / seconds / 1e6:.2g} MPix/s, {threads} thread{'s' if threads > 1 else ''}), "
        f"{mebibytes}{parameters / 1e6:.2f} M parameters, "
        f"{_macs(subject, network, probe[0])} GMACs at {SIDE}x{SIDE}"
    )


def _macs(subject: Subject, network: Any, x: Tensor) -> str:
    """Thousand millions of multiply-accumulates for 256x256, or what those for x make likely."""
    try:
        return f"{backbone_macs(network, SIDE) / 1e9:.2f}"
    except Exception:  # it needs images with content, or takes no image as large
        pixels = x.shape[2] * x.shape[3]
        with FlopCounterMode(display=False) as flops:
            subject.outputs(network, (x,))
        # A multiplication and an addition are one MAC.
        return f"about {flops.get_total_flops() / 2 * SIDE * SIDE / pixels / 1e9:.2f}"


def _affordable(subject: Subject, network: Any) -> Size:
    """256x256, or the fixed size, or as much of it as a trial shows that time allows."""
    size = subject.size or probe_size(network)
    if subject.size is not None or not takes_sizes(network):
        return size
    _seconds(subject, network, (images(1, size),))
    multiple = network.size_multiple
    # The time for small images says little of that for large ones, so it is found step by step.
    while max(size) < SIDE and 4 * _seconds(subject, network, (images(1, size),)) < PATIENCE / 2:
        side = -(-min(2 * max(size), SIDE) // multiple) * multiple
        size = (side, side)
    return size


def _seconds(subject: Subject, network: Any, probe: Probe) -> float:
    started = time.perf_counter()
    subject.outputs(network, probe)
    return time.perf_counter() - started
