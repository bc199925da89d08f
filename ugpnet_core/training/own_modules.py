"""One module of a UGPNet out of a file of ``ugpnet train``: a model, or a stage's result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from ugpnet_core.checkpoints.file import Checkpoint, read_checkpoint_file
from ugpnet_core.checkpoints.state_dict import unwrap
from ugpnet_core.config import ModelConfig
from ugpnet_core.errors import WeightsError
from ugpnet_core.model_files.model import card_of, is_model_file

# How the keys of one module begin, and those of no other: a result does not say whose it is.
TOLD_BY: Mapping[str, str] = {
    "restoration": "backbone.",
    "synthesis": "encoder.",
    "fusion": "conv.",
}


@dataclass(frozen=True)
class OwnModule:
    """A module's weights, and what they were trained as.

    Attributes:
        tensors: state dict of the module, in whatever precision the file has.
        config: of the model; in the result of a stage, as far as that stage depends on it.
        discriminator: state dict; None where the file has none.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    config: ModelConfig
    discriminator: Mapping[str, Tensor] | None = None

    def part(self, name: str) -> dict[str, Tensor]:
        """The state dict of a network inside the module, such as "backbone"."""
        return _inner(self.tensors, f"{name}.")


def read_own_module(path: str | PathLike[str], module: str) -> OwnModule | None:
    """Read a module from a model file or from the result of its stage.

    Returns:
        None where the file is neither: a checkpoint from elsewhere, for instance.

    Raises:
        WeightsError: the file is missing or damaged, or it holds other modules only.
    """
    file = read_checkpoint_file(path)
    if is_model_file(file):
        tensors, config, discriminator = (
            _inner(unwrap(file), f"{module}."),
            card_of(file).config,
            {},
        )
    elif _is_result(file.metadata):
        found = unwrap(file)
        tensors, config = _inner(found, "network."), _described(file)
        discriminator = _inner(found, "discriminator.")
    else:
        return None
    if not any(key.startswith(TOLD_BY[module]) for key in tensors):
        raise WeightsError(
            f"{path} holds no {module} module; give a model file, or the {module}.safetensors of "
            "another training."
        )
    return OwnModule(Path(path), tensors, config, discriminator or None)


def _inner(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _is_result(metadata: Mapping[str, str]) -> bool:
    return {"fingerprint", "record"} <= metadata.keys()


def _described(file: Checkpoint) -> ModelConfig:
    """The model's configuration in the fingerprint of a result."""
    try:
        made_by = json.loads(file.metadata["fingerprint"])
        sections: dict[str, Any] = {
            key.removeprefix("model."): json.loads(value)
            for key, value in made_by.items()
            if key.startswith("model.")
        }
        return ModelConfig.model_validate(sections)
    except (AttributeError, TypeError, ValueError, ValidationError) as error:
        raise WeightsError(
            f"The description inside {file.path} is damaged; get the file again."
        ) from error
