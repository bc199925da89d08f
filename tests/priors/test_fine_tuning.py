"""A published StyleGAN2 that is trained on: at its resolution, and with new layers on top."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import ConfigError, TrainingError, WeightsError
from ugpnet_core.model_files.prior import create_discriminator, read_prior
from ugpnet_core.plugins import PriorWeights
from ugpnet_core.training.checkpoint import read_result, result_path
from ugpnet_core.training.pretrained import read_pretrained_prior
from ugpnet_core.training.run import rehearse, train
from ugpnet_priors.stylegan2.growing import grow

Make = Callable[..., TrainConfig]
State = dict[str, Tensor]
SIZES: dict[str, Any] = {
    "resolution": 16,
    "style_dim": 8,
    "num_mlp": 1,
    "narrow": 1 / 64,
    "base_size": 8,
}
STILL: dict[str, Any] = {"learning_rate": 1e-30, "discriminator_learning_rate": 1e-30}
# From our keys, which are BasicSR's, to rosinality's.
ROSINALITY = (
    (r"^style_mlp\.", "style."),
    (r"^constant_input\.weight$", "input.input"),
    (r"^style_conv1\.", "conv1."),
    (r"^style_convs\.", "convs."),
    (r"^noises\.noise", "noises.noise_"),
    (r"^(conv1|convs\.\d+)\.weight$", r"\1.noise.weight"),
    (r"\.modulated_conv\.", ".conv."),
)


def networks(seed: int = 0) -> tuple[State, State]:
    torch.manual_seed(seed)
    made: Any = ug.create_prior("stylegan2", **SIZES)
    return made.state_dict(), create_discriminator("stylegan2", **SIZES).state_dict()


def renamed(state: State) -> State:
    found = {}
    for key, value in state.items():
        for pattern, replacement in ROSINALITY:
            key = re.sub(pattern, replacement, key)
        found[key] = value
    return found


def write(path: Path, layout: str, *, alone: bool = False) -> Path:
    generator, discriminator = networks()
    if layout == "rosinality":
        theirs = {re.sub("^conv_body", "convs", key): v for key, v in discriminator.items()}
        content = {"g_ema": renamed(generator), "latent_avg": torch.zeros(8), "d": theirs}
    else:
        content = {"params_ema": generator, "d": discriminator}
    if alone:
        content.pop("d")
    torch.save(content, path)
    return path


def config(make: Make, path: Path, resolution: int | None = None, **changes: Any) -> TrainConfig:
    """A training whose prior is of the file alone, but for its resolution."""
    options = {"base_size": 8} if resolution is None else {"base_size": 8, "resolution": resolution}
    side = resolution or 16
    settings = {f"prior__{key}": value for key, value in changes.items()}
    return make(
        model__prior={"name": "stylegan2", "options": options},
        data__resolution=side,
        prior__weights=str(path),
        **settings,
    )


def states(made: TrainConfig) -> dict[str, dict[str, Tensor]]:
    return read_result(result_path(made.output, "prior"))[0]


def same(one: State, other: State, names: tuple[str, ...] = ("",)) -> bool:
    return all(torch.equal(v, other[k]) for k, v in one.items() if k.startswith(names))


@pytest.mark.parametrize("layout", ["basicsr", "rosinality"])
def test_at_its_own_resolution_both_networks_are_taken(
    training_config: Make, tmp_path: Path, layout: str
) -> None:
    path = write(tmp_path / "published.pt", layout)
    made = config(training_config, path, iterations=1, **STILL)
    said: list[str] = []
    train(made, "prior", say=said.append)
    assert f"Stage prior starts from the prior in {path}." in said
    assert not any("untrained" in one for one in said)
    generator, discriminator = networks()
    after = states(made)
    for name, state in (("network", generator), ("discriminator", discriminator)):
        for key, value in state.items():  # averaging rounds
            torch.testing.assert_close(after[name][key], value)
    # What it leaves is a prior file with both, for other trainings.
    stored = read_prior(made.output / "tiny-prior.safetensors", "stylegan2")
    assert stored is not None
    assert stored.discriminator is not None


def test_training_moves_both(training_config: Make, tmp_path: Path) -> None:
    made = config(training_config, write(tmp_path / "published.pt", "basicsr"), learning_rate=0.01)
    train(made, "prior")
    generator, discriminator = networks()
    after = states(made)
    assert not same(generator, after["network"], ("style_convs",))
    assert not same(discriminator, after["discriminator"], ("conv_body",))


@pytest.mark.parametrize("layout", ["basicsr", "rosinality"])
def test_grown_it_makes_what_it_made_before_enlarged(
    training_config: Make, tmp_path: Path, layout: str
) -> None:
    path = write(tmp_path / "published.pt", layout)
    small: Any = ug.create_prior("stylegan2", weights=path, base_size=8)
    made = config(training_config, path, 32)
    large: Any = rehearse(made).synthesis.generator
    assert large.resolution == 32
    z = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before, after = small.eval()(z).image, large.eval()(z).image
    # The generator's own filter enlarges; averaged again it is the image but for its edges.
    again = F.avg_pool2d(after, 2)
    assert float((again - before)[..., 2:-2, 2:-2].abs().mean()) < 0.15 * float(before.std())
    train(made, "prior")
    _, discriminator = networks()
    assert {"resolution": 32}.items() <= dict(stored_options(made)).items()
    moved = states(made)["discriminator"]
    assert "conv_body.3.conv1.0.weight" in moved
    assert "conv_body.3.conv1.0.weight" not in discriminator


def stored_options(made: TrainConfig) -> dict[str, Any]:
    stored = read_prior(made.output / "tiny-prior.safetensors", "stylegan2")
    assert stored is not None
    return dict(stored.options)


def test_twice_grown(training_config: Make, tmp_path: Path) -> None:
    made = config(training_config, write(tmp_path / "published.pt", "basicsr"), 64)
    assert rehearse(made).resolution == 64
    options = read_pretrained_prior(made)[0].model.prior.options
    assert options["resolution"] == 64
    smaller = config(training_config, write(tmp_path / "published.pt", "basicsr"), 8)
    with pytest.raises(ConfigError, match="Option 'resolution' of prior 'stylegan2' is 8 here"):
        rehearse(smaller)


@pytest.mark.parametrize(("resolution", "first"), [(None, 0), (32, 2)])
def test_the_first_layers_of_d_are_kept(
    training_config: Make, tmp_path: Path, resolution: int | None, first: int
) -> None:
    """Those of the file: what is new on top of them has to learn."""
    path = write(tmp_path / "published.pt", "basicsr")
    made = config(training_config, path, resolution, freeze_d=1, discriminator_learning_rate=0.01)
    train(made, "prior")
    after, before = states(made)["discriminator"], networks()[1]
    there = {f"conv_body.{first}.": "conv_body.1." if first else "conv_body.0."}
    ((new, old),) = there.items()
    kept = {key: value for key, value in after.items() if key.startswith(new)}
    assert kept
    for key, value in kept.items():
        assert torch.equal(value, before[key.replace(new, old)]), key
    following = f"conv_body.{first + 1}.conv1.0.weight"
    source = f"conv_body.{2 if first else 1}.conv1.0.weight"
    assert not torch.equal(after[following], before[source])


def test_what_is_missing_is_said_at_the_first_step(training_config: Make, tmp_path: Path) -> None:
    alone = write(tmp_path / "alone.pt", "basicsr", alone=True)
    said: list[str] = []
    made = config(training_config, alone)
    train(made, "prior", say=said.append)
    assert any(f"The discriminator starts untrained: {alone}" in one for one in said)
    with pytest.raises(ConfigError, match=r"alone\.pt holds no discriminator whose layers"):
        rehearse(config(training_config, alone, freeze_d=1))
    both = write(tmp_path / "both.pt", "basicsr")
    elsewhere = config(training_config, both, freeze_d=9).model_copy(
        update={"output": tmp_path / "other"}
    )
    with pytest.raises(TrainingError, match=r"freeze_d is 9, and the discriminator has 6 layers"):
        train(elsewhere, "prior")
    with pytest.raises(ValidationError, match="freeze_d keeps layers as they are"):
        training_config(prior__freeze_d=1)


def test_why_a_discriminator_was_left_out_is_said(training_config: Make, tmp_path: Path) -> None:
    generator, _ = networks()
    larger = create_discriminator("stylegan2", **{**SIZES, "resolution": 32}).state_dict()
    path = tmp_path / "both.pt"
    torch.save({"g_ema": generator, "d": larger}, path)
    why = r"The generator makes 16 pixels and the discriminator takes 32"
    with pytest.raises(ConfigError, match=rf"no discriminator whose layers .*left out: {why}"):
        rehearse(config(training_config, path, freeze_d=1))
    said: list[str] = []
    train(config(training_config, path, iterations=1), "prior", say=said.append)
    assert any(re.search(rf"starts untrained: {path} .*left out: {why}", one) for one in said)


def test_a_generator_that_is_chosen_keeps_its_discriminator(
    training_config: Make, tmp_path: Path
) -> None:
    generator, discriminator = networks()
    other = {key: value + 1 for key, value in generator.items()}
    path = tmp_path / "several.pt"
    torch.save({"generator": generator, "other": other, "discriminator": discriminator}, path)
    made = config(training_config, path, key="other", freeze_d=1)
    _, stored = read_pretrained_prior(made)
    assert stored is not None
    assert stored.discriminator is not None
    assert same(discriminator, dict(stored.discriminator))
    assert same(other, dict(stored.generator))
    with pytest.raises(WeightsError, match=r"under 'generator', 'other'; .*key="):
        rehearse(config(training_config, path))


def test_the_mean_of_w_follows_the_training(training_config: Make, tmp_path: Path) -> None:
    path = write(tmp_path / "published.pt", "rosinality")
    made = config(training_config, path, learning_rate=0.05)
    train(made, "prior")
    prior: Any = ug.create_prior("stylegan2", weights=made.output / "tiny-prior.safetensors")
    expected = prior.mean_latent(4096, torch.Generator().manual_seed(5))[0]
    torch.testing.assert_close(prior.w_avg, expected, atol=0.1 * float(expected.std()), rtol=0)


def test_uneven_widths_grow_by_half_of_the_last() -> None:
    generator, discriminator = networks()
    options = {**SIZES, "channels": {4: 9, 8: 7, 16: 6}, "discriminator": {"channels": {16: 5}}}
    weights = PriorWeights("x", options, generator, discriminator)
    grown = grow(weights)
    assert grown.options["channels"] == {4: 9, 8: 7, 16: 6, 32: 3}
    assert grown.options["discriminator"] == {"channels": {16: 5, 32: 2}}
    assert grown.generator["to_rgbs.2.modulated_conv.weight"].shape[2] == 3
    assert grow(grown).options["channels"][64] == 1
