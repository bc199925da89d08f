"""Settings of an ablation: the file that ``ugpnet ablate`` reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from ugpnet_core.config import ComponentConfig, Positive, Strict
from ugpnet_core.config_files import (
    apply_override,
    parse_override,
    read_sections,
    set_value,
    validated,
)
from ugpnet_core.errors import ConfigError

Changes = dict[str, Any]
"""Settings of a training by dotted key, such as ``model.adapter``."""


class VariantConfig(Strict):
    """One way to train, as what it changes."""

    name: str = Field(description="short, for --variant and for the folder")
    title: str = Field(default="", description="the row of the table; default: the name")
    changes: Changes = Field(default={}, description="settings of the base, by dotted key")


class BackboneConfig(ComponentConfig):
    """A backbone that all variants are trained with: a group of columns of the table."""

    changes: Changes = Field(default={}, description="settings that belong to this backbone")


class MeasuringConfig(Strict):
    """What trained variants are measured on."""

    data: list[Path] | None = Field(
        default=None, description="folders of photographs; default: data.validation of the base"
    )
    count: Positive | None = Field(default=None, description="only the first of them")
    seed: int = Field(default=0, ge=0, description="of degradations and crops")
    perceptual_weights: Path | None = Field(
        default=None, description="of LPIPS; default: perceptual.weights of the base"
    )
    inception: str | None = Field(
        default=None, description="of the FID: a file, or 'download', as --inception of evaluate"
    )


class AblationConfig(Strict):
    """Variants that differ from one base training, each with every backbone."""

    name: str = Field(description="of the study, and how the names of its models begin")
    output: Path = Field(description="folder for the trainings (BACKBONE/VARIANT) and the tables")
    base: Path = Field(description="training configuration that every variant starts from")
    changes: Changes = Field(default={}, description="settings of the base, for all variants")
    study: Literal["network-components", "initialisation"] | None = Field(
        default=None, description="Table 3 of the paper, or section S.5 of its supplement"
    )
    variants: list[VariantConfig] = Field(
        default=[], description="variants of your own, instead of a study"
    )
    backbones: dict[str, BackboneConfig] = Field(
        default={}, description="by the name to show; default: that of the base"
    )
    reuse: list[Path] = Field(
        default=[],
        description="outputs of trainings whose finished stages are reused where settings and "
        "inputs are the same",
    )
    measuring: MeasuringConfig = MeasuringConfig()

    @model_validator(mode="before")
    @classmethod
    def _named_before(cls, content: object) -> object:
        """Take variants by the name that they had."""
        if isinstance(content, dict) and "arms" in content and "variants" not in content:
            return {("variants" if key == "arms" else key): each for key, each in content.items()}
        return content

    @model_validator(mode="after")
    def _says_which_variants(self) -> AblationConfig:
        if (self.study is None) == (not self.variants):
            raise ValueError("give either 'study' or 'variants'")
        return self


def read_ablation(path: Path, overrides: Sequence[str] = ()) -> AblationConfig:
    """Read a YAML file and apply overrides.

    An override whose key begins with a name of :class:`AblationConfig` (``output=...``,
    ``measuring.count=...``) is for the ablation; every other is a setting of the base training,
    as ``ugpnet train`` takes it (``restoration.iterations=100``), and holds for all variants.

    Raises:
        ConfigError: the file or an override cannot be right; the message names the key.
    """
    content = read_sections(path)
    for override in overrides:
        key, value = parse_override(override)
        if key.partition(".")[0] in AblationConfig.model_fields:
            apply_override(content, override)
        else:
            changes = content.get("changes") or {}
            content["changes"] = {**changes, key: value}
    return validated(AblationConfig, content, str(path))


def apply_changes(content: dict[str, Any], changes: Changes, source: str) -> None:
    """Set what changes name in the sections of a training, which are changed in place.

    Raises:
        ConfigError: a change would replace a whole section; the message begins with ``source``.
    """
    for key, value in changes.items():
        if isinstance(value, dict) and "." not in key:
            inner = next(iter(value), "...")
            raise ConfigError(
                f"{source} would replace the whole section {key!r}; name settings one by one, as "
                f"'{key}.{inner}: VALUE'."
            )
        set_value(content, key, value, f"{source}: {key}")
