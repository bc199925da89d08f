"""What a figure is called, and which direction of it is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Metric:
    """A column of a table.

    Attributes:
        key: for programs: psnr, ssim, lpips, fid or frechet.
        title: for people, with the unit: "PSNR (dB)", "LPIPS-VGG", "FD-SqueezeNet".
        better: which direction is better.
        digits: decimals to show.
        per_image: False for figures that only a set has (Fréchet distances).
        missing: why it was not computed, in one sentence; empty where it was.
    """

    key: str
    title: str
    better: Better
    digits: int
    per_image: bool = True
    missing: str = ""
