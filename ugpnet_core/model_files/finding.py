"""Find model files, by name or path, and what their priors know."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from ugpnet_core.checkpoints.downloads import find_weights
from ugpnet_core.config import ModelConfig
from ugpnet_core.errors import WeightsError
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.plugins import ModelEntry, find, registry


def find_model_file(source: str | PathLike[str], *, download: bool = True) -> Path:
    """Turn a model's name or a path into the path of an existing file.

    A name wins over a file of the same name without a suffix. A file on the Hub is fetched, see
    :mod:`ugpnet_core.checkpoints.downloads`.

    Args:
        download: whether it may be fetched; where not, one that is not here is a WeightsError.

    Raises:
        PluginError: no such name.
        WeightsError: no such file, a shipped file was changed after it was released, or one
            cannot be fetched.
    """
    text = str(source)
    if text not in registry().models and (
        Path(text).suffix or len(Path(text).parts) > 1 or Path(text).exists()
    ):
        if not Path(text).is_file():
            raise WeightsError(f"There is no model file {text}; check the path.")
        return Path(text)
    return find_weights(find(ModelEntry, text), download=download)


def domain_of(source: str | PathLike[str] | UGPNet, config: ModelConfig) -> str:
    """What the prior of a model knows ("faces", or "" for anything): as the entry of its name says,
    or else its configuration."""
    installed = registry().models.get(str(source)) if isinstance(source, str) else None
    declared = None if installed is None else installed.entry.domain
    return config.domain if declared is None else declared
