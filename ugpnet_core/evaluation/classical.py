"""Methods without learning, each with the setting that is the best for a set by mean PSNR.

Non-local means: Buades, Coll, Morel: A Non-Local Algorithm for Image Denoising, CVPR 2005;
OpenCV's, with its default windows (7 and 21 pixels), and one strength for brightness and colour.

Wiener deconvolution: Wiener, 1949; Hunt, 1973, with a Laplacian as what must stay small. It is told
the blur kernel of each image (non-blind).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ugpnet_core.errors import ConfigError
from ugpnet_core.evaluation.methods import Batch, Method, Runner, Samples
from ugpnet_core.evaluation.photographs import enlarged
from ugpnet_core.image import pad_reflect, resize
from ugpnet_core.metrics.pixel import psnr, quantised

NON_LOCAL_MEANS, WIENER, BICUBIC = "non-local means", "Wiener", "bicubic"
TEMPLATE_WINDOW = 7
SEARCH_WINDOW = 21
COARSE_STRENGTHS = (3.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0)
STRENGTH_STEPS = (4.0, 2.0, 1.0)
# Exponents of ten of the balance.
COARSE_BALANCES = (-6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0)
BALANCE_STEPS = (0.5, 0.25)


class Bicubic(Runner):
    """Antialiased bicubic enlargement, which is what super-resolution has to beat."""

    def __init__(self, name: str = BICUBIC, group: str = "") -> None:
        self.methods = (Method(name, "classical", group, 0),)

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """Enlarge."""
        side = batch.resolution
        return {self.methods[0].name: resize(batch.degraded, (side, side))}


class NonLocalMeans(Runner):
    """Non-local means of the enlarged degraded image.

    Args:
        strength: OpenCV's h, in levels of 255; None: to be found by :meth:`tuned`.
    """

    def __init__(
        self, name: str = NON_LOCAL_MEANS, group: str = "", strength: float | None = None
    ) -> None:
        self.methods = (Method(name, "classical", group, 0),)
        self.strength = strength

    def tuned(self, samples: Samples) -> NonLocalMeans:
        """The same with the best strength, to a whole level."""
        if self.strength is not None:
            return self

        def scores(strengths: Sequence[float]) -> list[float]:
            return _mean_psnr(samples, [_denoiser(strength) for strength in strengths])

        name, group = self.methods[0].name, self.methods[0].group
        best = best_setting(COARSE_STRENGTHS, STRENGTH_STEPS, scores, smallest=1)
        return NonLocalMeans(name, group, best)

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """Denoise one image after the other."""
        if self.strength is None:
            raise ConfigError("Non-local means has no strength yet; give one, or use tuned().")
        images = enlarged(batch.degraded, batch.resolution)
        restored = [non_local_means(image, self.strength) for image in images]
        return {self.methods[0].name: torch.stack(restored)}

    def settings(self) -> dict[str, float]:
        """The strength."""
        return {} if self.strength is None else {self.methods[0].name: self.strength}

    def protocol(self) -> dict[str, str]:
        """OpenCV's function and its settings."""
        return {
            self.methods[0].name: f"cv2.fastNlMeansDenoisingColored, windows {TEMPLATE_WINDOW} and "
            f"{SEARCH_WINDOW}, strength {self.strength:g} (the best for this set by PSNR)"
        }


class Wiener(Runner):
    """Wiener deconvolution with the kernel that the task drew.

    Args:
        balance: weight of the Laplacian; None: to be found by :meth:`tuned`.
    """

    def __init__(self, name: str = WIENER, group: str = "", balance: float | None = None) -> None:
        self.methods = (Method(name, "classical", group, 0),)
        self.balance = balance

    def tuned(self, samples: Samples) -> Wiener:
        """The same with the best balance, to a quarter of a power of ten."""
        if self.balance is not None:
            return self

        def scores(exponents: Sequence[float]) -> list[float]:
            return _mean_psnr(samples, [_deconvolver(10.0**exponent) for exponent in exponents])

        name, group = self.methods[0].name, self.methods[0].group
        best = best_setting(COARSE_BALANCES, BALANCE_STEPS, scores)
        return Wiener(name, group, 10.0**best)

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """Deconvolve one image after the other.

        Raises:
            ConfigError: the task does not say with which kernel it blurred.
        """
        if self.balance is None:
            raise ConfigError("Wiener deconvolution has no balance yet; give one, or use tuned().")
        restored = []
        for sample in batch.samples:
            if sample.kernel is None:
                raise ConfigError(
                    "Wiener deconvolution needs the blur kernel, which this task does not tell; "
                    "use it for deblur."
                )
            restored.append(wiener(sample.degraded, sample.kernel, self.balance))
        return {self.methods[0].name: torch.stack(restored)}

    def settings(self) -> dict[str, float]:
        """The balance."""
        return {} if self.balance is None else {self.methods[0].name: self.balance}

    def protocol(self) -> dict[str, str]:
        """How it deconvolves."""
        return {
            self.methods[0].name: "non-blind Wiener deconvolution, Laplacian, mirrored borders, "
            f"balance {self.balance:.3g} (the best for this set by PSNR)"
        }


def non_local_means(image: Tensor, strength: float) -> Tensor:
    """Denoise one image (3, H, W), RGB in [0, 1], rounded to 8 bits.

    Args:
        strength: OpenCV's h, in levels of 255.
    """
    import cv2

    levels = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    bgr = np.ascontiguousarray(levels.flip(0).permute(1, 2, 0).numpy())
    denoised = np.asarray(
        cv2.fastNlMeansDenoisingColored(
            bgr, None, strength, strength, TEMPLATE_WINDOW, SEARCH_WINDOW
        )
    )
    return torch.from_numpy(denoised.transpose(2, 0, 1).copy()).flip(0).float() / 255


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


def best_setting(
    coarse: Sequence[float],
    steps: Sequence[float],
    scores: Callable[[Sequence[float]], Sequence[float]],
    smallest: float | None = None,
) -> float:
    """Find the setting with the highest score: among some, then step by step beside the best.

    Args:
        coarse: settings to begin with.
        steps: distances to look at on both sides of the best one, the largest first.
        scores: gives the scores of settings.
        smallest: do not look below.
    """
    known: dict[float, float] = {}

    def measure(settings: Sequence[float]) -> float:
        lowest = -math.inf if smallest is None else smallest
        new = [each for each in settings if each not in known and each >= lowest]
        if new:
            known.update(zip(new, scores(new), strict=True))
        return max(known, key=known.__getitem__)

    best = measure(coarse)
    for step in steps:
        while (better := measure((best - step, best + step))) != best:
            best = better
    return best


def _mean_psnr(samples: Samples, restorers: Sequence[Callable[[Batch], Tensor]]) -> list[float]:
    """The mean PSNR of each restorer over a set, in 8-bit levels, at most 100 dB an image."""
    sums = [0.0] * len(restorers)
    for sample in samples():
        batch = Batch.of([sample])
        for index, restore in enumerate(restorers):
            restored = quantised(restore(batch))
            sums[index] += min(float(psnr(restored, sample.clean[None])), 100.0)
    return sums


def _denoiser(strength: float) -> Callable[[Batch], Tensor]:
    runner = NonLocalMeans(strength=strength)
    return lambda batch: runner(batch)[NON_LOCAL_MEANS]


def _deconvolver(balance: float) -> Callable[[Batch], Tensor]:
    runner = Wiener(balance=balance)
    return lambda batch: runner(batch)[WIENER]


def _transfer(kernel: Tensor, size: torch.Size) -> Tensor:
    """The transfer function of a kernel (K, K) whose middle is the origin, float64."""
    placed = torch.zeros(size, dtype=torch.float64)
    side = kernel.shape[-1]
    placed[:side, :side] = kernel.double()
    transfer: Tensor = torch.fft.rfft2(placed.roll((-(side // 2), -(side // 2)), dims=(0, 1)))
    return transfer
