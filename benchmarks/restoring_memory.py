"""How much memory restoring a photograph takes, beyond what the networks and one tile take.

    python -m benchmarks.restoring_memory [-m MODEL] [--megapixels 3 12 48]

For each size a process of its own restores a photograph of 8 bits by ``Restorer.restore_levels``,
as ``ugpnet restore`` does, and prints the peak of its memory and how much that is more than the
smallest photograph's for each further pixel. Only where Linux tells the peak.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time

import numpy as np

import ugpnet_core as ug
from ugpnet_core.devices import keep_memory


def peak(model: str, megapixels: float) -> tuple[int, int, float]:
    """Pixels, bytes at the most, and seconds."""
    keep_memory()
    restorer = ug.Restorer(model)
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(megapixels * 1e6 / height)
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    started = time.perf_counter()
    restorer.restore_levels(levels)
    taken = time.perf_counter() - started
    with open("/proc/self/status", encoding="ascii") as status:
        (highest,) = (int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return height * width, highest * 1024, taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-m", "--model", default="portraits")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[3, 12, 48])
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    first: tuple[int, int] | None = None
    for size in sorted(given.megapixels):
        with context.Pool(1) as pool:
            pixels, highest, taken = pool.apply(peak, (given.model, size))
        first = first or (pixels, highest)
        more = f", {(highest - first[1]) / (pixels - first[0]):.1f} bytes for each further pixel"
        print(
            f"{pixels / 1e6:.1f} megapixels: {highest / 1e9:.2f} GB"
            f"{more if pixels > first[0] else ''}, {taken / pixels * 1e6:.2f} s per megapixel",
            flush=True,
        )


if __name__ == "__main__":
    main()
