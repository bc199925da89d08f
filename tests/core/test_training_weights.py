"""What the stages start from: modules out of model files and out of results of other trainings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from ugpnet_core.checkpoints.file import read_checkpoint_file
from ugpnet_core.checkpoints.state_dict import write_safetensors
from ugpnet_core.config import TrainConfig
from ugpnet_core.config_files import read_config
from ugpnet_core.errors import ConfigError, TrainingError, WeightsError
from ugpnet_core.factory import create_backbone
from ugpnet_core.model_files.model import load_model
from ugpnet_core.model_files.stage_results import read_stage_result
from ugpnet_core.networks.ugpnet import UGPNet, build_model
from ugpnet_core.training.checkpoint import read_result, result_path, write_result
from ugpnet_core.training.fusion import FusionStage
from ugpnet_core.training.pretrained import read_pretrained_prior
from ugpnet_core.training.restoration import RestorationStage
from ugpnet_core.training.run import rehearse, train
from ugpnet_core.training.synthesis import SynthesisStage

Make = Callable[..., TrainConfig]
ROOT = Path(__file__).parents[2]
STILL = 1e-30  # a learning rate that changes nothing


def states(folder: Path, stage: str) -> dict[str, dict[str, Tensor]]:
    return read_result(result_path(folder, stage))[0]


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(v, other[k]) for k, v in one.items())


def weights_of(module: object) -> dict[str, Tensor]:
    return dict(cast(nn.Module, module).state_dict())


@pytest.fixture(scope="module")
def finished(training_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a training, whose prior has other weights than a new one."""
    output = tmp_path_factory.mktemp("finished") / "run"
    train(TrainConfig.model_validate({**training_settings, "prior": None, "output": str(output)}))
    return output


def files(finished: Path, stage: str) -> tuple[Path, Path]:
    return result_path(finished, stage), finished / "tiny.safetensors"


def new_model(make: Make, **changes: Any) -> UGPNet:
    torch.manual_seed(9)
    return build_model(make(prior=None, **changes).model)


# Restoration


def test_a_restoration_module_is_taken_whole_where_it_fits(
    training_config: Make, finished: Path
) -> None:
    trained = states(finished, "restoration")["network"]
    for file in files(finished, "restoration"):
        model = new_model(training_config)
        assert RestorationStage.load_pretrained(model, file) == "whole module"
        assert same(weights_of(model.restoration), trained)


@pytest.mark.parametrize("changes", [{"adapter": "skip"}, {"merging_channels": 8}])
def test_the_backbone_is_taken_where_only_it_fits(
    training_config: Make, finished: Path, changes: dict[str, Any], tmp_path: Path
) -> None:
    trained = states(finished, "restoration")["network"]
    inner = {k.removeprefix("backbone."): v for k, v in trained.items() if "backbone." in k}
    write_safetensors(inner, {}, tmp_path / "plain.safetensors")
    for file in (*files(finished, "restoration"), tmp_path / "plain.safetensors"):
        model = new_model(training_config, **{f"model__{k}": v for k, v in changes.items()})
        before = weights_of(model.restoration)
        before = {key: value.clone() for key, value in before.items()}
        assert RestorationStage.load_pretrained(model, file) == "backbone"
        assert same(weights_of(model.restoration.backbone), inner)
        after = weights_of(model.restoration)
        assert all(torch.equal(v, before[k]) for k, v in after.items() if "backbone." not in k)


def test_a_file_without_a_fitting_backbone_is_refused(
    training_config: Make, finished: Path
) -> None:
    with pytest.raises(WeightsError, match=r"fusion\.safetensors holds no restoration module;"):
        RestorationStage.load_pretrained(
            new_model(training_config), result_path(finished, "fusion")
        )
    wider = new_model(training_config, model__backbone__options={"width": 8})
    with pytest.raises(WeightsError, match=r"restoration\.safetensors does not fit NAFNet"):
        RestorationStage.load_pretrained(wider, result_path(finished, "restoration"))


def test_a_training_starts_from_the_restoration_module_of_another(
    training_config: Make, finished: Path
) -> None:
    path = result_path(finished, "restoration")
    config = training_config(
        prior=None, restoration__weights=str(path), restoration__learning_rate=STILL
    )
    said: list[str] = []
    train(config, "restoration", say=said.append)
    assert f"Stage restoration starts from the whole module in {path}." in said
    before, after = (states(folder, "restoration") for folder in (finished, config.output))
    for key, value in before["network"].items():
        torch.testing.assert_close(after["network"][key], value, rtol=0, atol=0)


# Synthesis


def test_a_synthesis_module_is_taken_whole_with_its_discriminator(
    training_config: Make, finished: Path, tmp_path: Path
) -> None:
    trained = states(finished, "synthesis")
    assert trained.keys() == {"network", "discriminator"}
    for index, file in enumerate(files(finished, "synthesis")):
        config = training_config(
            prior=None,
            output=str(tmp_path / str(index)),
            synthesis__weights=str(file),
            synthesis__learning_rate=STILL,
            synthesis__discriminator_learning_rate=STILL,
            synthesis__iterations=1,
        )
        train(config, "restoration")
        train(config, "synthesis")
        after = states(config.output, "synthesis")
        for key, value in trained["network"].items():
            if "running" not in key and "num_batches" not in key:
                assert torch.equal(after["network"][key], value), key
        from_result = file.name == "synthesis.safetensors"
        assert same(after["discriminator"], trained["discriminator"]) == from_result


def test_the_options_of_the_prior_come_from_the_file(training_config: Make, finished: Path) -> None:
    options = training_config().model.prior.options
    for file in files(finished, "synthesis"):
        changes: dict[str, Any] = {"prior": None, "synthesis__weights": str(file)}
        model = rehearse(training_config(**changes, model__prior={"name": "stylegan2"}))
        assert model.config.prior.options == options
        assert same(weights_of(model.synthesis), states(finished, "synthesis")["network"])
        with pytest.raises(ConfigError, match="'style_dim' of prior 'stylegan2' is 4 here and 8"):
            rehearse(training_config(**changes, model__prior__options={"style_dim": 4}))


def test_a_synthesis_module_of_another_encoder_is_refused(
    training_config: Make, finished: Path
) -> None:
    for file in files(finished, "synthesis"):
        changed = new_model(training_config, model__encoder_channels=[16, 24, 32])
        with pytest.raises(WeightsError, match="does not fit SynthesisModule: 'encoder"):
            SynthesisStage.load_pretrained(changed, file, None)
    with pytest.raises(WeightsError, match=r"fusion\.safetensors holds no synthesis module; give"):
        rehearse(
            training_config(prior=None, synthesis__weights=str(result_path(finished, "fusion")))
        )


def test_the_shipped_model_starts_the_synthesis_stage_of_the_next_one(tmp_path: Path) -> None:
    pytest.importorskip("ugpnet_priors.portraits")
    shipped = ROOT / "ugpnet_priors" / "portraits" / "portraits.safetensors"
    example = ROOT / "examples" / "configs" / "portraits" / "portraits.yaml"
    config = read_config(example, [f"synthesis.weights={shipped}", f"output={tmp_path}"])
    config, prior = read_pretrained_prior(config)
    model = build_model(config.model)
    assert SynthesisStage.load_pretrained(model, shipped, prior) == "whole module"
    x = torch.rand(1, 3, model.resolution, model.resolution)
    with torch.no_grad():
        images = [one.synthesis.eval()(x).image for one in (model, load_model(shipped))]
    assert torch.equal(*images)


# Fusion


def test_a_fusion_module_is_taken(training_config: Make, finished: Path) -> None:
    for file in files(finished, "fusion"):
        model = new_model(training_config)
        assert FusionStage.load_pretrained(model, file) == "whole module"
        assert same(weights_of(model.fusion), states(finished, "fusion")["network"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fusion_output": "correction"}, "model.fusion_output 'image' and this model has 'corr"),
        ({"fusion_inputs": "images"}, "model.fusion_inputs 'features' and this model has 'images'"),
        ({"fusion_blocks": 2}, "does not fit FusionModule"),
    ],
)
def test_a_fusion_module_that_means_something_else_is_refused(
    training_config: Make, finished: Path, changes: dict[str, Any], message: str
) -> None:
    model = new_model(training_config, **{f"model__{k}": v for k, v in changes.items()})
    for file in files(finished, "fusion"):
        with pytest.raises(WeightsError, match=message):
            FusionStage.load_pretrained(model, file)


def test_a_file_without_a_fusion_module_is_refused(
    training_config: Make, finished: Path, tmp_path: Path
) -> None:
    write_safetensors({"other": torch.zeros(1)}, {}, tmp_path / "other.safetensors")
    for file in (tmp_path / "other.safetensors", result_path(finished, "synthesis")):
        with pytest.raises(WeightsError, match=f"{file.name} holds no fusion module; give a model"):
            FusionStage.load_pretrained(new_model(training_config), file)


def test_a_key_that_chooses_nothing_is_refused(training_config: Make, finished: Path) -> None:
    for stage in ("restoration", "synthesis", "fusion"):
        for file in files(finished, stage):
            section = {"weights": str(file), "key": "params"}
            config = training_config(**{"prior": None, stage: section})
            message = rf"{file.name} holds one {stage} module .*; leave the key 'params' out"
            with pytest.raises(WeightsError, match=message):
                rehearse(config)
        with pytest.raises(ValidationError, match="key names a network of a file of weights"):
            training_config(**{f"{stage}__key": "params"})


def test_a_fusion_stage_goes_on_from_another(training_config: Make, finished: Path) -> None:
    weights = str(finished / "tiny.safetensors")
    config = training_config(
        prior=None, fusion__weights=weights, fusion__learning_rate=STILL, name="more"
    )
    train(config)
    after = states(config.output, "fusion")["network"]
    assert same(after, states(finished, "fusion")["network"])


# Nothing to train


def test_stages_without_iterations_keep_their_weights(
    training_config: Make, finished: Path
) -> None:
    kept = {"iterations": 0, "weights": str(finished / "tiny.safetensors")}
    synthesis = {"iterations": 0, "weights": str(result_path(finished, "synthesis"))}
    config = training_config(
        prior=None, restoration=kept, synthesis=synthesis, fusion=kept, name="more"
    )
    said: list[str] = []
    path = train(config, say=said.append)
    assert path is not None
    for stage in ("restoration", "synthesis", "fusion"):
        assert any(f"Stage {stage} has nothing to train: it keeps the we" in one for one in said)
        for network, state in states(finished, stage).items():
            assert same(states(config.output, stage)[network], state)
        assert read_result(result_path(config.output, stage))[2]["iterations"] == 0
    images = [load_model(one)(torch.ones(1, 3, 32, 32)).image for one in (path, kept["weights"])]  # type: ignore[arg-type]
    assert torch.equal(*images)


def test_a_shared_synthesis_module_serves_a_model_of_another_task(
    training_config: Make, finished: Path
) -> None:
    config = training_config(
        prior=None,
        model__task={"name": "sr8"},
        synthesis={"iterations": 0, "weights": str(finished / "tiny.safetensors")},
    )
    path = train(config)
    assert path is not None
    model = load_model(path)
    assert same(weights_of(model.synthesis), states(finished, "synthesis")["network"])
    assert not same(weights_of(model.restoration), states(finished, "restoration")["network"])


@pytest.mark.parametrize("stage", ["restoration", "synthesis", "fusion"])
def test_without_weights_a_stage_must_learn(training_config: Make, stage: str) -> None:
    with pytest.raises(ValueError, match="iterations 0 keeps weights: give weights, too"):
        training_config(**{f"{stage}__iterations": 0})


def test_a_part_of_a_module_is_not_enough_to_keep(
    training_config: Make, finished: Path, tmp_path: Path
) -> None:
    options = training_config().model.backbone.options
    backbone = tmp_path / "backbone.safetensors"
    write_safetensors(weights_of(create_backbone("nafnet", **options)), {}, backbone)
    generator = tmp_path / "generator.safetensors"
    write_safetensors(weights_of(new_model(training_config).synthesis.generator), {}, generator)
    for stage, file, what in (
        ("restoration", backbone, "backbone"),
        ("synthesis", generator, "prior"),
    ):
        config = training_config(**{"prior": None, stage: {"iterations": 0, "weights": str(file)}})
        with pytest.raises(ConfigError, match=rf"{stage}\.iterations is 0 and .* a {what} only;"):
            train(config)


@pytest.mark.parametrize("stage", ["restoration", "synthesis", "fusion"])
def test_other_content_of_the_weights_is_refused(
    training_config: Make, finished: Path, tmp_path: Path, stage: str
) -> None:
    weights = tmp_path / "weights.safetensors"
    original = result_path(finished, stage)
    weights.write_bytes(original.read_bytes())
    config = training_config(prior=None, **{f"{stage}__weights": str(weights)})
    train(config)
    train(config)  # finished, and still the same
    result = read_stage_result(read_checkpoint_file(original))
    assert result is not None
    changed = replace(result, record={**result.record, "changed": True})
    write_result(weights, changed, read_result(original)[1])
    with pytest.raises(TrainingError, match=f"stage {stage}: content of weights"):
        train(config)


def test_a_damaged_description_is_refused(training_config: Make, tmp_path: Path) -> None:
    path = tmp_path / "restoration.safetensors"
    write_safetensors(
        {"network.backbone.x": torch.zeros(1)}, {"fingerprint": "[]", "record": "{}"}, path
    )
    with pytest.raises(WeightsError, match=r"The description inside .* is damaged; get the file"):
        RestorationStage.load_pretrained(new_model(training_config), path)
