"""Where a training keeps its state, and how it knows that the state is still its own.

OUTPUT/checkpoints/STAGE.pt     a stage under way: everything that resuming needs
OUTPUT/STAGE.safetensors        a finished stage: its chosen weights
OUTPUT/NAME.safetensors         the finished model
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.config import ModelConfig, StageConfig, TrainConfig
from ugpnet_core.errors import TrainingError, WeightsError
from ugpnet_core.weights import read_safetensors, write_safetensors, write_whole

Fingerprint = dict[str, str]


def checkpoint_path(output: Path, stage: str) -> Path:
    """Where a stage under way keeps its state."""
    return output / "checkpoints" / f"{stage}.pt"


def result_path(output: Path, stage: str) -> Path:
    """Where a finished stage keeps its weights."""
    return output / f"{stage}.safetensors"


# What each stage depends on of the model's configuration; the fusion stage on all of it.
DEPENDS_ON: Mapping[str, frozenset[str]] = {
    "prior": frozenset({"prior"}),
    "restoration": frozenset({"backbone", "task", "adapter", "merging_channels"}),
    "synthesis": frozenset(name for name in ModelConfig.model_fields if "fusion" not in name),
    "fusion": frozenset(ModelConfig.model_fields),
}
PERCEPTUAL_STAGES = ("synthesis", "fusion")


def fingerprint(
    config: TrainConfig,
    stage: str,
    settings: StageConfig,
    inputs: Mapping[str, Path],
    images: int,
) -> Fingerprint:
    """Everything that a stage's result depends on, by name.

    Args:
        inputs: files whose content the stage starts from (earlier stages, pretrained weights).
        images: number of training images.

    Raises:
        TrainingError: one of the files cannot be read.
    """
    parts = {f"settings.{key}": value for key, value in settings.model_dump(mode="json").items()}
    data = config.data.model_dump(mode="json", exclude={"cache", "workers"})
    parts |= {f"data.{key}": value for key, value in data.items()}
    model = config.model.model_dump(mode="json", include=set(DEPENDS_ON[stage]))
    parts |= {f"model.{key}": value for key, value in model.items()}
    if stage in PERCEPTUAL_STAGES:
        network = config.perceptual.model_dump(mode="json", exclude={"weights"})
        parts |= {f"perceptual.{key}": value for key, value in network.items()}
    for key in ("seed", "precision", "channels_last", "validate_every"):
        parts[key] = getattr(config, key)
    parts["number of training images"] = images
    parts |= {f"content of {name}": _digest(path) for name, path in inputs.items()}
    return {key: json.dumps(value, sort_keys=True) for key, value in parts.items()}


def compare(stage: str, before: Fingerprint, now: Fingerprint, found: Path) -> None:
    """Refuse a state that other settings or inputs made.

    Raises:
        TrainingError: they differ; the message says in what.
    """
    differing = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
    if differing:
        changes = ", ".join(
            f"{key} (was {before.get(key, 'unset')}, is {now.get(key, 'unset')})"
            for key in differing[:3]
        )
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise TrainingError(
            f"{found} was made by other inputs of stage {stage}: {changes}{more}; put them back, "
            "choose another output, or delete it to train the stage again."
        )


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a stage's state, whole or not at all.

    Raises:
        TrainingError: the disk refuses; what was there before is untouched.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    try:
        write_whole(path, buffer.getvalue())
    except OSError as error:
        raise _refused(path, error) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a stage's state.

    Raises:
        TrainingError: the file is damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of damaged files, torch raises nearly anything
        raise TrainingError(f"{path} is damaged; delete it to train its stage again.") from error
    return state


def write_result(
    path: Path,
    networks: Mapping[str, Mapping[str, Tensor]],
    made_by: Fingerprint,
    record: Mapping[str, Any],
) -> None:
    """Write a finished stage's weights, with what made them.

    Raises:
        TrainingError: the disk refuses.
    """
    tensors = {f"{name}.{key}": t for name, state in networks.items() for key, t in state.items()}
    metadata = {"fingerprint": json.dumps(made_by), "record": json.dumps(dict(record))}
    try:
        write_safetensors(tensors, metadata, path)
    except OSError as error:
        raise _refused(path, error) from error


def read_result(path: Path) -> tuple[dict[str, dict[str, Tensor]], Fingerprint, dict[str, Any]]:
    """Read a finished stage: state dicts by network, what made them, and the record.

    Raises:
        TrainingError: the file is damaged, or no stage wrote it.
    """
    try:
        tensors, metadata = read_safetensors(path)
        made_by, record = json.loads(metadata["fingerprint"]), json.loads(metadata["record"])
    except (WeightsError, KeyError, json.JSONDecodeError) as error:
        raise TrainingError(
            f"{path} is damaged or no result of a stage; delete it to train its stage again."
        ) from error
    networks: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, inner = key.partition(".")
        networks.setdefault(name, {})[inner] = tensor
    return networks, made_by, record


def _refused(path: Path, error: OSError) -> TrainingError:
    return TrainingError(
        f"{path} cannot be written ({error.strerror or error}); make room for it, then go on with "
        "--resume."
    )


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be read ({error.strerror or error}); put it back, as a stage was made "
            "from it."
        ) from error
