"""What several small pictures at once would gain over one after the other, in processor time.

    python -m benchmarks.pictures_at_once [-m MODEL] [--sides 32 96 160 256 384] [--at-once 4]
        [--repeats 4]

The restoration module of a model on square pictures with their mirrored margins, on one thread:
processor time does not count what the machine does else. The least of all repeats, and by how much
the results differ.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor

from ugpnet_core.devices import choose_precision, computing_in, keep_memory
from ugpnet_core.inference.whole import MARGIN
from ugpnet_core.model_files.model import load_model

PICTURES = 8


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-m", "--model", default="portraits")
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 96, 160, 256, 384])
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=4)
    given = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    device = torch.device("cpu")
    dtype = choose_precision("auto", device)
    network = load_model(given.model).restoration.eval().to(memory_format=torch.channels_last)

    def restored(pictures: Tensor, at_once: int) -> Tensor:
        found = []
        for some in pictures.contiguous(memory_format=torch.channels_last).split(at_once):
            with computing_in(dtype, device):
                found.append(network(some).image.float())
        return torch.cat(found)

    generator = torch.Generator().manual_seed(0)
    for side in given.sides:
        pictures = torch.rand(PICTURES, 3, *[side + 2 * MARGIN] * 2, generator=generator)
        taken: dict[int, list[float]] = {1: [], given.at_once: []}
        results: dict[int, Tensor] = {}
        for _ in range(given.repeats):
            for at_once, seconds in taken.items():
                started = time.process_time()
                results[at_once] = restored(pictures, at_once)
                seconds.append((time.process_time() - started) / PICTURES)
        alone, together = map(min, taken.values())
        apart = float((results[1] - results[given.at_once]).abs().max())
        print(
            f"{side} x {side}: {alone:.3f} s alone, {together:.3f} s with {given.at_once} at once, "
            f"{1 - together / alone:.0%} less; {apart:.1g} apart",
            flush=True,
        )


if __name__ == "__main__":
    main()
