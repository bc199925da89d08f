"""What a model file says of itself, in the metadata beside its tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ugpnet_core.checkpoints.file import Checkpoint
from ugpnet_core.checkpoints.recognition import recognise
from ugpnet_core.checkpoints.state_dict import unwrap
from ugpnet_core.config import ModelConfig
from ugpnet_core.errors import WeightsError

FORMAT = "ugpnet-model-1"


class Shared(BaseModel):
    """Where a module is that a file leaves out (:mod:`ugpnet_core.model_files.shared`).

    Attributes:
        model: the name of an installed model, or "".
        file: the name of its file, which may lie beside this one. The file may be a stranger's: a
            name, and no path to anywhere.
        digest: SHA-256 of the module's tensors.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = ""
    file: str = Field(pattern=r"^[A-Za-z0-9_][\w. -]*$")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")


@dataclass(frozen=True)
class ModelCard:
    """What a model file says of itself.

    Attributes:
        plugins: versions of the distributions that it was made with.
        record: how it was trained.
        shared: modules that are in another file.
    """

    config: ModelConfig
    plugins: Mapping[str, str]
    record: Mapping[str, Any]
    licence: str
    shared: Mapping[str, Shared] = field(default_factory=dict)


_SHARED = TypeAdapter(dict[str, Shared])


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
            _SHARED.validate_json(metadata.get("shared", "{}")),
        )
    except (KeyError, ValidationError, json.JSONDecodeError) as error:
        raise WeightsError(
            f"The description inside {path} is damaged; get the file again."
        ) from error
