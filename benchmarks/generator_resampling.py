"""How much faster the generator's and discriminator's resampling is than written out.

    python benchmarks/generator_resampling.py [--threads 2]

Prints milliseconds, forward and backward, of one layer as the papers write it
(grouped convolutions with weights per image, zero insertion) and of ours, and their ratio.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ugpnet_priors.stylegan2.discriminator import ConvLayer
from ugpnet_priors.stylegan2.modulation import StyleConv
from ugpnet_priors.stylegan2.ops import fir_kernel, upsample


def filtered(x: Tensor, up: int, pad: tuple[int, int]) -> Tensor:
    """Zero insertion by ``up``, padding, FIR filter as one single-channel convolution."""
    n, c, h, w = x.shape
    if up > 1:
        inserted = x.new_zeros(n, c, h, up, w, up)
        inserted[:, :, :, 0, :, 0] = x
        x = inserted.view(n, c, h * up, w * up)
    x = F.pad(x, (*pad, *pad))
    y = F.conv2d(x.reshape(n * c, 1, *x.shape[2:]), fir_kernel(float(up * up))[None, None])
    return y.view(n, c, *y.shape[2:])


def grouped_style_conv(layer: StyleConv, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
    """The enlarging layer with a demodulated weight of its own for every image."""
    conv = layer.modulated_conv
    n, c, h, w = x.shape
    weight = conv.scale * conv.weight * conv.modulation(style).view(n, 1, c, 1, 1)
    weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    out = weight.shape[1]
    weight = weight.transpose(1, 2).reshape(n * c, out, 3, 3)
    y = F.conv_transpose2d(x.reshape(1, n * c, h, w), weight, stride=2, groups=n)
    y = 4 * filtered(y.view(n, out, 2 * h + 1, 2 * w + 1), 1, (1, 1))
    y = y + layer.weight * noise + layer.activate.bias.view(1, -1, 1, 1)
    return F.leaky_relu(y, 0.2) * 2**0.5


def halving_conv(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """The discriminator's filter and strided convolution."""
    y = F.conv2d(filtered(x, 1, (2, 2)), weight / (9 * weight.shape[1]) ** 0.5, stride=2)
    return F.leaky_relu(y + bias.view(1, -1, 1, 1), 0.2) * 2**0.5


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
    weight, bias = shrink[1].get_parameter("weight"), shrink[2].get_parameter("bias")

    pairs: dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]] = {
        "generator, 64 to 128 pixels": (
            lambda: grouped_style_conv(grow, small, style, noise),
            lambda: grow(small_last, style, noise),
        ),
        "discriminator, 128 to 64 pixels": (
            lambda: halving_conv(weight, bias, large),
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
