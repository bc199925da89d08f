"""How fast the restoration module of a model is over a photograph, in both precisions, with memory
given back to the system after each map and with memory kept.

    python -m benchmarks.restoring_speed [-m MODEL] [--size 768 512] [--repeats 4]

Each way of keeping memory is measured in a process of its own, as it cannot be taken back.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time

import torch

from ugpnet_core.devices import Precision, choose_precision, keep_memory
from ugpnet_core.inference.whole import regressed
from ugpnet_core.model_files.model import load_model

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def seconds(model: str, size: tuple[int, int], repeats: int, keep: bool) -> dict[Precision, float]:
    """Medians by precision, after one run of each that is not counted."""
    if keep and not keep_memory():
        raise SystemExit("This system has no glibc, whose memory could be kept.")
    device = torch.device("cpu")
    network = load_model(model).eval().to(memory_format=torch.channels_last)
    width, height = size
    x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    times: dict[Precision, list[float]] = {precision: [] for precision in PRECISIONS}
    with torch.inference_mode():
        for run in range(repeats + 1):
            for precision in PRECISIONS:
                dtype = choose_precision(precision, device)
                started = time.perf_counter()
                regressed(network, x, device, dtype=dtype)
                if run:
                    times[precision].append(time.perf_counter() - started)
    return {precision: statistics.median(taken) for precision, taken in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-m", "--model", default="portraits")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(768, 512), metavar=("WIDTH", "HEIGHT")
    )
    parser.add_argument("--repeats", type=int, default=4)
    given = parser.parse_args()
    width, height = given.size
    print(f"{given.model}, {width} x {height} pixels, {torch.get_num_threads()} threads, seconds")
    context = multiprocessing.get_context("spawn")
    for keep in (False, True):
        with context.Pool(1) as pool:
            found = pool.apply(seconds, (given.model, (width, height), given.repeats, keep))
        words = ", ".join(f"{precision} {taken:.2f}" for precision, taken in found.items())
        print(f"memory {'kept' if keep else 'given back'}: {words}", flush=True)


if __name__ == "__main__":
    main()
