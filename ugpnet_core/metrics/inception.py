"""The Inception network of the FID, from a file on this machine.

Heusel et al.: GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium,
NeurIPS 2017. The network is that of torch-fidelity (Apache-2.0), which reproduces the original
figures; its weights are TensorFlow's of 2015-12-05. Nothing is downloaded unless that is asked for
by name.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ugpnet_core.checkpoints.downloads import say_on_stderr
from ugpnet_core.checkpoints.frozen import DOWNLOAD, FrozenNetwork, given_by, optional
from ugpnet_core.checkpoints.state_dict import read_tensors
from ugpnet_core.errors import DependencyError

ENVIRONMENT = "UGPNET_INCEPTION"
CHANNELS = 2048
HASH_PREFIX = "6726825d"


class Inception(nn.Module):
    """Inception-v3 as the FID uses it: the 2048 numbers before its classifier.

    Args:
        path: weights in torchvision's names, as torch-fidelity and pytorch-fid publish them.

    Raises:
        WeightsError: the file is missing, damaged or another network.
        DependencyError: torch-fidelity is not installed.
    """

    num_features = CHANNELS

    def __init__(self, path: Path) -> None:
        super().__init__()
        make = _extractor()
        with tempfile.TemporaryDirectory() as folder:
            # The library unpickles what it is given; it gets tensors that were read without.
            safe = Path(folder) / "inception.pth"
            torch.save(dict(read_tensors(path)), safe)
            try:
                self.network = make(str(safe))
            except RuntimeError as error:
                raise INCEPTION.misfit(path) from error
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, 3, H, W), in [0, 1] or uint8 levels, to features (N, 2048), float32."""
        levels = x if x.dtype == torch.uint8 else (x.clamp(0, 1) * 255).round().to(torch.uint8)
        features: Tensor = self.network(levels)[0]
        return features.float()


def optional_inception(
    given: str | Path | None, say: Callable[[str], None] = say_on_stderr
) -> tuple[Path | None, str]:
    """Find the weights for a figure that can be left out.

    Args:
        given: a file, a folder, or "download"; see :meth:`FrozenNetwork.find`.

    Returns:
        The file and ""; or None and, in one sentence, what is missing.

    Raises:
        WeightsError, DependencyError: one was asked for, here or in the environment.
    """

    def usable() -> Path:
        path = INCEPTION.find(given, say)
        _extractor()
        return path

    return optional(usable, asked=given or given_by(ENVIRONMENT))


def _extractor() -> Callable[[str], Any]:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise DependencyError(
            f"The FID needs torch-fidelity ({error}); pip install 'ugpnet-core[fid]'"
        ) from error
    return lambda path: FeatureExtractorInceptionV3(
        "inception-v3-compat", [str(CHANNELS)], feature_extractor_weights_path=path
    )


def _published() -> tuple[str, str]:
    _extractor()
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    return URL_INCEPTION_V3, HASH_PREFIX


INCEPTION = FrozenNetwork(
    "the Inception network of the FID",
    ("weights-inception-2015-12-05", "pt_inception-2015-12-05"),
    f"the file pt_inception-2015-12-05-{HASH_PREFIX}.pth as '--inception PATH' or in the "
    f"environment variable {ENVIRONMENT}, or '--inception {DOWNLOAD}' to fetch it",
    ENVIRONMENT,
    published=_published,
)
