"""Wiener deconvolution, told the blur kernel of each image (non-blind).

Wiener, 1949; Hunt, 1973, with a Laplacian as what must stay small.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ugpnet_core.errors import ConfigError
from ugpnet_core.evaluation.classical.tuning import TunedRunner
from ugpnet_core.evaluation.photographs import Sample
from ugpnet_core.image import pad_reflect


class Wiener(TunedRunner):
    """Wiener deconvolution with the kernel that the task drew; its setting is the exponent of ten
    of the Laplacian's weight, which is found to a quarter."""

    title = "Wiener"
    coarse = (-6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0)
    steps = (0.5, 0.25)

    def restore(self, sample: Sample, resolution: int, setting: float) -> Tensor:
        """Deconvolve.

        Raises:
            ConfigError: the task does not say with which kernel it blurred.
        """
        if sample.kernel is None:
            raise ConfigError(
                "Wiener deconvolution needs the blur kernel, which this task does not tell; "
                "use it for deblur."
            )
        return wiener(sample.degraded, sample.kernel, 10.0**setting)

    def settings(self) -> dict[str, float]:
        """The Laplacian's weight."""
        return {name: 10.0**exponent for name, exponent in super().settings().items()}

    def described(self, setting: float) -> str:
        """How it deconvolves."""
        return (
            "non-blind Wiener deconvolution, Laplacian, mirrored borders, balance "
            f"{10.0**setting:.3g}"
        )


def wiener(image: Tensor, kernel: Tensor, balance: float) -> Tensor:
    """Deconvolve one image (3, H, W): y = F^-1(conj(K) X / (|K|^2 + balance |L|^2)).

    L is the Laplacian, as in scikit-image's ``restoration.wiener``. The image is mirrored at its
    borders by the kernel's width, so that what wraps around stays outside.

    Args:
        kernel: (K, K), K odd, of sum 1.
        balance: weight of the Laplacian, > 0.

    Returns:
        (3, H, W), not clamped.
    """
    height, width = image.shape[-2:]
    border = kernel.shape[-1]
    padded = pad_reflect(image, border, border, border, border)
    size = padded.shape[-2:]
    transfer = _transfer(kernel, size)
    laplacian = torch.tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]])
    unwanted = _transfer(laplacian, size)
    spectrum = torch.fft.rfft2(padded.double())
    spectrum = spectrum * transfer.conj()
    spectrum = spectrum / (transfer.abs().square() + balance * unwanted.abs().square())
    restored: Tensor = torch.fft.irfft2(spectrum, s=size)
    return restored[..., border : border + height, border : border + width].float()


def _transfer(kernel: Tensor, size: torch.Size) -> Tensor:
    """The transfer function of a kernel (K, K) whose middle is the origin, float64."""
    placed = torch.zeros(size, dtype=torch.float64)
    side = kernel.shape[-1]
    placed[:side, :side] = kernel.double()
    transfer: Tensor = torch.fft.rfft2(placed.roll((-(side // 2), -(side // 2)), dims=(0, 1)))
    return transfer
