"""Model files: one ``.safetensors`` that holds a whole trained UGPNet and describes itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from ugpnet_core.checkpoints.downloads import find_weights
from ugpnet_core.checkpoints.file import Checkpoint, read_checkpoint_file
from ugpnet_core.checkpoints.recognition import recognise
from ugpnet_core.checkpoints.state_dict import fit, unwrap, write_safetensors
from ugpnet_core.config import ModelConfig
from ugpnet_core.errors import PluginError, UnknownNameError, WeightsError
from ugpnet_core.model_files.published import from_published, gather, parts_of
from ugpnet_core.networks.ugpnet import UGPNet, build_model
from ugpnet_core.plugins import BackboneEntry, ModelEntry, PriorEntry, TaskEntry, find, registry

_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
FORMAT = "ugpnet-model-1"


@dataclass(frozen=True)
class ModelCard:
    """What a model file says of itself."""

    config: ModelConfig
    plugins: Mapping[str, str]
    record: Mapping[str, Any]
    licence: str


def save_model(
    model: UGPNet,
    path: str | PathLike[str],
    *,
    dtype: torch.dtype = torch.float32,
    record: Mapping[str, Any] | None = None,
    licence: str = "",
) -> None:
    """Write a model file, whole or not at all.

    Args:
        model: The model, on any device.
        path: The file to write; call it ``.safetensors``.
        dtype: The type of the stored weights. Vectors (biases, norms, statistics) stay float32:
            they are small, and rounding them costs most.
        record: How the model was trained, as anything that JSON can hold.
        licence: The licence of the weights, such as "Apache-2.0".

    Raises:
        WeightsError: The file cannot be written.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import ugpnet_core as ug
        >>> path = Path(tempfile.mkdtemp()) / "mine.safetensors"
        >>> ug.save_model(ug.load_model("portraits-denoise"), path, licence="Apache-2.0")
        >>> ug.load_model(path).resolution
        128
    """
    tensors = {
        key: value.to(dtype) if value.is_floating_point() and value.dim() > 1 else value
        for key, value in model.state_dict().items()
    }
    metadata = {
        "format": FORMAT,
        "config": model.config.model_dump_json(),
        "plugins": json.dumps(_plugin_versions(model.config)),
        "record": json.dumps(record or {}),
        "licence": licence,
    }
    write_safetensors(tensors, metadata, path)


def load_model(source: str | PathLike[str], device: str | torch.device = "cpu") -> UGPNet:
    """Rebuild a trained model, in evaluation mode and float32.

    Args:
        source: A name that ``ugpnet list-models`` shows, a model file, or a checkpoint in the key
            layout of the published UGPNet (``.pth`` or ``.safetensors``).
        device: The device that the model is put on, as torch names it.

    Raises:
        PluginError: There is no such name, or a plugin that the model needs is not installed.
        WeightsError: The file is missing, damaged, or does not fit.

    Examples:
        >>> import ugpnet_core as ug
        >>> model = ug.load_model("portraits")
        >>> model.resolution, model.config.backbone.name
        (256, 'nafnet')
    """
    path = find_model_file(source)
    file = read_checkpoint_file(path)
    if not _is_card(file.metadata) and parts_of(file):
        config, tensors = from_published(gather([file]) or {})
        model = build_model(config)
    else:
        tensors = unwrap(file)
        model = _build(path, card_of(file))
    fit(
        model, {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}, str(path)
    )
    return model.eval().to(device)


def read_card(source: str | PathLike[str]) -> ModelCard:
    """Read what a model file says of itself, without building the model."""
    return card_of(read_checkpoint_file(find_model_file(source)))


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


def _is_card(metadata: Mapping[str, str]) -> bool:
    # Other programs write a "format" too, such as "pt".
    return metadata.get("format", "").startswith(FORMAT.rstrip("0123456789"))


def is_model_file(file: Checkpoint) -> bool:
    """Whether a file says that it is a model file, of any version."""
    return _is_card(file.metadata)


def card_of(file: Checkpoint) -> ModelCard:
    """What a model file that was read says of itself; errors as :func:`load_model`."""
    path, metadata = file.path, file.metadata
    if not _is_card(metadata):
        raise WeightsError(
            f"{path} is no model file (it looks like {recognise(unwrap(file))}); make one with "
            "ugpnet train, ugpnet convert or ugpnet_core.save_model."
        )
    if metadata["format"] != FORMAT:
        raise WeightsError(
            f"{path} has format {metadata['format']!r} and this version reads {FORMAT!r}; "
            "install the ugpnet-core that wrote it."
        )
    try:
        return ModelCard(
            ModelConfig.model_validate_json(metadata["config"]),
            json.loads(metadata.get("plugins", "{}")),
            json.loads(metadata.get("record", "{}")),
            metadata.get("licence", ""),
        )
    except (KeyError, ValidationError, json.JSONDecodeError) as error:
        raise WeightsError(
            f"The description inside {path} is damaged; get the file again."
        ) from error


def _build(path: Path, card: ModelCard) -> UGPNet:
    """Build the network that a card describes; the card knows which distributions it needs."""
    try:
        return build_model(card.config)
    except UnknownNameError as error:
        # The file may be a stranger's: only what is a name goes into a command.
        named = [name for name in card.plugins if _DISTRIBUTION.fullmatch(name)]
        missing = [name for name in named if not _is_installed(name)]
        if not missing:
            raise
        raise PluginError(
            f"{path} needs plugins that are not installed; pip install {' '.join(missing)}"
        ) from error


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _plugin_versions(config: ModelConfig) -> dict[str, str]:
    installed = (
        find(BackboneEntry, config.backbone.name),
        find(PriorEntry, config.prior.name),
        find(TaskEntry, config.task.name),
    )
    return {plugin.distribution: plugin.version for plugin in installed}
