"""Figures of likeness: to the photograph, to the posterior mean, and to what was degraded."""

from __future__ import annotations

import torch
from torch import Tensor

from ugpnet_core.errors import DependencyError
from ugpnet_core.metrics.judged import ImageMetric, Judged
from ugpnet_core.metrics.metric import ALL_METRICS
from ugpnet_core.metrics.pixel import SSIM_WINDOW, psnr, quantised, ssim

MS_SSIM_SCALES = 5
# Four halvings later, the window of 11 pixels has to fit.
MS_SSIM_SIDE = SSIM_WINDOW * 2 ** (MS_SSIM_SCALES - 1)


def psnr_metric() -> ImageMetric:
    """PSNR against the photograph."""
    return ImageMetric(
        ALL_METRICS["psnr"],
        lambda judged: psnr(judged.images, _clean(judged)).tolist(),
        "over all pixels and channels of an image; mean over images",
        frozenset({"clean"}),
    )


def ssim_metric() -> ImageMetric:
    """SSIM against the photograph."""
    return ImageMetric(
        ALL_METRICS["ssim"],
        lambda judged: ssim(judged.images, _clean(judged)).tolist(),
        f"Gaussian window {SSIM_WINDOW}, sigma 1.5, per channel of RGB; mean over images",
        frozenset({"clean"}),
    )


def ms_ssim_metric() -> ImageMetric:
    """Multi-scale SSIM against the photograph (Wang, Simoncelli, Bovik, 2003), torchmetrics'.

    Raises:
        DependencyError: torchmetrics is not installed.
    """
    try:
        from torchmetrics.functional.image import (
            multiscale_structural_similarity_index_measure as ms_ssim,
        )
    except ImportError as error:
        raise DependencyError(
            f"MS-SSIM needs torchmetrics ({error}); pip install 'ugpnet-core[metrics]'"
        ) from error

    def measure(judged: Judged) -> list[float]:
        if min(judged.images.shape[-2:]) < MS_SSIM_SIDE:
            return [float("nan")] * len(judged.images)
        clean = _clean(judged).double().expand_as(judged.images)
        found = ms_ssim(judged.images.double(), clean, data_range=1.0, reduction="none")
        return [float(value) for value in found.reshape(-1)]

    return ImageMetric(
        ALL_METRICS["ms-ssim"],
        measure,
        f"{MS_SSIM_SCALES} scales, torchmetrics, for images of at least {MS_SSIM_SIDE} pixels; "
        "mean over images",
        frozenset({"clean"}),
    )


def indicator_rmse_metric() -> ImageMetric:
    """IndRMSE (Ohayon, Michaeli, Elad: Posterior-Mean Rectified Flow, ICLR 2025, section 5): the
    root mean square distance to an approximate posterior mean, which x_reg is.

    Where x_reg is the posterior mean, the mean squared error of x_hat is that of x_reg and this
    squared, so that it orders methods as their errors would, without the photograph. The mean
    square is over all images of a set, and the root is the last step.
    """

    def measure(judged: Judged) -> list[float]:
        assert judged.regression is not None
        return root_mean_square(judged.images, judged.regression)

    return ImageMetric(
        ALL_METRICS["indrmse"],
        measure,
        "root mean square distance to x_reg in levels of 255, over pixels, channels and images",
        frozenset({"regression"}),
    )


def consistency_metric() -> ImageMetric:
    """The degraded image against the restored one, degraded again: PSNR in dB.

    The task draws the same kernel and noise as for the photograph, for which the figure is
    infinite. Noise alone hides nothing so: then this is nearly the PSNR to the photograph. For real
    photographs the noise is nobody's to draw again, and is averaged away.
    """

    def measure(judged: Judged) -> list[float]:
        assert judged.degrade is not None
        again = torch.stack([judged.degrade(image) for image in judged.images])
        return psnr(quantised(again), judged.degraded.unsqueeze(0)).tolist()

    return ImageMetric(
        ALL_METRICS["consistency"],
        measure,
        "PSNR between the degraded image and the restored one, degraded again with the same draws "
        "(for noise alone, nearly the PSNR to the photograph), of real ones without noise; mean "
        "over images",
        frozenset({"task"}),
    )


def root_mean_square(x: Tensor, target: Tensor) -> list[float]:
    """The root of the mean square difference of each image, (N, 3, H, W), in levels of 255."""
    squares = (x.double() - target.double()).square().mean(dim=(1, 2, 3))
    return (255 * squares.sqrt()).tolist()


def _clean(judged: Judged) -> Tensor:
    assert judged.clean is not None
    return judged.clean
