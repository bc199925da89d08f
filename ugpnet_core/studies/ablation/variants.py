"""Variants: an ablation's settings, made into one training configuration each."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugpnet_core.config import TrainConfig
from ugpnet_core.config_files import read_sections, validated
from ugpnet_core.errors import ConfigError
from ugpnet_core.plugins import PriorEntry, find
from ugpnet_core.studies.ablation.settings import (
    AblationConfig,
    BackboneConfig,
    Changes,
    VariantConfig,
    apply_changes,
)
from ugpnet_core.studies.ablation.studies import STUDIES


@dataclass(frozen=True)
class Variant:
    """One training of an ablation.

    Attributes:
        name: of the variant, the same with every backbone.
        title: of its row.
        backbone: of its columns; empty where the ablation names none.
        changes: what sets it apart from the other variants.
        config: the whole training.
    """

    name: str
    title: str
    backbone: str
    changes: Changes
    config: TrainConfig

    @property
    def key(self) -> str:
        """BACKBONE/NAME, or the name alone: unique in the ablation, and its folder."""
        return f"{self.backbone}/{self.name}" if self.backbone else self.name

    @property
    def model_file(self) -> Path:
        """Where the trained model will be."""
        return self.config.output / f"{self.config.name}.safetensors"


def base_training(ablation: AblationConfig) -> TrainConfig:
    """The training that variants are changes of, with the changes that hold for all of them.

    Raises:
        ConfigError: it cannot be right.
    """
    return validated(TrainConfig, _base_sections(ablation), str(ablation.base))


def make_variants(ablation: AblationConfig) -> list[Variant]:
    """The trainings of an ablation: backbone after backbone, variants in the order of the settings.

    Raises:
        ConfigError: settings cannot be right, two trainings are the same, or a study's variants
            would not differ; the message names the variant.
        UnknownNameError: a backbone or prior is not installed.
    """
    base = _base_sections(ablation)
    choices = ablation.variants or STUDIES[ablation.study or "network-components"]
    _check_names("variant", [choice.name for choice in choices])
    _check_names("backbone", list(ablation.backbones))
    backbones: dict[str, BackboneConfig | None] = {**ablation.backbones}
    variants = [
        _variant(ablation, base, title, backbone, choice)
        for title, backbone in (backbones or {"": None}).items()
        for choice in choices
    ]
    if ablation.study == "initialisation":
        for variant in variants:
            _check_pretrained(ablation, variant)
    _check_different(variants)
    return variants


def chosen_variants(variants: Sequence[Variant], names: Sequence[str]) -> list[Variant]:
    """Those that have one of the names: of a variant, of a backbone, or BACKBONE/VARIANT; all
    of them where there are no names.

    Raises:
        ConfigError: none has such a name.
    """
    for name in names:
        if not any(name in _names_of(variant) for variant in variants):
            keys = ", ".join(variant.key for variant in variants)
            raise ConfigError(f"There is no variant {name!r}; there are: {keys}.")
    return [variant for variant in variants if not names or set(names) & _names_of(variant)]


def _names_of(variant: Variant) -> set[str]:
    return {variant.key, variant.name, variant.backbone} - {""}


def _base_sections(ablation: AblationConfig) -> dict[str, Any]:
    content = read_sections(ablation.base)
    apply_changes(content, ablation.changes, "The ablation's 'changes'")
    return {**content, "name": ablation.name, "output": str(ablation.output)}


def _variant(
    ablation: AblationConfig,
    base: dict[str, Any],
    title: str,
    backbone: BackboneConfig | None,
    choice: VariantConfig,
) -> Variant:
    content = copy.deepcopy(base)
    if backbone is not None:
        model = content["model"] = dict(content.get("model") or {})
        model["backbone"] = {"name": backbone.name, "options": backbone.options}
        apply_changes(content, backbone.changes, f"Backbone {title!r}")
    apply_changes(content, choice.changes, f"Variant {choice.name!r}")
    parts = [part for part in (title, choice.name) if part]
    content["name"] = "-".join([ablation.name, *parts]).replace(" ", "-")
    content["output"] = str(ablation.output.joinpath(*parts))
    source = f"{ablation.base} as variant {'/'.join(parts)!r}"
    config = validated(TrainConfig, content, source)
    return Variant(choice.name, choice.title or choice.name, title, choice.changes, config)


def _check_names(what: str, names: Sequence[str]) -> None:
    for name in names:
        if Path(name).name != name or name.startswith("."):
            raise ConfigError(f"{name!r} is no name of {what}s; choose one that can be a folder's.")
        if names.count(name) > 1:
            raise ConfigError(f"Two {what}s are called {name!r}; give each a name of its own.")


def _check_pretrained(ablation: AblationConfig, variant: Variant) -> None:
    config, prior = variant.config, variant.config.model.prior.name
    if config.prior is not None:
        raise ConfigError(
            "Study initialisation starts from a pretrained prior and from random weights; train "
            "the prior before, and set prior=null."
        )
    if find(PriorEntry, prior).entry.file is not None:
        raise ConfigError(
            f"Prior {prior!r} brings weights of its own, so that it never starts from random "
            "ones; take the prior that it is a training of, with synthesis.weights=FILE."
        )
    weights = {
        "restoration.weights": config.restoration.weights,
        "synthesis.weights": config.synthesis.weights,
    }
    for key, path in weights.items():
        if path is None and key not in variant.changes:
            raise ConfigError(
                f"Study initialisation of {ablation.base} needs pretrained weights; set {key}=FILE."
            )


def _check_different(variants: Sequence[Variant]) -> None:
    seen: dict[str, Variant] = {}
    for variant in variants:
        content = variant.config.model_dump_json(exclude={"name", "output"})
        if content in seen:
            raise ConfigError(
                f"Variants {seen[content].key!r} and {variant.key!r} are the same training; "
                "change one."
            )
        seen[content] = variant
