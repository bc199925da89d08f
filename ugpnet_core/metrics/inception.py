"""The Inception network of the FID, from a file on this machine.

Heusel et al.: GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium,
NeurIPS 2017. The network is that of torch-fidelity (Apache-2.0), which reproduces the original
figures; its weights are TensorFlow's of 2015-12-05. Nothing is downloaded unless that is asked for
by name.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ugpnet_core.checkpoints.state_dict import read_tensors
from ugpnet_core.errors import DependencyError, WeightsError

ENVIRONMENT = "UGPNET_INCEPTION"
CHANNELS = 2048
PREFIXES = ("weights-inception-2015-12-05", "pt_inception-2015-12-05")
DOWNLOAD = "download"
HASH_PREFIX = "6726825d"
HOW_TO_GIVE = (
    f"give the file pt_inception-2015-12-05-{HASH_PREFIX}.pth as '--inception PATH' or in the "
    f"environment variable {ENVIRONMENT}, or '--inception {DOWNLOAD}' to fetch it"
)


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
                raise WeightsError(
                    f"{path} does not hold the Inception network of the FID; {HOW_TO_GIVE}."
                ) from error
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, 3, H, W), in [0, 1] or uint8 levels, to features (N, 2048), float32."""
        levels = x if x.dtype == torch.uint8 else (x.clamp(0, 1) * 255).round().to(torch.uint8)
        features: Tensor = self.network(levels)[0]
        return features.float()


def find_inception(
    given: str | Path | None, say: Callable[[str], None] = lambda text: None
) -> Path:
    """Find the weights: what is given, the environment variable's, those in torch's cache.

    Args:
        given: a file, or "download" to fetch it into torch's cache where it is not there yet.
        say: told what is downloaded, before it is.

    Raises:
        WeightsError: there are none, or they cannot be fetched; the message says what to do.
        DependencyError: they were asked for, and torch-fidelity is not installed.
    """
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    cached = _in_folder(cache)
    if given is not None and str(given) == DOWNLOAD:
        return cached or _download(cache, say)
    named = given or os.environ.get(ENVIRONMENT)
    if named:
        path = Path(named)
        found = _in_folder(path) if path.is_dir() else path
        if found is None or not found.is_file():
            raise WeightsError(f"There is no Inception network in {path}; {HOW_TO_GIVE}.")
        return found
    if cached is None:
        raise WeightsError(f"the Inception network is not on this machine; {HOW_TO_GIVE}.")
    return cached


def optional_inception(
    given: str | Path | None, say: Callable[[str], None] = lambda text: None
) -> tuple[Path | None, str]:
    """Find the weights for a figure that can be left out.

    Returns:
        The file and ""; or None and, in one sentence, what is missing.

    Raises:
        WeightsError, DependencyError: one was asked for, here or in the environment.
    """
    try:
        path = find_inception(given, say)
        _extractor()
    except (WeightsError, DependencyError) as error:
        if given or os.environ.get(ENVIRONMENT):
            raise
        return None, str(error)
    return path, ""


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


def _in_folder(folder: Path) -> Path | None:
    found = folder.glob("*inception-2015-12-05*.pth") if folder.is_dir() else ()
    return min((path for path in found if path.name.startswith(PREFIXES)), default=None)


def _download(cache: Path, say: Callable[[str], None]) -> Path:
    """Fetch the weights into torch's cache, whole and with the right hash, or not at all."""
    _extractor()
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    target = cache / Path(URL_INCEPTION_V3).name
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        raise WeightsError(
            f"The Inception network cannot be fetched while offline is set; put {target.name} "
            f"into {cache}."
        )
    say(f"Downloading the Inception network of the FID from {URL_INCEPTION_V3} to {cache}")
    cache.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(URL_INCEPTION_V3, str(target), hash_prefix=HASH_PREFIX)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"The Inception network cannot be fetched ({error}); fetch {URL_INCEPTION_V3} "
            f"elsewhere and put it into {cache}."
        ) from error
    return target
