"""The four stages: which networks learn, from which losses, and in which turns."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ugpnet_core.config import (
    PriorStageConfig,
    RestorationStageConfig,
    SynthesisStageConfig,
    TrainConfig,
)
from ugpnet_core.errors import TrainingError
from ugpnet_core.factory import create_task
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.training.checkpoint import read_checkpoint
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.data import Pair, Pairs
from ugpnet_core.training.loop import run_stage
from ugpnet_core.training.photographs import Photographs, Picture
from ugpnet_core.training.prior import PriorStage
from ugpnet_core.training.restoration import RestorationStage
from ugpnet_core.training.stage import Stage
from ugpnet_core.training.synthesis import SynthesisStage


def context(config: TrainConfig) -> TrainingContext:
    torch.manual_seed(0)
    return TrainingContext(config, build_model(config.model), Accelerator())


def batch(count: int = 2, seed: int = 0) -> Pair:
    rng = torch.Generator().manual_seed(seed)
    images = (torch.rand(count, 3, 32, 32, generator=rng) for _ in range(2))
    return Pair(*images)


def test_accumulated_batches_equal_a_larger_one(
    training_config: Callable[..., TrainConfig],
) -> None:
    made = training_config()
    whole = batch(4)
    parts = [Pair(*(image[i : i + 2] for image in whole)) for i in (0, 2)]
    gradients = []
    for batches in ([whole], parts):
        chosen = RestorationStageConfig(iterations=1, loss="l1", learning_rate=0.1)
        stage = RestorationStage(context(made), chosen)
        stage.update(batches, 0)
        gradients.append([p.grad for p in stage.trained.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 20
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_a_clipped_gradient_has_the_norm_that_was_set(
    training_config: Callable[..., TrainConfig],
) -> None:
    chosen = RestorationStageConfig(iterations=1, clip_gradient=1e-3)
    stage = RestorationStage(context(training_config()), chosen)
    stage.update([batch()], 0)
    norms = [p.grad.norm() for p in stage.trained.parameters() if p.grad is not None]
    assert float(torch.stack(norms).norm()) == pytest.approx(1e-3, rel=1e-2)


def test_the_loss_is_taken_on_the_images_of_both_stages_of_hinet(
    training_config: Callable[..., TrainConfig],
) -> None:
    backbone = {"name": "hinet", "options": {"wf": 2, "depth": 2}}
    made = training_config(model__backbone=backbone)
    stage = RestorationStage(context(made), made.restoration)
    pair = batch()
    output = stage.trained(pair.degraded)
    images = [output.image, *output.intermediate]
    terms = stage.losses(pair)
    assert list(terms) == ["psnr", "psnr_intermediate1"]
    for (weight, loss), image in zip(terms.values(), images, strict=True):
        error = (image - pair.clean).square().mean((1, 2, 3))
        assert weight == 1
        assert loss.item() == pytest.approx(10 * error.log10().mean().item(), rel=1e-5)
    # What one step learns from is their sum.
    parameters = list(stage.trained.parameters())
    total = torch.stack([loss for _, loss in terms.values()]).sum()
    sums = torch.autograd.grad(total, parameters, allow_unused=True)
    stage.update([pair], 0)
    for parameter, expected in zip(parameters, sums, strict=True):
        if expected is not None:
            torch.testing.assert_close(parameter.grad, expected)


class Watch:
    """Notes the state of a discriminator at each of its calls."""

    def __init__(self, discriminator: nn.Module) -> None:
        self.learning: list[bool] = []
        discriminator.register_forward_pre_hook(self._note)

    def _note(self, module: nn.Module, _: Any) -> None:
        self.learning.append(all(p.requires_grad for p in module.parameters()))


def changed(network: nn.Module, before: dict[str, Tensor]) -> bool:
    return any(not torch.equal(before[k], p) for k, p in network.named_parameters())


def copy(network: nn.Module) -> dict[str, Tensor]:
    return {key: p.detach().clone() for key, p in network.named_parameters()}


def adversarial_stage(name: str, made: TrainConfig, r1_every: int) -> Stage:
    if name == "prior":
        return PriorStage(context(made), PriorStageConfig(iterations=9, r1_every=r1_every))
    chosen = SynthesisStageConfig(iterations=9, r1_every=r1_every, learning_rate=1e-3)
    return SynthesisStage(context(made), chosen, None)


@pytest.mark.parametrize("name", ["prior", "synthesis"])
def test_generator_and_discriminator_take_turns_and_r1_is_lazy(
    training_config: Callable[..., TrainConfig], name: str
) -> None:
    stage = adversarial_stage(name, training_config(), r1_every=3)
    discriminator = stage.networks["discriminator"]
    watch = Watch(discriminator)
    before = [copy(network) for network in stage.networks.values()]
    losses = [stage.update([batch()], step) for step in range(4)]
    # Fake for G with D frozen; real and fake for D.
    assert watch.learning == [False, True, True] * 4
    assert ["r1" in values for values in losses] == [True, False, False, True]
    assert all(values["r1"] > 0 for values in losses if "r1" in values)
    for network, old in zip(stage.networks.values(), before, strict=True):
        assert changed(network, old)


def test_the_discriminator_learns_first_where_asked_to(
    training_config: Callable[..., TrainConfig],
) -> None:
    """On the images that E and G learn from after it, as in the published training."""
    torch.manual_seed(0)
    stage = adversarial_stage("synthesis", training_config(), r1_every=3)
    assert isinstance(stage, SynthesisStage)
    stage.options = stage.options.model_copy(update={"discriminator_first": True})
    discriminator = stage.networks["discriminator"]
    watch = Watch(discriminator)
    seen: list[Tensor] = []
    discriminator.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    before = copy(discriminator)
    stage.update([batch()], 0)
    # Real and fake for D; fake for G with D frozen.
    assert watch.learning == [True, True, False]
    assert torch.equal(seen[1], seen[2])
    assert changed(discriminator, before)
    # The other order makes other weights of G: its discriminator has not learned yet.
    torch.manual_seed(0)
    other = adversarial_stage("synthesis", training_config(), r1_every=3)
    other.update([batch()], 0)
    names = dict(other.networks["network"].named_parameters())
    assert changed(stage.networks["network"], {k: p.detach() for k, p in names.items()})


@pytest.mark.parametrize(
    ("name", "part", "loss"),
    [
        ("prior", "prior.discriminator_loss", "discriminator"),
        ("prior", "prior.path_length_penalty", ""),  # its gradient only: the length is finite
        ("synthesis", "synthesis.r1_penalty", "r1"),
        ("synthesis", "synthesis.generator_loss", "adversarial"),
    ],
)
def test_a_loss_of_any_network_that_is_no_number_stops_the_training(
    training_config: Callable[..., TrainConfig],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    part: str,
    loss: str,
) -> None:
    made = training_config(checkpoint_every=1)
    stage = adversarial_stage(name, made, r1_every=2)
    where = f"ugpnet_core.training.{part}"
    original = pkgutil.resolve_name(where)
    calls: list[int] = []

    def sometimes(*args: Any, **more: Any) -> Tensor:
        calls.append(1)
        value: Tensor = original(*args, **more)
        return value * float("nan") if len(calls) > 1 else value

    monkeypatch.setattr(where, sometimes)
    grey = Photographs([Picture(torch.full((3, 32, 32), 127, dtype=torch.uint8))])
    pairs = Pairs(grey, create_task("denoise"), 0, name)
    with pytest.raises(TrainingError) as caught:
        run_stage(stage, pairs, [batch()], {"settings.iterations": "9"})
    checkpoint = made.output / "checkpoints" / f"{name}.pt"
    done = read_checkpoint(checkpoint)["step"]
    assert done >= 1
    if loss:
        start = f"The {loss} loss of stage {name} is nan at step {done}; the last good"
        assert str(caught.value).startswith(start)
    assert f"is {checkpoint}, after {done} iterations" in str(caught.value)
    states = read_checkpoint(checkpoint)["networks"].values()
    assert all(bool(value.isfinite().all()) for state in states for value in state.values())


def test_the_generator_step_leaves_no_gradient_in_the_discriminator(
    training_config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = adversarial_stage("synthesis", training_config(), r1_every=3)
    monkeypatch.setattr(SynthesisStage, "_update_discriminator", lambda *_: {})
    stage.update([batch()], 0)
    assert all(p.grad is None for p in stage.networks["discriminator"].parameters())
    assert any(p.grad is not None for p in stage.trained.parameters())


def test_adversarial_learning_begins_where_it_was_asked_to(
    training_config: Callable[..., TrainConfig],
) -> None:
    chosen = SynthesisStageConfig(iterations=3, adversarial_from=1)
    stage = SynthesisStage(context(training_config()), chosen, None)
    before = copy(stage.networks["discriminator"])
    assert stage.update([batch()], 0).keys() == {"l1"}
    assert not changed(stage.networks["discriminator"], before)
    assert stage.update([batch()], 1).keys() == {"l1", "adversarial", "discriminator"}
    assert changed(stage.networks["discriminator"], before)


def test_the_restoration_module_stays_as_it_is_in_the_synthesis_stage(
    training_config: Callable[..., TrainConfig],
) -> None:
    stage = adversarial_stage("synthesis", training_config(), r1_every=1)
    restoration = stage.context.model.restoration
    before = copy(restoration)
    for augment in (True, False):
        stage.options = stage.options.model_copy(update={"augment": augment})  # type: ignore[attr-defined]
        stage.update([batch()], 0)
    assert not changed(restoration, before)
    assert all(p.grad is None for p in restoration.parameters())
