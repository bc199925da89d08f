"""What generator and discriminator share: equalised layers, the FIR filter, the activation.

Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020,
arXiv:1912.04958; equalised learning rate: Karras et al., ICLR 2018, arXiv:1710.10196, section 4.1.

Resampling filters with (1, 3, 3, 1) by a depthwise convolution beside a strided or transposed
one. ``benchmarks/generator_resampling.py`` compares this with the textbook formulation.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GAIN = math.sqrt(2.0)  # keeps the variance through LeakyReLU(0.2), about
SLOPE = 0.2
EPSILON = 1e-8


def leaky_relu_(x: Tensor) -> Tensor:
    """LeakyReLU(0.2), in place; x must be an intermediate result that nothing else reads."""
    return F.leaky_relu(x, SLOPE, inplace=True)


def fir_kernel(gain: float = 1.0) -> Tensor:
    """The separable low-pass filter (1, 3, 3, 1) as a matrix (4, 4) that sums to ``gain``."""
    taps = (1, 3, 3, 1)
    return torch.tensor([[a * b * gain / 64 for b in taps] for a in taps])


class FIRFilter(nn.Module):
    """Filter each channel with (1, 3, 3, 1) x (1, 3, 3, 1) / 64 * gain, with zeros outside.

    Maps (N, C, H, W) to (N, C, (H + 2 * padding - 4) // stride + 1, ...).
    """

    kernel: Tensor

    def __init__(self, padding: int, stride: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        self.padding = padding
        self.stride = stride
        # Not persistent: published checkpoints do not all hold it, and it never changes.
        self.register_buffer("kernel", fir_kernel(gain), persistent=False)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Filter, keeping every ``stride``-th sample, and add a bias (C,)."""
        if not (x.requires_grad and torch.is_grad_enabled()):
            # Exporters see plain layers.
            return _filter(x, self.kernel, self.stride, self.padding, bias)
        y: Tensor = _Filter.apply(x, self.kernel, self.stride, self.padding)
        return y if bias is None else y + bias.view(1, -1, 1, 1)


def _filter(
    x: Tensor, kernel: Tensor, stride: int, padding: int, bias: Tensor | None = None
) -> Tensor:
    channels = x.shape[1]
    kernel = kernel.to(x.dtype).expand(channels, 1, 4, 4)
    bias = None if bias is None else bias.to(x.dtype)
    return F.conv2d(x, kernel, bias, stride=stride, padding=padding, groups=channels)


class _Filter(torch.autograd.Function):
    """A depthwise convolution whose derivatives of every order are depthwise convolutions too.

    PyTorch's own second derivative runs one convolution per channel, which slows the R1 penalty.
    Valid for sizes H with H + 2 * padding - 4 divisible by the stride.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.geometry = stride, padding
        return _filter(x, kernel, stride, padding)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None, None]:
        (kernel,) = ctx.saved_tensors
        return _Adjoint.apply(grad[0], kernel, *ctx.geometry), None, None, None


class _Adjoint(torch.autograd.Function):
    """The transpose of :class:`_Filter`, and so its derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.geometry = stride, padding
        channels = x.shape[1]
        # oneDNN has no strided depthwise transpose of bfloat16: its reference is 30 times slower.
        slow = x.dtype == torch.bfloat16 and x.device.type == "cpu" and stride > 1
        y = x.float() if slow else x
        kernel = kernel.to(y.dtype).expand(channels, 1, 4, 4)
        y = F.conv_transpose2d(y, kernel, stride=stride, padding=padding, groups=channels)
        return y.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None, None]:
        (kernel,) = ctx.saved_tensors
        return _Filter.apply(grad[0], kernel, *ctx.geometry), None, None, None


def upsample(x: Tensor) -> Tensor:
    """Double the size of (N, C, H, W) with zero insertion and the FIR filter.

    The phases of (1, 3, 3, 1) / 4 are the weights of bilinear interpolation by two, so only the
    border differs: zeros lie outside, where interpolation alone would repeat the edge.
    """
    enlarged = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2.0, mode="bilinear")
    return enlarged[:, :, 2:-2, 2:-2]


def normal(*shape: int, deviation: float = 1.0) -> Tensor:
    """Normal numbers to start training from.

    A network without memory (``torch.device("meta")``), made to compare shapes, draws none: the
    first draw there imports hundreds of modules.
    """
    numbers = torch.empty(shape)
    return numbers if numbers.is_meta else numbers.normal_().mul_(deviation)


class EqualLinear(nn.Module):
    """A linear layer with equalised learning rate: y = x (w * lr_mul / sqrt(in))^T + b * lr_mul.

    With ``activate``, followed by sqrt(2) * LeakyReLU(0.2). Maps (..., in) to (..., out).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias_init: float = 0.0,
        lr_mul: float = 1.0,
        activate: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(out_features, in_features, deviation=1 / lr_mul))
        self.bias = nn.Parameter(torch.full((out_features,), bias_init))
        self.activate = activate
        gain = GAIN if activate else 1.0  # LeakyReLU is positively homogeneous
        self.weight_scale = gain * lr_mul / math.sqrt(in_features)
        self.bias_scale = gain * lr_mul

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        y = F.linear(x, self.weight * self.weight_scale, self.bias * self.bias_scale)
        return leaky_relu_(y) if self.activate else y


class ChannelBias(nn.Module):
    """One learned number per channel; the layer that owns it adds it before its activation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
