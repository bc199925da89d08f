"""Large images and long ones: the same content gives the same there, at a cost that grows with the
number of pixels."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ugpnet_core.testing.checks.shapes import fault_at, promise
from ugpnet_core.testing.differences import difference, percent
from ugpnet_core.testing.images import images, takes_sizes
from ugpnet_core.testing.kind import Size
from ugpnet_core.testing.meters import Meter
from ugpnet_core.testing.report import CheckFailed, Outcome, passed
from ugpnet_core.testing.subject import Subject

# The documentation promises 256x256, and tables often end there.
SIDE = 257
# Seconds and bytes that one large image may take.
PATIENCE = 8.0
MEMORY = 2**30
# Of four times as many pixels, what is linear takes 4 times as much, and what is square 16 times.
STEEP = 8.0
# What the surroundings of a patch may change of it in a network that sees all of the image.
TOLERANCE = 0.05


def check_large_images(subject: Subject) -> Outcome:
    """The same content gives the same in small, long and large images, at a linear cost."""
    network = subject.fresh()
    if not takes_sizes(network) or subject.size is not None:
        return Outcome("not applicable", "the network takes images of one size")
    cost = _Cost(subject, network)
    tile = math.lcm(network.size_multiple, 16)
    if tile > 64:
        tile = network.size_multiple
    patch = images(1, (tile, tile), 9)
    around = 3 if tile >= 32 else 5
    looked: list[str] = []
    if not cost.allows(((around + 2) * tile,) * 2):
        side = (around + 2) * tile
        said = f"an image of {side}x{side} takes more memory or time than a check should"
        return passed(said, cost.warning()) if cost.square else Outcome("not run", said)
    content = _Content(subject, network, patch, around)
    largest = -(-SIDE // tile)
    sizes = [(around, around + 2), (around + 2, around)]
    sizes += [(around, largest), (largest, around), (largest, largest)]
    for rows, columns in sizes:
        if rows < around or columns < around:
            continue  # one patch is large already
        size = (rows * tile, columns * tile)
        if not cost.allows(size):
            break
        # A new network tells a size that is not taken from a trace of the size before.
        fault = fault_at(subject, network, size) and fault_at(subject, subject.fresh(), size)
        if fault:
            raise CheckFailed(f"{promise(network)}, but {fault}; make it take large images, too.")
        content.check(rows, columns)
        looked.append(f"{size[0]}x{size[1]}")
    return passed(f"the same content in images of {', '.join(looked)}", cost.warning())


class _Content:
    """What a network makes of an image that is one patch again and again: known for any number of
    patches from what it makes of a few."""

    def __init__(self, subject: Subject, network: Any, patch: Tensor, around: int) -> None:
        self.subject, self.network, self.patch = subject, network, patch
        self.side = patch.shape[-1] * network.scale
        self.around = around
        self.few = self._made(around, around)
        self.seen = 0.0
        # What depends on the whole image differs a little for a few patches more.
        self.seen = self._apart(around + 2, around + 2)

    def _made(self, rows: int, columns: int) -> tuple[Tensor, ...]:
        return self.subject.outputs(self.network, (self.patch.repeat(1, 1, rows, columns),))

    def _apart(self, rows: int, columns: int) -> float:
        made = self._made(rows, columns)
        expected = [self._expected(few, rows, columns) for few in self.few]
        self._check_alive(made, rows, columns)
        return difference(made, expected)

    def _expected(self, few: Tensor, rows: int, columns: int) -> Tensor:
        """The borders of a few patches, and as many as needed of the patch in their middle."""
        half = self.around // 2
        for axis, count in ((2, rows), (3, columns)):
            middle = [half] * (count - 2 * half)
            patches = [*range(half), *middle, *range(half + 1, self.around)]
            few = torch.cat([few.narrow(axis, p * self.side, self.side) for p in patches], axis)
        return few

    def check(self, rows: int, columns: int) -> None:
        """Hold an image of so many patches to what is expected of it."""
        apart = self._apart(rows, columns)
        if apart > max(TOLERANCE, 4 * self.seen):
            size, usual = self._size(rows, columns), self._size(self.around, self.around)
            raise CheckFailed(
                f"The same content gives another result in an image of {size} than in one of "
                f"{usual} ({percent(apart)} apart, beside the borders); treat heights, widths and "
                "sizes alike (mind the order of height and width in view and reshape)."
            )

    def _check_alive(self, made: tuple[Tensor, ...], rows: int, columns: int) -> None:
        for what, one, few in zip(self.subject.kind.parts, made, self.few, strict=True):
            size = self._size(rows, columns)
            if not torch.isfinite(one).all() and torch.isfinite(few).all():
                raise CheckFailed(
                    f"In an image of {size} the {what} has values that are not finite; look for "
                    "sums over all pixels."
                )
            patches = one.unfold(2, self.side, self.side).unfold(3, self.side, self.side)
            spread = patches.std((1, 4, 5)).min()
            if float(spread) < 1e-3 * float(few.std()):
                raise CheckFailed(
                    f"In an image of {size} a part of the {what} is the same everywhere; compute "
                    "all of it from the image, whatever its size."
                )

    def _size(self, rows: int, columns: int) -> str:
        height, width = self.patch.shape[2:]
        return f"{rows * height}x{columns * width}"


class _Cost:
    """How memory, time and operations grow with an image, tried on small ones."""

    def __init__(self, subject: Subject, network: Any) -> None:
        self.subject, self.network = subject, network
        multiple = network.size_multiple
        self.side = side = -(-32 // multiple) * multiple
        before = self._measured(side)
        self.last = self._measured(2 * side)
        self.square = self._is_steep(before)
        self.measured = 2 * side
        if not self.square and 4 * side <= SIDE and 4 * self.last[1] < PATIENCE:
            # What is pooled before it is compared with all others shows later.
            before, self.last = self.last, self._measured(4 * side)
            self.measured, self.square = 4 * side, self._is_steep(before)

    def _is_steep(self, before: tuple[float, float, float]) -> bool:
        (memory, _, operations), (earlier, _, fewer) = self.last, before
        return memory > STEEP * earlier or (fewer > 0 and operations > STEEP * fewer)

    def _measured(self, side: int) -> tuple[float, float, float]:
        """Bytes, seconds and floating point operations for a square image."""
        probe = (images(1, (side, side)),)
        started = time.process_time()  # a busy machine is no reason
        with FlopCounterMode(display=False) as flops, Meter() as meter:
            self.subject.outputs(self.network, probe)
        seconds = (time.process_time() - started) / torch.get_num_threads()
        return meter.peak, seconds, flops.get_total_flops()

    def _expected(self, size: Size) -> tuple[float, float]:
        """Bytes and seconds for an image of a size."""
        grown = size[0] * size[1] / self.measured**2
        factor = max(grown**2 if self.square else grown, 1.0)
        return factor * self.last[0], factor * self.last[1]

    def allows(self, size: Size) -> bool:
        """Whether an image of a size fits into memory and patience."""
        memory, seconds = self._expected(size)
        return memory < MEMORY and seconds < PATIENCE

    def warning(self) -> str:
        """What users should know of the cost; empty where it is linear."""
        if not self.square:
            return ""
        small, large = (self._expected((s, s))[0] / 2**30 for s in (256, 1024))
        return (
            "memory or time grows with the square of the number of pixels (attention over all of "
            f"them?): about {small:.2g} GiB for an image of 256x256, {large:.2g} GiB for 1024x1024;"
            " attend over windows or channels"
        )
