"""The checks of ``ugpnet check-model``: is a trained model what its entry says?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from ugpnet_core.checkpoints.file import read_checkpoint_file
from ugpnet_core.config import ModelConfig
from ugpnet_core.errors import ConfigError, PluginError, UGPNetError, UnknownNameError
from ugpnet_core.model_files.card import card_of, is_model_file
from ugpnet_core.model_files.finding import find_model_file
from ugpnet_core.model_files.model import load_model
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.plugins import ModelEntry, find
from ugpnet_core.testing.report import CheckFailed, Outcome, Report, passed
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

    @property
    def load(self) -> Callable[[], UGPNet]:
        """Loads it."""
        return lambda: load_model(self.name)


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
    name = str(what)
    try:
        return ModelSubject(name=name, entry=find(ModelEntry, name).entry)
    except UnknownNameError:
        if not Path(name).is_file():
            raise
    except PluginError:
        pass  # check_file says why
    return ModelSubject(name=name)


def check_file(subject: ModelSubject) -> Outcome:
    """The file is there, whole (its SHA-256 is the entry's), and as large as is said."""
    path = _sound(lambda: find_model_file(subject.name))
    size, declared = path.stat().st_size, None if subject.entry is None else subject.entry.size
    if declared is not None and declared != size:
        raise CheckFailed(f"The entry says size={declared} and the file has {size} bytes.")
    return passed(f"{path.name}, {size} bytes")


def check_loads(subject: ModelSubject) -> Outcome:
    """All plugins that it needs are installed, and its weights fit and are numbers."""
    model = _sound(subject.load)
    return passed(f"{sum(p.numel() for p in model.parameters())} parameters")


def check_declared_values(subject: ModelSubject) -> Outcome:
    """The entry says what the file says."""
    entry = subject.entry
    if entry is None:
        return Outcome("not declared", "a file has no entry")
    model = subject.load()
    config = model.config
    found: Mapping[str, object] = {
        "task": config.task.name,
        "resolution": model.resolution,
        "backbone": config.backbone.name,
        "prior": config.prior.name,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    for name, value in found.items():
        declared = getattr(entry, name)
        if declared not in (None, "") and declared != value:
            raise CheckFailed(
                f"The entry says {name}={declared!r} and the file {value!r}; correct the entry."
            )
    return passed(f"task {config.task.name}, {model.resolution} pixels, {config.backbone.name}")


def check_description(subject: ModelSubject) -> Outcome:
    """The file says how it was trained, and under which licence its weights are."""
    file = read_checkpoint_file(find_model_file(subject.name))
    if not is_model_file(file):
        return Outcome("not applicable", "a published checkpoint")
    card = card_of(file)
    licence = card.licence or ("" if subject.entry is None else subject.entry.licence)
    if not licence:
        raise CheckFailed(
            "Neither file nor entry names a licence; set licence in the configuration."
        )
    ModelConfig.model_validate(card.config)
    trained = "with" if card.record else "without"
    return passed(f"licence {licence}, {trained} a record of its training")


def check_restores(subject: ModelSubject) -> Outcome:
    """It makes images of about [0, 1], the same at every call and whatever lies beside them."""
    model = subject.load()
    side = model.resolution // model.scale
    images = torch.stack([picture(side, side, seed) for seed in range(2)])
    with torch.inference_mode():
        together, again = model(images), model(images)
        alone = model(images[:1])
    for name, image, second, single in zip(
        ("x_hat", "x_reg", "x_syn"), together, again, alone, strict=True
    ):
        expected = (2, 3, model.resolution, model.resolution)
        if tuple(image.shape) != expected:
            raise CheckFailed(f"{name} is {tuple(image.shape)} where {expected} belongs.")
        low, high = (float(value) for value in image.aminmax())
        if not (low >= LOWEST and high <= HIGHEST):
            raise CheckFailed(
                f"{name} has values from {low:.3g} to {high:.3g}; it is not trained, or for other "
                "images than RGB in [0, 1]."
            )
        if not torch.equal(image, second):
            raise CheckFailed(f"{name} is another one at the second call; draw nothing.")
        if not torch.allclose(image[:1], single, atol=TOLERANCE):
            raise CheckFailed(f"{name} depends on the other images of its batch.")
    return passed(f"{side}x{side} to {model.resolution}x{model.resolution}")


def _sound(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except UGPNetError as error:
        raise CheckFailed(str(error)) from error


MODEL_CHECKS: tuple[Check, ...] = (
    Check(check_file),
    Check(check_loads, ("file",)),
    Check(check_declared_values, ("file", "loads")),
    Check(check_description, ("file",)),
    Check(check_restores, ("file", "loads")),
)
MODEL_SUITE = Suite("model", MODEL_CHECKS, model_subject_of)
model_check_names = MODEL_SUITE.names


def check_model(what: Any) -> Report:
    """Run every check on a trained model, and never stop at one that fails; arguments and errors as
    :func:`model_subject_of`."""
    return MODEL_SUITE.run(model_subject_of(what))
