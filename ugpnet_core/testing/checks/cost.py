"""What a network costs: that small inputs go through soon, that large images take no more than
their pixels, and how fast it is. Large images give the same as small ones of the same content."""

from __future__ import annotations

import math
import time
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ugpnet_core.metrics.complexity import backbone_macs, count_parameters
from ugpnet_core.metrics.peak_memory import peak_memory
from ugpnet_core.testing.checks.shapes import lasting_fault, promise
from ugpnet_core.testing.differences import difference, percent
from ugpnet_core.testing.kinds import Probe, images, probe_size, takes_sizes
from ugpnet_core.testing.meter import Meter
from ugpnet_core.testing.report import Outcome, passed, require
from ugpnet_core.testing.subject import Subject

# The documentation promises 256x256, and tables often end there.
SIDE = 256
# Seconds that one large image may take, and bytes that one tensor of it may.
PATIENCE, MEMORY = 8.0, 2**28
# What grows faster than this power of the number of pixels is square, and not linear.
STEEP = 1.5
# What the surroundings of a patch may change of it in a network that sees all of the image.
TOLERANCE, LARGEST_TOLERANCE = 0.05, 0.3


class _Taken(NamedTuple):
    """What an image takes: its pixels, bytes of the largest tensor, seconds, floating point
    operations; and what comes out."""

    pixels: int
    memory: float
    seconds: float
    operations: float
    made: Probe

    def is_steep(self, last: _Taken) -> bool:
        """Whether memory or operations are more than the pixels beyond another image explain."""
        factor = math.pow(max(self.pixels / last.pixels, 1.0), STEEP)
        return self.memory > factor * last.memory or self.operations > factor * last.operations > 0

    def allows(self, pixels: int, power: int) -> bool:
        """Whether an image of so many pixels fits into memory and patience."""
        grown = max(pixels / self.pixels, 1.0) ** power
        return grown * self.memory < MEMORY and grown * self.seconds < PATIENCE


def _taken(subject: Subject, network: Any, x: Tensor) -> _Taken:
    started = time.process_time()  # a busy machine is no reason
    with FlopCounterMode(display=False) as flops, Meter() as meter:
        made = subject.outputs(network, (x,))
    seconds = (time.process_time() - started) / torch.get_num_threads()
    return _Taken(x.shape[2] * x.shape[3], meter.largest, seconds, flops.get_total_flops(), made)


def check_large_images(subject: Subject) -> Outcome:
    """The same content gives the same in small, long and large images, at a linear cost."""
    network = subject.fresh()
    if not takes_sizes(network) or subject.size is not None:
        return Outcome("not applicable", "the network takes images of one size")
    tile = math.lcm(network.size_multiple, 16)
    tile = tile if tile <= 64 else network.size_multiple
    # So many patches a side have one in their middle that the borders do not reach.
    few = 3 if tile >= 32 else 5
    many = max(SIDE // tile + 1, few + 2)
    content = _Content(images(1, (tile, tile), 9), few, tile * network.scale)
    largest = first = _taken(subject, network, content.image(2, 2))
    power, looked = 1, []
    sides = [(few, few), (few + 2, few + 2), (few, few + 2), (few, many), (many, few), (many, many)]
    for rows, columns in sides:
        size = rows * tile, columns * tile
        if not largest.allows(size[0] * size[1], power):
            break
        fault = lasting_fault(subject, network, size)
        require(not fault, f"{promise(network)}, but {fault}; make it take large images, too.")
        now = _taken(subject, network, content.image(rows, columns))
        power = 2 if now.is_steep(first) or now.is_steep(largest) else power
        largest = max(now, largest, key=lambda one: one.pixels)
        content.check(now.made, rows, columns)
        looked.append(f"{size[0]}x{size[1]}")
    if not looked:
        return Outcome("not run", "a large image takes more memory or time than a check should")
    square = (
        "memory or time grows with the square of the number of pixels (attention over all of "
        f"them?): {largest.memory / 2**20:.0f} MiB in one tensor for {looked[-1]} pixels; attend "
        "over windows or channels"
    )
    return passed(f"the same in images of {', '.join(looked)}", square if power > 1 else "")


class _Content:
    """Images that are one patch again and again: what comes out is known for any number of patches
    from what comes out for a few."""

    def __init__(self, patch: Tensor, few: int, side: int) -> None:
        self.patch, self.few, self.side = patch, few, side
        self.known: Probe = ()
        self.tolerance = LARGEST_TOLERANCE

    def image(self, rows: int, columns: int) -> Tensor:
        """So many patches."""
        return self.patch.repeat(1, 1, rows, columns)

    def check(self, made: Probe, rows: int, columns: int) -> None:
        """Hold what comes out to what came out first, for a few patches; the next image says how
        much what depends on the whole image differs for a few patches more."""
        self.known = self.known or made
        apart = difference(made, [self._expected(one, rows, columns) for one in self.known])
        require(
            apart <= self.tolerance,
            f"The same content gives another result in {rows}x{columns} patches of {self.side} "
            f"pixels than in {self.few}x{self.few} ({percent(apart)} apart); treat heights, widths "
            "and sizes alike (mind their order in view and reshape).",
        )
        if (rows, columns) == (self.few + 2, self.few + 2):
            self.tolerance = min(max(TOLERANCE, 4 * apart), LARGEST_TOLERANCE)

    def _expected(self, known: Tensor, rows: int, columns: int) -> Tensor:
        """The borders of a few patches, and as many as needed of the one in their middle."""
        half = self.few // 2
        for axis, count in ((2, rows), (3, columns)):
            patches = [*range(half), *[half] * (count - 2 * half), *range(half + 1, self.few)]
            parts = [known.narrow(axis, one * self.side, self.side) for one in patches]
            known = torch.cat(parts, axis)
        return known


def check_speed(subject: Subject) -> Outcome:
    """An image of 256x256 goes through; says how fast, and with how much memory.

    Memory is what it takes beyond that of the network itself, where that can be told.
    """
    network = subject.fresh()
    size = subject.size or probe_size(network)
    fixed = subject.size is not None or not takes_sizes(network)
    seconds = _seconds(subject, network, size)
    # Step by step, as long as time allows: seconds for small images say little of large ones.
    while not fixed and max(size) < SIDE and 8 * seconds < PATIENCE:
        multiple = network.size_multiple
        size = (-(-min(2 * max(size), SIDE) // multiple) * multiple,) * 2
        seconds = _seconds(subject, network, size)
    probe = (images(1, size),)
    memory = peak_memory(lambda: subject.outputs(network, probe), probe[0].device)
    try:
        macs = f"{backbone_macs(network, SIDE) / 1e9:.2f}"
    except Exception:  # it needs images with content, or takes no image as large
        macs = "?"
    return passed(
        f"{seconds * 1000:.0f} ms for an image of {size[0]}x{size[1]} "
        f"({size[0] * size[1] / seconds / 1e6:.2g} MPix/s, threads: {torch.get_num_threads()}), "
        f"{'?' if memory is None else round(memory / 2**20)} MiB, "
        f"{count_parameters(network) / 1e6:.2f} M parameters, {macs} GMACs at {SIDE}x{SIDE}"
    )


def _seconds(subject: Subject, network: Any, size: tuple[int, int]) -> float:
    """The shorter of two times."""
    times = []
    for _ in range(2):
        started = time.perf_counter()
        subject.outputs(network, (images(1, size),))
        times.append(time.perf_counter() - started)
    return min(times)
