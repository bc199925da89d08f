"""Where a training keeps its state.

OUTPUT/checkpoints/STAGE.pt     a stage under way: everything that resuming needs
OUTPUT/STAGE.safetensors        a finished stage: its chosen weights
OUTPUT/NAME.safetensors         the finished model
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.atomic import write_beside
from ugpnet_core.checkpoints.state_dict import read_safetensors
from ugpnet_core.errors import TrainingError, WeightsError
from ugpnet_core.model_files.stage_results import StageResult, networks_in, write_stage_result
from ugpnet_core.training.fingerprint import Fingerprint


def checkpoint_path(output: Path, stage: str) -> Path:
    """Where a stage under way keeps its state."""
    return output / "checkpoints" / f"{stage}.pt"


def result_path(output: Path, stage: str) -> Path:
    """Where a finished stage keeps its weights."""
    return output / f"{stage}.safetensors"


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a stage's state, whole or not at all.

    Raises:
        TrainingError: the disk refuses; what was there before is untouched.
    """

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            torch.save(dict(state), file)

    try:
        write_beside(path, write)
    except OSError as error:
        raise refused(path, error) from error
    except RuntimeError as error:  # torch's own, with that of the disk behind it
        behind = error.__context__
        raise refused(path, behind if isinstance(behind, OSError) else error) from error


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


def write_result(path: Path, result: StageResult, made_by: Fingerprint) -> None:
    """Write what a finished stage leaves, with what made it.

    Raises:
        TrainingError: the disk refuses.
    """
    try:
        write_stage_result(path, result, made_by)
    except OSError as error:
        raise refused(path, error) from error


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
    return networks_in(tensors), made_by, record


def refused(path: Path, error: Exception) -> TrainingError:
    """What to say of a disk that refuses to take a file."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return TrainingError(
        f"{path} cannot be written ({reason}); make room for it, then go on with --resume."
    )
