"""The checks of ``ugpnet check-model``: is a trained model what its entry says?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from ugpnet_core.checkpoints.file import read_checkpoint_file
from ugpnet_core.config import ModelConfig
from ugpnet_core.errors import ConfigError, PluginError, UnknownNameError
from ugpnet_core.metrics.complexity import count_parameters
from ugpnet_core.model_files.card import card_of, is_model_file
from ugpnet_core.model_files.finding import find_model_file
from ugpnet_core.model_files.model import load_model
from ugpnet_core.plugins import ModelEntry, find
from ugpnet_core.testing.report import Outcome, Report, failing, passed, require
from ugpnet_core.testing.running import Check, Suite
from ugpnet_core.testing.tasks import picture

# What a trained network may make of ordinary images, which are in [0, 1].
LOWEST, HIGHEST = -1.0, 2.0
TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class ModelSubject:
    """A model under check.

    Args:
        name: of an installed model, or the path of a model file.
        entry: what is declared; None for a file.
    """

    word: ClassVar[str] = "model"
    small: ClassVar[None] = None
    name: str
    entry: ModelEntry | None = None


def model_subject_of(what: Any, **options: Any) -> ModelSubject:
    """Make a subject of the name of an installed model, or of the path of a model file.

    Raises:
        UnknownNameError: there is no such model and no such file.
        ConfigError: options were given; a trained model has none.
    """
    if options:
        raise ConfigError("A trained model takes no options; leave them out.")
    if isinstance(what, ModelSubject):
        return what
    name, entry = str(what), None
    try:
        entry = find(ModelEntry, name).entry
    except UnknownNameError:
        if not Path(name).is_file():
            raise
    except PluginError:
        pass  # check_file says why
    return ModelSubject(name=name, entry=entry)


def check_file(subject: ModelSubject) -> Outcome:
    """The file is there, whole (its SHA-256 is the entry's), and as large as is said."""
    with failing("Its file cannot be had"):
        path = find_model_file(subject.name)
    size, declared = path.stat().st_size, subject.entry and subject.entry.size
    said = f"The entry says size={declared} and the file has {size} bytes."
    require(declared in (None, size), said)
    return passed(f"{path.name}, {size} bytes")


def check_loads(subject: ModelSubject) -> Outcome:
    """All plugins that it needs are installed, and its weights fit and are numbers."""
    with failing("It cannot be loaded"):
        model = load_model(subject.name)
    return passed(f"{count_parameters(model)} parameters")


def check_declared_values(subject: ModelSubject) -> Outcome:
    """The entry says what the file says."""
    if subject.entry is None:
        return Outcome("not declared", "a file has no entry")
    model = load_model(subject.name)
    found = {
        "task": model.config.task.name,
        "resolution": model.resolution,
        "backbone": model.config.backbone.name,
        "prior": model.config.prior.name,
        "parameters": count_parameters(model),
    }
    for name, value in found.items():
        declared = getattr(subject.entry, name)
        said = f"The entry says {name}={declared!r} and the file {value!r}; correct the entry."
        require(declared in (None, "", value), said)
    return passed(", ".join(f"{name} {value}" for name, value in found.items()))


def check_description(subject: ModelSubject) -> Outcome:
    """The file says how it was trained, and under which licence its weights are."""
    file = read_checkpoint_file(find_model_file(subject.name))
    if not is_model_file(file):
        return Outcome("not applicable", "a published checkpoint")
    card = card_of(file)
    licence = card.licence or (subject.entry and subject.entry.licence)
    require(licence, "Neither file nor entry names a licence; set licence in the configuration.")
    ModelConfig.model_validate(card.config)
    trained = "with" if card.record else "without"
    return passed(f"licence {licence}, {trained} a record of its training")


def check_restores(subject: ModelSubject) -> Outcome:
    """It makes images of about [0, 1], the same at every call and whatever lies beside them."""
    model = load_model(subject.name)
    side, expected = model.resolution // model.scale, (2, 3, model.resolution, model.resolution)
    images = torch.stack([picture(side, side, seed) for seed in range(2)])
    with torch.inference_mode():
        together, again, alone = model(images), model(images), model(images[:1])
    names = ("x_hat", "x_reg", "x_syn")
    for name, image, second, single in zip(names, together, again, alone, strict=True):
        shape, (low, high) = tuple(image.shape), map(float, image.aminmax())
        require(shape == expected, f"{name} is {shape} where {expected} belongs.")
        said = f"{name} has values from {low:.3g} to {high:.3g}; it is not trained, or for other"
        require(low >= LOWEST and high <= HIGHEST, f"{said} images than RGB in [0, 1].")
        same = torch.equal(image, second)
        require(same, f"{name} is another one at the second call; draw nothing.")
        same = torch.allclose(image[:1], single, atol=TOLERANCE)
        require(same, f"{name} depends on the other images of its batch.")
    return passed(f"{side}x{side} to {model.resolution}x{model.resolution}")


MODEL_SUITE = Suite(
    "model",
    (
        Check(check_file),
        Check(check_loads, ("file",)),
        Check(check_declared_values, ("file", "loads")),
        Check(check_description, ("file",)),
        Check(check_restores, ("file", "loads")),
    ),
    model_subject_of,
)
model_check_names = MODEL_SUITE.names


def check_model(what: Any) -> Report:
    """Run every check on a trained model, and never stop at one that fails; arguments and errors as
    :func:`model_subject_of`."""
    return MODEL_SUITE.run(model_subject_of(what))
