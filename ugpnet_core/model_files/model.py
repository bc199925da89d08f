"""Model files: one ``.safetensors`` that holds a whole trained UGPNet and describes itself."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.checkpoints.choosing import at_key, refuse_key
from ugpnet_core.checkpoints.file import Checkpoint, read_checkpoint_file
from ugpnet_core.checkpoints.state_dict import fit, write_safetensors
from ugpnet_core.config import ModelConfig
from ugpnet_core.errors import PluginError, SeveralNetworksError, UnknownNameError
from ugpnet_core.model_files.card import FORMAT, ModelCard, card_of, is_model_file
from ugpnet_core.model_files.finding import find_model_file
from ugpnet_core.model_files.published import from_published, gather, parts_of
from ugpnet_core.model_files.shared import all_tensors, module_of, without_shared
from ugpnet_core.networks.ugpnet import UGPNet, build_model
from ugpnet_core.plugins import BackboneEntry, PriorEntry, TaskEntry, find

_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def save_model(
    model: UGPNet,
    path: str | PathLike[str],
    *,
    dtype: torch.dtype = torch.float32,
    record: Mapping[str, Any] | None = None,
    licence: str = "",
    synthesis_of: str | PathLike[str] | None = None,
) -> None:
    """Write a model file, whole or not at all.

    Args:
        model: The model, on any device.
        path: The file to write; call it ``.safetensors``.
        dtype: The type of the stored weights. Vectors (biases, norms, statistics) stay float32:
            they are small, and rounding them costs most.
        record: How the model was trained, as anything that JSON can hold.
        licence: The licence of the weights, such as "Apache-2.0".
        synthesis_of: Another model, by name or file, which has the same synthesis module. The file
            leaves it out; it is found by the other's name, or in its file beside this one.

    Raises:
        PluginError: There is no such other model.
        WeightsError: The file cannot be written, or the other synthesis module is another one.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import ugpnet_core as ug
        >>> path = Path(tempfile.mkdtemp()) / "mine.safetensors"
        >>> ug.save_model(ug.load_model("portraits-denoise"), path, licence="Apache-2.0")
        >>> ug.load_model(path).resolution
        256
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
    if synthesis_of is not None:
        module = module_of(synthesis_of, "synthesis")
        tensors = without_shared(tensors, module, synthesis_of)
        metadata["shared"] = json.dumps({"synthesis": module.shared.model_dump()})
    write_safetensors(tensors, metadata, path)


def load_model(
    source: str | PathLike[str], device: str | torch.device = "cpu", *, key: str | None = None
) -> UGPNet:
    """Rebuild a trained model, in evaluation mode and float32.

    Args:
        source: A name that ``ugpnet list-models`` shows, a model file, or a checkpoint in the key
            layout of the published UGPNet (``.pth`` or ``.safetensors``).
        device: The device that the model is put on, as torch names it.
        key: The UGPNet of a checkpoint that holds several, by the name of its dictionary, or of its
            module in a larger state dict.

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
    if is_model_file(file):
        refuse_key(path, key)
        tensors, model = all_tensors(file), _build(path, card_of(file))
    else:
        tensors, model = _published(file, key)
    fit(
        model, {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}, str(path)
    )
    return model.eval().to(device)


def _published(file: Checkpoint, key: str | None) -> tuple[dict[str, Tensor], UGPNet]:
    """The tensors of a published UGPNet, in our keys, and the model that they are of."""
    try:
        (file,) = at_key([file], key)
        tensors = gather([file]) if parts_of(file) else None
        if tensors is None:
            card_of(file)  # says what the file is
    except SeveralNetworksError as error:
        convert = shlex.join(["ugpnet", "convert", str(file.path), "model.safetensors"])
        raise SeveralNetworksError(
            f"{str(error).rstrip('.')}, or make a model file of it first: {convert} --key NAME"
        ) from error
    config, tensors = from_published(tensors or {})
    return tensors, build_model(config)


def read_card(source: str | PathLike[str]) -> ModelCard:
    """Read what a model file says of itself, without building the model."""
    return card_of(read_checkpoint_file(find_model_file(source)))


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
