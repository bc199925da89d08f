"""A task that breaks its contract is named, at the first image and before any training."""

from __future__ import annotations

import random
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core.config import TrainConfig
from ugpnet_core.degradations.held import changed_states, random_states, run_task
from ugpnet_core.degradations.pairing import pair
from ugpnet_core.errors import PluginError
from ugpnet_core.factory import create_task
from ugpnet_core.plugins import Installed, PriorEntry, TaskEntry
from ugpnet_core.seeding import rng_for
from ugpnet_core.training.rehearsal import rehearse_task
from ugpnet_core.training.run import rehearse, train

Degrade = Callable[[Tensor, np.random.Generator], Any]


class Mine:
    """Does what a function does."""

    name = "mine"
    scale = 1

    def __init__(self, degrade: Degrade, scale: int = 1) -> None:
        self.degrade = degrade
        self.scale = scale

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Any:
        return self.degrade(image, rng)


def blackened(image: Tensor, rng: np.random.Generator) -> Tensor:
    return image.zero_()


def through_numpy(image: Tensor, rng: np.random.Generator) -> Tensor:
    image.numpy()[:] = 0
    return torch.zeros(image.shape)


def failing(image: Tensor, rng: np.random.Generator) -> Tensor:
    raise RuntimeError("no such luck")


FAULTS: list[tuple[Degrade, str]] = [
    (lambda image, rng: None, "returns None where a torch.Tensor belongs"),
    (lambda image, rng: image.numpy(), "returns a numpy ndarray where"),
    (lambda image, rng: image.double(), "returns float64 where float32 belongs"),
    (lambda image, rng: (image * 255).byte(), "returns uint8 where float32 belongs"),
    (
        lambda image, rng: image[:, ::2, ::2],
        r"returns \(3, 8, 10\) where \(3, 16, 20\) belongs \(its scale is 1\)",
    ),
    (lambda image, rng: image[None], r"returns \(1, 3, 16, 20\) where"),
    (
        lambda image, rng: image * torch.ones((), requires_grad=True),
        "returns a tensor that requires a gradient",
    ),
    (lambda image, rng: image.to("meta"), "returns a tensor on meta where the CPU belongs"),
    (lambda image, rng: 5 * image - 2, r"returns values from -\d.* to \d.*; they belong in \[0, 1"),
    (lambda image, rng: image * float("nan"), "returns values from nan to nan"),
    (blackened, "changes the image that it is given in place"),
    (through_numpy, "changes the image that it is given in place"),
    (failing, r"fails \(RuntimeError: no such luck\)"),
]


@pytest.mark.parametrize(("degrade", "message"), FAULTS)
def test_what_a_task_may_not_do_is_said_with_its_name(degrade: Degrade, message: str) -> None:
    for use in (run_task, pair):
        with pytest.raises(PluginError, match=rf"^Task 'mine' {message}.*check-task") as caught:
            use(Mine(degrade), torch.rand(3, 16, 20), rng_for(0))
        assert "\n" not in str(caught.value)


def drawing_from_random(image: Tensor, rng: np.random.Generator) -> Tensor:
    return image * random.random()


def drawing_from_numpy(image: Tensor, rng: np.random.Generator) -> Tensor:
    return image * float(np.random.rand())


def drawing_from_torch(image: Tensor, rng: np.random.Generator) -> Tensor:
    return image * torch.rand(())


def drawing_from_nowhere(image: Tensor, rng: np.random.Generator) -> Tensor:
    return image * float(np.random.default_rng().random())


def without_gradients(image: Tensor, rng: np.random.Generator) -> Tensor:
    torch.set_grad_enabled(False)
    return image.clone()


def with_other_threads(image: Tensor, rng: np.random.Generator) -> Tensor:
    torch.set_num_threads(torch.get_num_threads() + 1)
    return image.clone()


def only_large(image: Tensor, rng: np.random.Generator) -> Tensor:
    if image.shape[-1] < 32:
        raise ValueError("too small")
    return image


@pytest.mark.parametrize(
    ("degrade", "message"),
    [
        (drawing_from_random, "draws from the global generator of random"),
        (drawing_from_numpy, "draws from the global generator of numpy"),
        (drawing_from_torch, "draws from the global generator of torch"),
        (drawing_from_nowhere, "makes something else of the same image and the same rng"),
        (blackened, "changes the image"),
        (without_gradients, "changes torch's gradient mode from True to False for the whole"),
        (with_other_threads, "changes torch's number of threads from"),
    ],
)
def test_a_rehearsal_sees_where_numbers_come_from_and_what_else_is_touched(
    degrade: Degrade, message: str
) -> None:
    threads = torch.get_num_threads()
    with pytest.raises(PluginError, match=rf"^Task 'mine' {message}"):
        rehearse_task(Mine(degrade), 16)
    assert torch.is_grad_enabled()
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("name", ["denoise", "deblur", "sr2", "sr16", "blind", "photo"])
def test_the_tasks_that_are_there_keep_their_contract(name: str) -> None:
    before = random_states()
    options = {"resolution": 48} if name in ("deblur", "blind") else {}
    rehearse_task(create_task(name, **options), 48)
    assert not changed_states(before)


class Grey(Mine):
    """A task that also says what is wanted back."""

    def pair(self, image: Tensor, rng: np.random.Generator) -> Any:
        return self.degrade(image, rng)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda x, rng: x, "gives a torch Tensor as a pair"),
        (lambda x, rng: (x.double(), x), "returns as clean image float64"),
        (lambda x, rng: (x[:, :4], x), r"returns as clean image \(3, 4, 8\)"),
        (lambda x, rng: (x, None), "returns None"),
    ],
)
def test_pairs_are_held_to_it_as_well(made: Degrade, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        pair(Grey(made), torch.rand(3, 8, 8), rng_for(0))


def test_a_rehearsal_is_of_what_a_training_asks_for() -> None:
    """The pair, of a task that gives one."""

    def random_target(image: Tensor, rng: np.random.Generator) -> Any:
        return image * random.random(), image

    with pytest.raises(PluginError, match="draws from the global generator of random"):
        rehearse_task(Grey(random_target), 16)


@pytest.fixture
def install(installed_plugins: Callable[..., Any]) -> Iterator[Callable[[Any], None]]:
    """Lets a task be installed under the name "mine"."""
    module = types.ModuleType("tasks_of_mine")

    def add(factory: Callable[[], Any]) -> None:
        module.make = factory  # type: ignore[attr-defined]
        entry = TaskEntry(name="mine", description="x", factory="tasks_of_mine:make")
        installed_plugins(Installed(entry, "my-tasks", "1.0"))

    sys.modules[module.__name__] = module
    yield add
    del sys.modules[module.__name__]


@pytest.mark.parametrize(
    "made",
    [None, object(), Mine(blackened, scale=0), Mine(blackened, scale="2")],  # type: ignore[arg-type]
)
def test_what_is_no_task_is_refused_when_it_is_made(
    install: Callable[[Any], None], made: Any
) -> None:
    install(lambda: made)
    with pytest.raises(PluginError, match=r"The factory of task 'mine' returned .*protocols\.Task"):
        create_task("mine")


def test_training_and_degrading_say_it_at_the_first_step(
    install: Callable[[Any], None], training_config: Callable[..., TrainConfig]
) -> None:
    install(lambda: Mine(drawing_from_torch))
    config = training_config(prior=None, model__task={"name": "mine"}, data__train=["nowhere"])
    for start in (train, rehearse):
        with pytest.raises(PluginError, match=r"^Task 'mine' draws from the global"):
            start(config)
    install(lambda: Mine(lambda image, rng: None))
    with pytest.raises(PluginError, match=r"^Task 'mine' returns None"):
        ug.degrade(torch.rand(3, 8, 8), "mine")


@pytest.mark.parametrize(
    ("data", "fails"),
    [
        ({}, False),
        ({"data__crop": 16}, True),
        ({"data__crop": 64}, False),  # no image is as large, so that none is cut
        ({"data__crop": 16, "data__crops": [{"path": "nowhere"}]}, True),
    ],
)
def test_a_task_is_rehearsed_at_the_size_of_crops_too(
    install: Callable[[Any], None],
    training_config: Callable[..., TrainConfig],
    data: dict[str, Any],
    fails: bool,
) -> None:
    install(lambda: Mine(only_large))
    config = training_config(prior=None, model__task={"name": "mine"}, **data)
    if not fails:
        rehearse(config)
        return
    with pytest.raises(PluginError, match=r"^Task 'mine' fails \(ValueError: too small\)"):
        rehearse(config)


def test_a_prior_without_a_discriminator_is_known_before_anything_starts(
    installed_plugins: Callable[..., Any], training_config: Callable[..., TrainConfig]
) -> None:
    from ugpnet_core.plugins import find

    own = find(PriorEntry, "stylegan2").entry
    bare = PriorEntry(name="bare", description="x", factory=own.factory, options=own.options)
    installed_plugins(Installed(bare, "my-prior", "1.0"))
    options = training_config().model.prior.options
    prior = {"name": "bare", "options": options}
    config = training_config(prior=None, model__prior=prior, data__train=["nowhere"])
    for stage in ("all", "restoration"):
        with pytest.raises(PluginError, match="'bare' brings no discriminator; set adversarial_"):
            train(config, stage)
    assert not config.output.exists()
    without = training_config(prior=None, model__prior=prior, synthesis__adversarial_weight=0)
    assert rehearse(without).resolution == 32
    # One that is to be trained itself needs one in any case.
    with pytest.raises(PluginError, match="'bare' brings no discriminator"):
        train(training_config(model__prior=prior, synthesis__adversarial_weight=0))
