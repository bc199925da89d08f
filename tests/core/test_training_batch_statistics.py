"""Batch normalisation of a finished stage has the statistics of the weights that are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ugpnet_core.config import TrainConfig
from ugpnet_core.factory import create_task
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.training import loop as loop_module
from ugpnet_core.training.batch_statistics import estimate_statistics
from ugpnet_core.training.checkpoint import read_result
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.data import Pair, Pairs
from ugpnet_core.training.loop import Finished, run_stage
from ugpnet_core.training.photographs import Photographs, read_photographs
from ugpnet_core.training.run import train
from ugpnet_core.training.synthesis import SynthesisStage

Make = Callable[..., TrainConfig]
FIRST = "encoder.downblocks.0.bn.0.running_mean"


def test_statistics_become_those_of_all_batches() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5, momentum=0.7), nn.Dropout(0.5))
    batches = list(torch.rand(6, 4, 3, 7, 5) + torch.arange(6).view(6, 1, 1, 1, 1))
    seen = [network[0](batch) for batch in batches]
    outputs: list[Tensor] = []
    estimate_statistics(network, lambda batch: outputs.append(network(batch)), batches)
    layer = network[1]
    assert isinstance(layer, nn.BatchNorm2d)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    torch.testing.assert_close(layer.running_mean, torch.cat(seen).mean((0, 2, 3)))
    variances = torch.stack([one.var((0, 2, 3)) for one in seen]).mean(0)
    torch.testing.assert_close(layer.running_var, variances)
    assert layer.momentum == 0.7
    assert not any(module.training for module in network.modules())
    assert not any(one.requires_grad or bool((one == 0).any()) for one in outputs)  # no dropout


def test_what_training_leaves_alone_is_left_alone() -> None:
    class Frozen(nn.BatchNorm2d):
        def train(self, mode: bool = True) -> Any:
            return super().train(False)

    layers = {"frozen": Frozen(3), "unused": nn.BatchNorm2d(3), "used": nn.BatchNorm2d(3)}
    for layer in layers.values():
        assert layer.running_mean is not None
        layer.running_mean.fill_(7.0)

    def send(x: Tensor) -> None:
        layers["used"](layers["frozen"](x))

    estimate_statistics(nn.ModuleDict(layers), send, [torch.ones(2, 3, 4, 4)])
    means = {name: float(layer.state_dict()["running_mean"][0]) for name, layer in layers.items()}
    assert means["frozen"] == means["unused"] == 7
    assert means["used"] == pytest.approx((1 - 7) / (1 + 1e-5) ** 0.5, rel=1e-5)


def test_a_network_without_batch_normalisation_costs_nothing() -> None:
    def batches() -> Iterator[Tensor]:
        raise AssertionError("a batch was asked for")
        yield

    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.GroupNorm(1, 3), nn.InstanceNorm2d(3))
    estimate_statistics(network, network, batches())


def stage_and_pairs(made: TrainConfig) -> tuple[SynthesisStage, Pairs]:
    torch.manual_seed(0)
    stage = SynthesisStage(
        TrainingContext(made, build_model(made.model), Accelerator()), made.synthesis, None
    )
    photographs: Photographs = read_photographs(made.data.train, made.data.resolution)
    return stage, Pairs(photographs, create_task("denoise"), made.seed, "synthesis")


@pytest.fixture
def made(training_config: Make) -> TrainConfig:
    steep = {"iterations": 20, "batch_size": 2, "ema": 0.99, "learning_rate": 0.02}
    return training_config(
        synthesis={**steep, "adversarial_weight": 0, "perceptual_weight": 0}, prior=None
    )


def trained(made: TrainConfig) -> Finished:
    stage, pairs = stage_and_pairs(made)
    return run_stage(stage, pairs, [Pair(*torch.rand(2, 2, 3, 32, 32))], {})


def test_averaged_weights_get_the_statistics_that_they_have_on_the_data(
    made: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = trained(made)
    assert result.record["batch_statistics"] == "of 40 images"
    state = dict(result.states["network"])

    stage, pairs = stage_and_pairs(made)
    first = stage.synthesis.get_submodule("encoder.downblocks.0.conv.0")
    first.load_state_dict(
        {key: state[f"encoder.downblocks.0.conv.0.{key}"] for key in ("weight", "bias")}
    )
    with torch.no_grad():
        degraded = torch.stack([pairs[index].degraded for index in range(40)])
        true = first(stage.context.model.restoration(degraded).image).mean((0, 2, 3))
    torch.testing.assert_close(state[FIRST], true, rtol=1e-4, atol=1e-5)

    # Without, the same weights have the statistics of other weights, and make another image.
    monkeypatch.setattr(loop_module, "estimate_statistics", lambda *_: None)
    stale = dict(trained(made).states["network"])
    apart = float((stale[FIRST] - true).abs().max())
    assert apart > 100 * float((state[FIRST] - true).abs().max())
    images = []
    for weights in (state, stale):
        stage.synthesis.load_state_dict(weights)
        with torch.no_grad():
            images.append(stage.synthesis.eval()(degraded[:4]).image)
    assert float((images[0] - images[1]).abs().mean()) > 0.01
    weights_only = {key for key in state if "running" not in key and "num_batches" not in key}
    assert all(torch.equal(state[key], stale[key]) for key in weights_only)


def test_no_more_images_are_sent_than_are_needed(
    made: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "STATISTICS_IMAGES", 12)
    assert trained(made).record["batch_statistics"] == "of 12 images"


def test_a_training_that_stopped_while_it_estimated_ends_the_same(
    training_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"prior": None, "synthesis__ema": 0.9}
    whole = training_config(**changes)
    train(whole)
    broken = training_config(**changes, output=str(whole.output) + "2")

    def stop(network: nn.Module, send: Callable[[Any], object], batches: Iterator[Any]) -> None:
        send(next(batches))
        raise RuntimeError("stopped by a test")

    with monkeypatch.context() as patch:
        patch.setattr(loop_module, "estimate_statistics", stop)
        with pytest.raises(RuntimeError, match="stopped by a test"):
            train(broken)
    train(broken, resume=True)
    for name in ("synthesis", "fusion"):
        one, other = (read_result(c.output / f"{name}.safetensors")[0] for c in (whole, broken))
        for network, state in one.items():
            assert all(torch.equal(value, other[network][key]) for key, value in state.items())
