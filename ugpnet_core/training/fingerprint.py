"""How a training knows that a state is still its own: everything that a stage depends on.

A state outlives the code that wrote it. A setting that did not exist then had, in effect, the
default that it has now, as long as new settings keep by default to what was done before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from ugpnet_core.config import DataConfig, ModelConfig, PerceptualConfig, TrainConfig
from ugpnet_core.errors import TrainingError
from ugpnet_core.training.stage import Stage

Fingerprint = dict[str, str]


LISTING = "names and sizes of the photographs for "
CONTENT = "content of "
PROCESSES = "number of processes"
# What a stage is looked at by, and what folders and files are called: it makes the same without.
# Of the photographs, names and sizes count; of all other files, what is in them.
INDIFFERENT = frozenset(
    {
        "data.train",
        "data.validation",
        "settings.frechet_every",
        "settings.frechet_images",
        "settings.restorations",
        "settings.sample_truncation",
        "settings.weights",
        "validate_every",
    }
)
# By the beginnings of their names, what some stages do not see.
CROPS = ("data.crop", f"{LISTING}crops")
VALIDATION = ("data.validation_count", f"{LISTING}validation")
TRAINING = ("number of training images", f"{LISTING}training")
# What makes the result of a stage that keeps its weights: the file, and which network of it.
KEPT = ("settings.iterations", "settings.key", f"{CONTENT}weights", "model.")


def fingerprint(
    config: TrainConfig,
    stage: type[Stage],
    inputs: Mapping[str, Path],
    images: int,
    listings: Mapping[str, str] | None = None,
) -> Fingerprint:
    """Everything that a stage's result depends on, by name, and nothing that it does not.

    Args:
        inputs: files whose content the stage starts from (earlier stages, pretrained weights).
        images: number of training images.
        listings: digests of the names and sizes of photographs, by what they are for: "training",
            "validation", "crops"; and of "training pairs", "validation pairs" the names of
            degraded ones.

    Raises:
        TrainingError: one of the files cannot be read.
    """
    parts: dict[str, Any] = {}
    data = config.data.model_dump(mode="json", exclude={"cache", "workers"})
    parts |= {f"data.{key}": value for key, value in data.items()}
    model = config.model.model_dump(mode="json", include=set(stage.depends_on))
    parts |= {f"model.{key}": value for key, value in model.items()}
    if stage.is_perceptual:
        network = config.perceptual.model_dump(mode="json", exclude={"weights"})
        parts |= {f"perceptual.{key}": value for key, value in network.items()}
    for key in ("seed", "precision", "channels_last"):
        parts[key] = getattr(config, key)
    parts["number of training images"] = images
    parts |= {f"{LISTING}{what}": digest for what, digest in (listings or {}).items()}
    parts |= {f"{CONTENT}{name}": _digest(path) for name, path in inputs.items()}
    dumped = {key: json.dumps(value, sort_keys=True) for key, value in parts.items()}
    made_by = {**settings_of(config, stage), **_nameless(dumped)}
    counts = _counts(stage, made_by)
    return {key: value for key, value in made_by.items() if counts(key)}


def settings_of(config: TrainConfig, stage: type[Stage]) -> Fingerprint:
    """The part of a fingerprint that is the stage's own section of the configuration."""
    settings = stage.settings_in(config).model_dump(mode="json")
    parts = {f"settings.{key}": value for key, value in settings.items()}
    return _nameless({key: json.dumps(value, sort_keys=True) for key, value in parts.items()})


def compare(stage: type[Stage], before: Fingerprint, now: Fingerprint, found: Path) -> None:
    """Refuse a state that other settings or inputs made.

    A setting that is unknown to ``before``, because older code wrote it, counts as its default.

    Raises:
        TrainingError: they differ; the message says in what.
    """
    differing = differences(stage, before, now)
    before = _completed(stage, before, now)
    if differing:
        changes = ", ".join(
            f"{key} (was {before.get(key, 'unset')}, is {now.get(key, 'unset')})"
            for key in differing[:3]
        )
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        extend = "train it on with --extend, " if _are_settings(differing) else ""
        raise TrainingError(
            f"{found} was made by other inputs of stage {stage.name}: {changes}{more}; put them "
            f"back, choose another output, {extend}or delete it to train the stage again."
        )


def differences(stage: type[Stage], before: Fingerprint, now: Fingerprint) -> list[str]:
    """In what two results of a stage differ that were made by these, as :func:`compare` sees it."""
    before = _completed(stage, before, now)
    # Older code noted more than what counts.
    counts, counted = _counts(stage, now), _counts(stage, before)
    return sorted(
        key
        for key in before.keys() | now.keys()
        if counts(key) and counted(key) and before.get(key) != now.get(key)
    )


def _counts(stage: type[Stage], made_by: Fingerprint) -> Callable[[str], bool]:
    """Whether an entry of this name can change the result of a stage with these settings."""
    if made_by.get("settings.iterations") == "0":
        return lambda key: key.startswith(KEPT)
    idle: tuple[str, ...] = ()
    if not stage.takes_crops:
        idle += CROPS
    elif made_by.get("data.crops", "[]") != "[]":
        idle += TRAINING
    if "task" not in stage.depends_on:
        idle += (f"{LISTING}training pairs",)
    if stage.keeps != "best" and made_by.get("settings.stop_after", "null") == "null":
        idle += VALIDATION
    weights = [f"settings.{network}_weight" for network in ("perceptual", "contextual")]
    if not any(float(made_by.get(weight, "0")) for weight in weights):
        idle += ("perceptual.",)
    return lambda key: not key.startswith(idle)


def earlier_values(stage: type[Stage], before: Fingerprint, now: Fingerprint) -> dict[str, Any]:
    """The :func:`differences`, each with its value in ``before``; None where it was unset."""
    known = _completed(stage, before, now)
    return {key: json.loads(known.get(key, "null")) for key in differences(stage, before, now)}


def _are_settings(keys: list[str]) -> bool:
    return all(key.startswith("settings.") for key in keys)


def _nameless(made_by: Fingerprint) -> Fingerprint:
    """Without what does not matter, and without the names of files whose content is told."""
    parts = {key: value for key, value in made_by.items() if key not in INDIFFERENT}
    if "data.crops" in parts:
        crops = json.loads(parts["data.crops"])
        unnamed = [{k: v for k, v in one.items() if k != "path"} for one in crops]
        parts["data.crops"] = json.dumps(unnamed, sort_keys=True)
    if "model.task" in parts:
        task = json.loads(parts["model.task"])
        for key in parts:
            if key.startswith(f"{CONTENT}task."):
                _forget(task["options"], key.removeprefix(f"{CONTENT}task.").split("."))
        parts["model.task"] = json.dumps(task, sort_keys=True)
    return parts


def _forget(options: Any, place: list[str]) -> None:
    """Replace the name of a file that stands somewhere in the options of a task."""
    *outer, last = place
    for key in outer:
        options = options[int(key)] if isinstance(options, list) else options[key]
    options[int(last) if isinstance(options, list) else last] = "a file"


def _completed(stage: type[Stage], before: Fingerprint, now: Fingerprint) -> Fingerprint:
    """``before``, with the settings of ``now`` that it lacks at their defaults, at any depth."""
    sections: dict[str, type[BaseModel]] = {
        "settings.": stage.settings_class,
        "data.": DataConfig,
        "model.": ModelConfig,
        "perceptual.": PerceptualConfig,
        "": TrainConfig,
    }
    fields = {
        prefix + name: field
        for prefix, section in sections.items()
        for name, field in section.model_fields.items()
    }
    known = {key: field for key, field in fields.items() if key in now}
    defaults = {
        key: _dumped(field, field.get_default(call_default_factory=True))
        for key, field in known.items()
        if not field.is_required()
    }
    # States from before these were noted are as good as those with which nothing has changed.
    defaults |= {key: value for key, value in now.items() if key.startswith(LISTING)}
    present = {
        key: _read_again(fields.get(key), text)
        for key, text in before.items()
        # A setting that is gone and was not set has changed nothing.
        if key not in INDIFFERENT and (text != "null" or key in fields)
    }
    return {**defaults, **_nameless(present)}


def _read_again(field: FieldInfo | None, text: str) -> str:
    """A value as today's code would write it, with what is new in nested sections."""
    if field is None:
        return text
    try:
        return _dumped(field, _adapter(field).validate_json(text))
    except ValidationError:
        return text


def _dumped(field: FieldInfo, value: Any) -> str:
    return json.dumps(_adapter(field).dump_python(value, mode="json"), sort_keys=True)


def _adapter(field: FieldInfo) -> TypeAdapter[Any]:
    return TypeAdapter(Any if field.annotation is None else field.annotation)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be read ({error.strerror or error}); put it back, as a stage was made "
            "from it."
        ) from error
