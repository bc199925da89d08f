"""Methods without learning, each with the setting that is the best for a set by mean PSNR."""

from ugpnet_core.evaluation.classical.bicubic import Bicubic
from ugpnet_core.evaluation.classical.bm3d import BM3D
from ugpnet_core.evaluation.classical.non_local_means import NonLocalMeans, non_local_means
from ugpnet_core.evaluation.classical.tuning import best_setting
from ugpnet_core.evaluation.classical.wiener_filter import Wiener, wiener

__all__ = [
    "BM3D",
    "Bicubic",
    "NonLocalMeans",
    "Wiener",
    "best_setting",
    "non_local_means",
    "wiener",
]
