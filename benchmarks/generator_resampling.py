"""How much faster the generator's and discriminator's resampling is than written out.

    python -m benchmarks.generator_resampling [--threads 2]

Prints milliseconds, forward and backward, of one layer as the papers write it
(grouped convolutions with weights per image, zero insertion) and of ours, and their ratio.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.plain_stylegan2 import conv_layer, filtered, style_conv
from ugpnet_priors.stylegan2.discriminator import ConvLayer
from ugpnet_priors.stylegan2.modulation import StyleConv
from ugpnet_priors.stylegan2.ops import upsample


def milliseconds(run: Callable[[], Tensor], repeats: int = 5) -> float:
    """Best of several, forward and backward."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run().sum().backward()
        times.append(time.perf_counter() - start)
    return 1000 * min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    n = arguments.batch

    small = torch.randn(n, 64, 64, 64, requires_grad=True)
    small_last = small.detach().to(memory_format=torch.channels_last).requires_grad_()
    large = torch.randn(n, 32, 128, 128, requires_grad=True)
    large_last = large.detach().to(memory_format=torch.channels_last).requires_grad_()
    skip = torch.randn(n, 3, 64, 64, requires_grad=True)
    style, noise = torch.randn(n, 128), torch.randn(1, 1, 128, 128)
    grow = StyleConv(64, 32, 128, enlarge=True)
    shrink = ConvLayer(32, 64, 3, halve=True)

    pairs: dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]] = {
        "generator, 64 to 128 pixels": (
            lambda: style_conv(grow, small, style, noise),
            lambda: grow(small_last, style, noise),
        ),
        "discriminator, 128 to 64 pixels": (
            lambda: conv_layer(shrink, large),
            lambda: shrink(large_last),
        ),
        "to-RGB skip, 64 to 128 pixels": (
            lambda: filtered(skip, 2, (2, 1)),
            lambda: upsample(skip),
        ),
    }
    print(f"{arguments.threads} thread(s), batch {n}, float32, milliseconds forward + backward")
    print(f"{'layer':34}{'written out':>12}{'ours':>8}{'ratio':>8}")
    for name, (before, after) in pairs.items():
        if not torch.allclose(before(), after(), rtol=1e-3, atol=1e-3):
            raise SystemExit(f"{name}: the two formulations disagree")
        slow, fast = milliseconds(before), milliseconds(after)
        print(f"{name:34}{slow:12.1f}{fast:8.1f}{slow / fast:8.2f}")


if __name__ == "__main__":
    main()
