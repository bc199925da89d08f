"""BM3D: blocks that look alike are denoised together.

K. Dabov, A. Foi, V. Katkovnik, K. Egiazarian: Image Denoising by Sparse 3-D Transform-Domain
Collaborative Filtering, IEEE TIP 2007. The package bm3d is that of its authors (Y. Makinen, L.
Azzari, A. Foi, 2020), whose licence excludes commercial use.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ugpnet_core.errors import DependencyError
from ugpnet_core.evaluation.classical.tuning import TunedRunner
from ugpnet_core.evaluation.photographs import Sample, enlarged


class BM3D(TunedRunner):
    """BM3D of the enlarged degraded image, brightness and colours together; its setting is the
    deviation of the noise in levels of 255, which is found to a level."""

    title = "BM3D"
    coarse = (5.0, 15.0, 25.0, 35.0, 50.0, 70.0, 100.0)
    steps = (5.0, 2.0, 1.0)
    smallest = 1.0

    def restore(self, sample: Sample, resolution: int, setting: float) -> Tensor:
        """Denoise."""
        return bm3d(enlarged(sample.degraded, resolution), setting)

    def described(self, setting: float) -> str:
        """The package and its setting."""
        return f"package bm3d, profile np, sigma {setting:g} of 255"


def bm3d(image: Tensor, sigma: float) -> Tensor:
    """Denoise one image (3, H, W), RGB in [0, 1].

    Args:
        sigma: deviation of the noise, in levels of 255.

    Raises:
        DependencyError: bm3d is not installed.
    """
    package = _package()
    denoised = package.bm3d_rgb(image.permute(1, 2, 0).double().numpy(), sigma / 255)
    planes = np.ascontiguousarray(np.asarray(denoised).transpose(2, 0, 1))
    return torch.from_numpy(planes).float().clamp(0, 1)


def _package() -> Any:
    try:
        import bm3d as package
    except (ImportError, OSError) as error:  # its library does not fit every machine
        raise DependencyError(
            f"BM3D needs the package bm3d, for non-commercial use ({error}); pip install "
            "'ugpnet-core[bm3d]'"
        ) from error
    return package
