"""Results of the stages of a training: one ``.safetensors`` each, which says what it is.

Metadata: ``format`` is "ugpnet-stage-1"; ``stage`` the stage's name; ``config`` the configuration
of the model as JSON, as far as the stage depends on it; ``record`` what happened, as JSON. The
record of a stage that was trained on (``ugpnet train --extend``) has a ``history``: for each
training before, its record, and the ``settings`` and other ``inputs`` (of the data, digests of
photographs and of files) that it had and the one after it has not. Tensors are ``network.*`` and,
of stages that have one, ``discriminator.*``. ``fingerprint`` is for ``ugpnet train`` alone, which
knows by it whether a result is what it would make.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from ugpnet_core.checkpoints.file import Checkpoint
from ugpnet_core.checkpoints.state_dict import load_tensors, write_safetensors
from ugpnet_core.config import ModelConfig
from ugpnet_core.errors import WeightsError

FORMAT = "ugpnet-stage-1"
# Of a network in a file of older code: a part that no other stage's has.
OLDER = {"backbone": "restoration", "encoder": "synthesis", "body": "fusion"}


@dataclass(frozen=True)
class StageResult:
    """What a finished stage leaves.

    Attributes:
        config: of the model; what the stage does not depend on is left at its defaults.
        record: what happened, anything JSON can hold.
        networks: state dicts; "network" is what was trained for the model.
    """

    stage: str
    config: ModelConfig
    record: Mapping[str, Any]
    networks: Mapping[str, Mapping[str, Tensor]]


def write_stage_result(path: Path, result: StageResult, fingerprint: Mapping[str, str]) -> None:
    """Write a result, whole or not at all."""
    networks = result.networks.items()
    tensors = {f"{name}.{key}": value for name, state in networks for key, value in state.items()}
    given = result.config.model_dump(mode="json", include=result.config.model_fields_set)
    metadata = {
        "format": FORMAT,
        "stage": result.stage,
        "config": json.dumps(given, sort_keys=True),
        "record": json.dumps(dict(result.record)),
        "fingerprint": json.dumps(dict(fingerprint)),
    }
    write_safetensors(tensors, metadata, path)


def read_stage_result(file: Checkpoint) -> StageResult | None:
    """Read a result, of older code, too.

    Returns:
        None where the file is none.

    Raises:
        WeightsError: it is damaged, or of another version.
    """
    metadata = file.metadata
    is_older = "format" not in metadata and {"fingerprint", "record"} <= metadata.keys()
    if not is_older and not metadata.get("format", "").startswith(FORMAT.rstrip("0123456789")):
        return None
    if not is_older and metadata["format"] != FORMAT:
        raise WeightsError(
            f"{file.path} has format {metadata['format']!r} and this version reads {FORMAT!r}; "
            "install the ugpnet-core that wrote it."
        )
    networks = networks_in(load_tensors(file.content, file))
    try:
        if is_older:
            stage, config = _older(metadata, networks.get("network", {}))
        else:
            stage = metadata["stage"]
            config = ModelConfig.model_validate_json(metadata["config"])
        record = dict(json.loads(metadata["record"]))
    except (AttributeError, KeyError, TypeError, ValueError, ValidationError) as error:
        raise WeightsError(
            f"The description inside {file.path} is damaged; get the file again."
        ) from error
    return StageResult(stage, config, record, networks)


def networks_in(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of a result by network, named as there."""
    networks: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, inner = key.partition(".")
        networks.setdefault(name, {})[inner] = tensor
    return networks


def _older(metadata: Mapping[str, str], network: Mapping[str, Tensor]) -> tuple[str, ModelConfig]:
    """Before there was a format, the fingerprint held the settings of the model, in the beginning
    all of them for each stage; which stage it was is told by the network."""
    given = {
        key.removeprefix("model."): json.loads(value)
        for key, value in json.loads(metadata["fingerprint"]).items()
        if key.startswith("model.")
    }
    parts = {key.partition(".")[0] for key in network} if "backbone" in given else set()
    told = (stage for part, stage in OLDER.items() if part in parts)
    return next(told, "prior"), ModelConfig.model_validate(given)
