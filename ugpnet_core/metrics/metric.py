"""What a figure is called, and which direction of it is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Metric:
    """A column of a table.

    Attributes:
        key: for programs, see :data:`ALL_METRICS`.
        title: for people, with the unit: "PSNR (dB)", "LPIPS-VGG", "FD-SqueezeNet".
        better: which direction is better.
        digits: decimals to show.
        per_image: False for figures that only a set has (Fréchet distances).
        quadratic: whether a set's figure is the root of the mean square of its images' figures,
            and not their mean.
        missing: why it was not computed, in one sentence; empty where it was.
    """

    key: str
    title: str
    better: Better
    digits: int
    per_image: bool = True
    quadratic: bool = False
    missing: str = ""


ALL_METRICS: Mapping[str, Metric] = {
    each.key: each
    for each in (
        Metric("psnr", "PSNR (dB)", "higher", 2),
        Metric("ssim", "SSIM", "higher", 4),
        Metric("ms-ssim", "MS-SSIM", "higher", 4),
        Metric("lpips", "LPIPS", "lower", 4),
        Metric("dists", "DISTS", "lower", 4),
        Metric("fid", "FID", "lower", 2, per_image=False),
        Metric("kid", "KID", "lower", 5, per_image=False),
        Metric("frechet", "FD", "lower", 1, per_image=False),
        Metric("indrmse", "IndRMSE", "lower", 2, quadratic=True),
        Metric("consistency", "Consistency (dB)", "higher", 2),
        Metric("niqe", "NIQE", "lower", 2),
        Metric("brisque", "BRISQUE", "lower", 2),
        Metric("identity", "Identity (degrees)", "lower", 1),
        Metric("landmarks", "Landmarks (pixels)", "lower", 2),
    )
}
"""Every figure by its key."""

USUAL_METRICS = ("psnr", "ssim", "lpips", "fid", "frechet")
"""What is computed where nothing else is asked for."""
