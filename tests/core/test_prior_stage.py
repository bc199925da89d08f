"""The prior stage: path length, augmentation, the Fréchet distance, and learning at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core.config import PriorStageConfig, TrainConfig
from ugpnet_core.errors import ConfigError, TrainingError, WeightsError
from ugpnet_core.losses.adversarial import path_length_penalty, path_lengths
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.training.adaptive_augmentation import AdaptiveAugmentation, moved, recoloured
from ugpnet_core.training.checkpoint import read_result
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.data import Pair
from ugpnet_core.training.pretrained import read_pretrained_prior
from ugpnet_core.training.prior import PriorStage
from ugpnet_core.training.run import train
from ugpnet_core.training.synthesis import SynthesisStage

Make = Callable[..., TrainConfig]


def stage(config: TrainConfig, **settings: Any) -> PriorStage:
    torch.manual_seed(0)
    context = TrainingContext(config, build_model(config.model), Accelerator())
    return PriorStage(context, PriorStageConfig(iterations=9, **settings))


def batch(count: int = 4) -> Pair:
    images = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return Pair(images, images)


# Path length


def test_path_length_of_a_linear_generator_is_the_norm_of_its_matrix() -> None:
    # An image that is styles times a matrix: the expected squared length is the Frobenius norm's
    # square over the pixels, per layer, for images in [-1, 1].
    torch.manual_seed(0)
    matrix = torch.randn(2 * 5, 3 * 8 * 8)
    styles = torch.randn(4000, 2, 5, requires_grad=True)
    image = (styles.flatten(1) @ matrix).view(-1, 3, 8, 8) / 2 + 0.5
    squared = path_lengths(image, styles).square().mean()
    assert float(squared) == pytest.approx(float(matrix.square().sum()) / 64 / 2, rel=0.05)


def test_path_length_penalty_by_hand() -> None:
    penalty = path_length_penalty(torch.tensor([1.0, 4.0]), torch.tensor(2.0), 3.0, every=4)
    assert float(penalty) == pytest.approx((1 + 4) / 2 * 3 * 4)


def test_path_lengths_reach_every_parameter_that_styles_pass(training_config: Make) -> None:
    game = stage(training_config(), path_length_every=1)
    game.mean_length += 1e3  # far away, so that the penalty pulls
    before = {k: p.detach().clone() for k, p in game.networks["network"].named_parameters()}
    game._regularise_paths(4)
    grads = {k: p.grad for k, p in game.networks["network"].named_parameters()}
    missing = {k for k, g in grads.items() if g is None or not g.any()}
    # What is added without a style does not change how far a style reaches.
    assert all(k.endswith("bias") or k.endswith(".weight") for k in missing)
    assert not [k for k in missing if "modulat" in k and not k.endswith("bias")]
    assert all(torch.equal(before[k], p) for k, p in game.networks["network"].named_parameters())


def test_path_length_is_lazy_and_its_mean_follows(training_config: Make) -> None:
    game = stage(training_config(), path_length_every=2)
    mean = 0.0
    for step in range(3):
        losses = game.update([batch()], step)
        assert ("path_length" in losses) == (step % 2 == 0)
        if "path_length" in losses:
            # As published: a hundredth of the way, from zero.
            mean = 0.99 * mean + 0.01 * losses["path_length"]
            assert mean > 0
        assert float(game.mean_length) == pytest.approx(mean, rel=1e-9)


# Augmentation


@pytest.mark.parametrize("transform", [moved, recoloured])
def test_no_probability_changes_nothing_and_all_changes_all(
    transform: Callable[[Tensor, float], Tensor],
) -> None:
    x = torch.rand(6, 3, 16, 16)
    torch.testing.assert_close(transform(x, 0.0), x)
    changed = (transform(x, 1.0) - x).abs().amax(dim=(1, 2, 3))
    assert bool((changed > 1e-3).all())


def test_some_probability_leaves_about_as_many_as_it_says() -> None:
    torch.manual_seed(0)
    x = torch.rand(400, 3, 8, 8)
    kept = ((moved(x, 0.05) - x).abs().amax(dim=(1, 2, 3)) < 1e-6).float().mean()
    # Eight coins: mirroring and quarter turns may draw the neutral element.
    expected = (1 - 0.05 / 2) * (1 - 0.05 * 3 / 4) * (1 - 0.05) ** 5
    assert float(kept) == pytest.approx(expected, abs=0.06)


def test_geometry_keeps_a_constant_image_and_colours_move_all_pixels_alike() -> None:
    torch.manual_seed(0)
    flat = torch.rand(8, 3, 1, 1).expand(-1, -1, 16, 16).contiguous()
    torch.testing.assert_close(moved(flat, 1.0), flat, atol=1e-5, rtol=0)
    coloured = recoloured(flat, 1.0)
    torch.testing.assert_close(coloured, coloured[:, :, :1, :1].expand_as(coloured))


def test_hue_saturation_and_contrast_keep_grey_grey() -> None:
    torch.manual_seed(0)
    grey = torch.rand(32, 1, 4, 4).expand(-1, 3, -1, -1)
    out = recoloured(grey, 1.0)
    torch.testing.assert_close(out, out[:, :1].expand_as(out), atol=1e-5, rtol=1e-5)


def close_to_normal(values: Tensor, deviation: float) -> bool:
    """Whether mean and standard deviation are those of N(0, deviation^2), to 4 of their errors."""
    error = deviation / math.sqrt(len(values))
    spread = float(values.square().mean().sqrt())
    return abs(float(values.mean())) < 4 * error and abs(
        spread - deviation
    ) < 4 * error / math.sqrt(2)


def test_colours_are_as_strong_as_published() -> None:
    """Karras et al., 2020, appendix B, for images in [-1, 1]: brightness N(0, 0.2^2), contrast and
    saturation log-normal with (0.5 ln 2)^2 and (ln 2)^2, luma mirrored by half, any hue."""
    torch.manual_seed(0)
    pixels = torch.zeros(8000, 3, 1, 3)  # middle grey, a lighter grey, and a colour of no luma
    pixels[..., 1] = 0.5
    pixels[:, :, 0, 2] = torch.tensor([0.5, -0.25, -0.25])
    out = 2 * recoloured((pixels + 1) / 2, 1.0)[:, :, 0] - 1
    middle, colour = out[..., 0], out[..., 2] - out[..., 0]
    luma = (out[..., 1] - middle).mean(dim=1) / 0.5
    contrast = luma.abs()
    assert close_to_normal(middle.mean(dim=1) / luma, 0.2)
    assert close_to_normal(contrast.log2(), 0.5)
    assert float((luma < 0).float().mean()) == pytest.approx(0.5, abs=0.025)
    saturation = colour.norm(dim=1) / pixels[0, :, 0, 2].norm() / contrast
    assert close_to_normal(saturation.log2(), 1.0)
    # Hue turns the colour about the grey axis: both coordinates in that plane are a circle's.
    turned = colour / colour.norm(dim=1, keepdim=True)
    along = turned @ torch.tensor([2.0, -1.0, -1.0]) / 6**0.5
    across = turned @ torch.tensor([0.0, 1.0, -1.0]) / 2**0.5
    angle = torch.atan2(across, along)
    evenly = (torch.arange(8000) + 0.5) / 8000
    assert float((angle.sort().values / (2 * math.pi) + 0.5 - evenly).abs().max()) < 0.02
    torch.testing.assert_close(colour.sum(dim=1) / contrast, torch.zeros(8000), atol=1e-4, rtol=0)


def test_geometry_is_as_strong_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Appendix B: scales log-normal with (0.2 ln 2)^2, for both sides and for one against the
    other; mirrored by half; shifts of up to an eighth, and N(0, 0.125^2) of the side."""
    seen: list[Tensor] = []
    real = F.affine_grid

    def affine_grid(theta: Tensor, *others: Any, **more: Any) -> Tensor:
        seen.append(theta)
        return real(theta, *others, **more)

    monkeypatch.setattr(F, "affine_grid", affine_grid)
    torch.manual_seed(0)
    moved(torch.rand(8000, 3, 16, 16), 1.0)
    linear, shift = seen[0][:, :, :2], seen[0][:, :, 2]
    size = torch.linalg.det(linear)
    assert float((size < 0).float().mean()) == pytest.approx(0.5, abs=0.025)
    assert close_to_normal(size.abs().log2() / 2, 0.2)
    longer, shorter = torch.linalg.svdvals(linear).T
    assert float((longer / shorter).log2().square().mean().sqrt() / 2) == pytest.approx(0.2, 0.04)
    # In half sides. Whole pixels: the variance of -2 ... 2 of 16, the ends half as often. The
    # other shift passes the scales: E 4^(0.2 n) twice over, (s a)^2 or (s / a)^2.
    whole = (2 * 0.125 * 2**2 + 2 * 0.25 * 1**2) / 8**2
    grown = 0.25**2 * math.exp(2 * (0.2 * math.log(2)) ** 2) ** 2
    for axis in shift.T:
        assert float(axis.square().mean()) == pytest.approx(whole + grown, rel=0.08)


def test_augmentation_lets_gradients_through() -> None:
    torch.manual_seed(0)
    x = torch.rand(4, 3, 8, 8, requires_grad=True)
    AdaptiveAugmentation(1.0, None, 1)(x).square().sum().backward()
    assert x.grad is not None
    assert bool((x.grad.abs().amax(dim=(1, 2, 3)) > 0).all())


def test_the_probability_follows_the_sign_of_real() -> None:
    augment = AdaptiveAugmentation(0.0, target=0.6, images=1000)
    for _ in range(4):
        augment.adapt(0.9, 50)
    assert augment.probability == pytest.approx(200 / 1000)
    for _ in range(4):
        augment.adapt(0.1, 25)
    assert augment.probability == pytest.approx(0.1)
    for _ in range(80):
        augment.adapt(-1.0, 50)
    assert augment.probability == 0.0
    fixed = AdaptiveAugmentation(0.3, None, 1)
    for _ in range(8):
        fixed.adapt(1.0, 50)
    assert fixed.probability == 0.3


def test_adaptation_goes_on_after_an_interruption() -> None:
    whole, parts = (AdaptiveAugmentation(0.1, 0.6, 1000) for _ in range(2))
    for turn in range(10):
        if turn == 5:
            state, parts = parts.state_dict(), AdaptiveAugmentation(0.0, 0.6, 1000)
            parts.load_state_dict(state)
        for one in (whole, parts):
            one.adapt(0.9 if turn % 3 else -0.2, 10)
    assert (
        whole.state_dict()["augmentation"].tolist() == parts.state_dict()["augmentation"].tolist()
    )


# The stage


def test_what_is_logged_shows_overfitting(training_config: Make) -> None:
    game = stage(training_config(), augmentation="adaptive", augmentation_images=100, r1_every=1)
    losses = [game.update([batch()], step) for step in range(5)]
    for values in losses:
        assert -1 <= values["sign_of_real"] <= 1
        assert all(math.isfinite(value) for value in values.values())
    none = stage(training_config(), augmentation="none", augmentation_probability=0.9)
    assert none.update([batch()], 0)["augmentation"] == 0


def test_frechet_distance_is_measured_at_its_intervals_and_recorded(
    training_config: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    made = training_config(
        prior={"iterations": 3, "batch_size": 2, "frechet_every": 2, "frechet_images": 5},
    )
    said: list[str] = []
    train(made, "prior", say=said.append)
    shown = capsys.readouterr().err
    assert "prior 2: frechet" in shown
    assert "prior 3: frechet" in shown
    assert "prior 1: frechet" not in shown
    assert any("Fréchet distance to the training photographs" in one for one in said)
    record = read_result(made.output / "prior.safetensors")[2]
    assert "SqueezeNet" in record["frechet"]


def test_frechet_distance_without_its_network_fails_before_training(
    training_config: Make, tmp_path: Path
) -> None:
    made = training_config(
        prior={"iterations": 1, "frechet_every": 1},
        perceptual={"network": "squeeze", "weights": str(tmp_path / "none.safetensors")},
    )
    with pytest.raises(WeightsError):
        train(made, "prior")
    assert not made.output.exists()


def test_measuring_and_sampling_do_not_change_the_training(training_config: Make) -> None:
    weights = []
    for name, every in (("often", 1), ("never", None)):
        made = training_config(
            output=f"{training_config().output}-{name}",
            prior={"iterations": 3, "batch_size": 2, "frechet_every": every, "frechet_images": 4},
            sample_every=every or 100,
        )
        train(made, "prior")
        weights.append(read_result(made.output / "prior.safetensors")[0]["network"])
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_prior_that_cannot_draw_is_refused(
    training_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = training_config()
    context = TrainingContext(made, build_model(made.model), Accelerator())
    context.model.synthesis.generator = torch.nn.Identity()  # type: ignore[assignment]
    with pytest.raises(TrainingError, match="does not generate from random codes"):
        PriorStage(context, PriorStageConfig(iterations=1))


def test_the_trained_prior_is_a_file_that_other_trainings_start_from(
    training_config: Make, tmp_path: Path
) -> None:
    first = training_config(prior={"iterations": 2, "batch_size": 2})
    said: list[str] = []
    train(first, "prior", say=said.append)
    path = first.output / "tiny-prior.safetensors"
    assert any(str(path) in one for one in said)
    trained = read_result(first.output / "prior.safetensors")[0]
    made = ug.create_prior("stylegan2", weights=path)
    assert isinstance(made, torch.nn.Module)
    for key, value in made.state_dict().items():
        assert torch.equal(value, trained["network"][key]), key

    second = training_config(
        output=str(tmp_path / "second"), prior=None, synthesis={"iterations": 1, "weights": path}
    )
    context = TrainingContext(second, build_model(second.model), Accelerator())
    _, stored = read_pretrained_prior(second)
    assert stored is not None
    discriminator = stored.discriminator
    assert discriminator is not None
    stage = SynthesisStage(context, second.synthesis, None, discriminator)
    for key, value in stage.networks["discriminator"].state_dict().items():
        assert torch.equal(value, trained["discriminator"][key]), key
    train(second, "restoration")
    train(second, "synthesis")

    other = training_config(
        prior=None,
        synthesis={"iterations": 1, "weights": path},
        model__prior__options={**second.model.prior.options, "style_dim": 16},
    )
    with pytest.raises(ConfigError, match="style_dim"):
        read_pretrained_prior(other)


def test_compiled_networks_keep_their_names(
    training_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self: compiled.append(type(self).__name__)
    )
    made = training_config(compile=True, prior={"iterations": 1, "batch_size": 2})
    train(made, "prior")
    # Not D: what is compiled has no second derivatives, which R1 needs.
    assert compiled == ["StyleGAN2Generator"]
    assert "style_mlp.1.weight" in read_result(made.output / "prior.safetensors")[0]["network"]
