"""The two generative baselines: encoder and prior, and a prior that features modulate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml

import ugpnet_core as ug
from ugpnet_core.cli import main
from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import ConfigError, PluginError
from ugpnet_core.model_files.model import load_model, save_model
from ugpnet_core.networks.ugpnet import UGPNet, build_model
from ugpnet_core.plugins import Installed, PriorEntry, find
from ugpnet_core.testing import check_model
from ugpnet_core.training.run import train

pytestmark = pytest.mark.usefixtures("no_other_process")

Make = Callable[..., TrainConfig]
ROOT = Path(__file__).parents[2]
BASELINES = ("generator-only", "feature-modulated")


def model(make: Make, baseline: str, **changes: Any) -> UGPNet:
    torch.manual_seed(0)
    return build_model(make(model__baseline=baseline, **changes).model)


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize(("task", "scale"), [("denoise", 1), ("sr2", 2)])
def test_sizes_and_gradients(training_config: Make, baseline: str, task: str, scale: int) -> None:
    made = model(training_config, baseline, model__task={"name": task}).train()
    with torch.no_grad():  # NAFNet begins with zeros, behind which nothing has a gradient
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    x = torch.rand(2, 3, 32 // scale, 32 // scale, requires_grad=True)
    restored, regression, synthesis = made(x)
    assert restored.shape == (2, 3, 32, 32)
    assert torch.equal(restored, synthesis)
    enlarged = F.interpolate(x, scale_factor=scale, mode="bicubic") if scale > 1 else x
    torch.testing.assert_close(regression, enlarged)
    restored.square().sum().backward()
    # No UGPNet uses the head of a residual backbone, nor what lies below the base code.
    unused = ("style_mlp", "constant_input", "style_conv1", "to_rgb1")
    below = tuple(f"synthesis.generator.{name}" for name in unused)
    missing = [
        name
        for name, parameter in made.named_parameters()
        if (parameter.grad is None or not parameter.grad.any())
        and not name.startswith((*below, "synthesis.regression.backbone.ending"))
    ]
    # base_size 8: the first enlarging convolution stands below it.
    assert all(name.startswith("synthesis.generator.style_convs.0.") for name in missing), missing
    assert x.grad is not None
    assert bool(x.grad.any())


def test_generator_only_has_no_regression_and_no_fusion(training_config: Make) -> None:
    made = model(training_config, "generator-only")
    assert not list(made.restoration.parameters())
    assert not list(made.fusion.parameters())
    whole = build_model(training_config().model)
    assert {k for k, _ in made.named_parameters()} == {
        k for k, _ in whole.named_parameters() if k.startswith("synthesis.")
    }


def test_features_modulate_half_of_the_channels_at_each_size(training_config: Make) -> None:
    made: Any = model(training_config, "feature-modulated").eval()
    generator, synthesis = made.synthesis.generator, made.synthesis
    assert set(generator.modulated_channels) == {16, 32}
    seen = {}

    def modulate(side: int, f: torch.Tensor) -> torch.Tensor:
        seen[side] = f.shape
        return f

    code = synthesis.encode(torch.rand(1, 3, 32, 32))
    with torch.no_grad():
        plain, same = (
            generator.synthesize(*code),
            generator.synthesize(*code, modulate=modulate),
        )
    torch.testing.assert_close(same.image, plain.image)
    expected = {side: (1, c, side, side) for side, c in generator.modulated_channels.items()}
    assert seen == expected
    for side, channels in generator.modulated_channels.items():
        f = torch.rand(1, channels, side, side)
        condition = torch.rand(1, synthesis.pyramid.convs[0].out_channels, side, side)
        changed = synthesis.modulations[str(side)](f, condition)
        kept = channels // 2
        assert torch.equal(changed[:, :kept], f[:, :kept])
        assert not torch.equal(changed[:, kept:], f[:, kept:])


@pytest.mark.parametrize("baseline", BASELINES)
def test_saved_loaded_and_restored_with(
    training_config: Make, baseline: str, tmp_path: Path
) -> None:
    made = model(training_config, baseline).eval()
    path = tmp_path / "baseline.safetensors"
    save_model(made, path, licence="MIT")
    again = load_model(path)
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(made(x).image, again(x).image)
    assert check_model(path).ok
    restored = ug.Restorer(path)(torch.rand(3, 40, 50))
    assert restored.image.shape == (3, 40, 50)


def test_one_command_trains_both_and_compare_takes_them(
    training_config: Make, training_settings: dict[str, Any], photographs: Path, tmp_path: Path
) -> None:
    """The configuration in examples/configs, with the smallest training as its base."""
    example = ROOT / "examples" / "configs" / "generative-baselines.yaml"
    study = yaml.safe_load(example.read_text())
    base = tmp_path / "base.yaml"
    base.write_text(yaml.safe_dump({**training_settings, "prior": None}))
    study |= {"base": str(base), "output": str(tmp_path / "study")}
    for variant in study["variants"]:
        if "synthesis.iterations" in variant["changes"]:
            variant["changes"]["synthesis.iterations"] = 2
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    assert main(["ablate", str(path)]) == 0
    methods = []
    for baseline in BASELINES:
        folder = tmp_path / "study" / baseline
        assert {one.stem for one in folder.glob("*.safetensors")} == {
            "synthesis",
            f"generative-baselines-{baseline}",
        }
        model = str(folder / f"generative-baselines-{baseline}.safetensors")
        methods.append({"name": baseline, "model": model, "part": "synthesis"})
    settings = {
        "name": "baselines",
        "output": str(tmp_path / "compare"),
        "data": {"photographs": [str(photographs)], "resolution": 32, "count": 2},
        "tasks": ["denoise"],
        "metrics": ["psnr"],
        "methods": methods,
        "figures": None,
        "cost": None,
    }
    path.write_text(yaml.safe_dump(settings))
    assert main(["compare", str(path)]) == 0
    written = "".join(one.read_text() for one in (tmp_path / "compare").glob("*.md"))
    assert all(baseline in written for baseline in BASELINES)


@pytest.mark.parametrize("baseline", BASELINES)
def test_a_baseline_has_one_stage(training_config: Make, baseline: str) -> None:
    config = training_config(model__baseline=baseline, prior=None)
    for stage in ("restoration", "fusion"):
        with pytest.raises(ConfigError, match=f"has no stage {stage}; train its stages synthesis"):
            train(config, stage)


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("stage", ["restoration", "fusion"])
def test_weights_of_stages_that_a_baseline_lacks_are_refused(
    training_config: Make, baseline: str, stage: str
) -> None:
    changes: dict[str, Any] = {f"{stage}__weights": "some.safetensors"}
    config = training_config(model__baseline=baseline, prior=None, **changes)
    message = (
        rf"{stage}\.weights is some\.safetensors, and baseline {baseline} has no stage {stage}"
    )
    with pytest.raises(ConfigError, match=message):
        train(config)
    assert not config.output.exists()


def test_what_cannot_be_modulated_is_refused(
    training_config: Make, installed_plugins: Callable[..., Any]
) -> None:
    sr = {"name": "rrdbnet", "options": {"scale": 2, "num_feat": 4, "num_block": 1}}
    with pytest.raises(ConfigError, match=r"enlarges 2 times.*give it scale 1"):
        model(training_config, "feature-modulated", model__backbone=sr, model__task={"name": "sr2"})
    entry = find(PriorEntry, "stylegan2").entry
    name = f"{__name__}:without_modulation"
    installed_plugins(
        Installed(
            PriorEntry(name="plain", description="x", factory=name, options=entry.options),
            "mine",
            "1",
        )
    )
    prior = {"name": "plain", "options": training_config().model.prior.options}
    with pytest.raises(PluginError, match="Prior 'plain' cannot be modulated"):
        model(training_config, "feature-modulated", model__prior=prior)


def without_modulation(**options: Any) -> Any:
    made: Any = ug.create_prior("stylegan2", **options)
    del made.modulated_channels
    return made
