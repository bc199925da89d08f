"""Whole trainings: what they leave behind, what they refuse, and plugins in them."""

from __future__ import annotations

import importlib
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from ugpnet_core.checkpoints.state_dict import write_safetensors
from ugpnet_core.config import FusionStageConfig, TrainConfig
from ugpnet_core.errors import ConfigError, PluginError, TrainingError, WeightsError
from ugpnet_core.image import read_image
from ugpnet_core.model_files.model import load_model, read_card
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.plugins import BackboneEntry, Installed, Options, PriorEntry, Registry, registry
from ugpnet_core.training import prior as prior_module
from ugpnet_core.training import products as products_module
from ugpnet_core.training import run as run_module
from ugpnet_core.training.checkpoint import read_result
from ugpnet_core.training.data import Pair
from ugpnet_core.training.fusion import FusionStage
from ugpnet_core.training.plan import steps_before
from ugpnet_core.training.prior import PriorStage
from ugpnet_core.training.restoration import RestorationStage
from ugpnet_core.training.run import train
from ugpnet_core.training.stage import Losses
from ugpnet_core.training.synthesis import SynthesisStage

STAGES = ("prior", "restoration", "synthesis", "fusion")


def without_prior(make: Callable[..., TrainConfig], **changes: Any) -> TrainConfig:
    return make(**{"prior": None, **changes})


def test_a_whole_training_leaves_model_samples_scalars_and_a_record(
    training_config: Callable[..., TrainConfig], squeezenet: Path
) -> None:
    made = training_config(sample_every=1, log_every=1, trackers=["tensorboard"], licence="CC0-1.0")
    said: list[str] = []
    path = train(made, say=said.append)
    assert path == made.output / "tiny.safetensors"
    assert path is not None
    model = load_model(path)
    output = model(torch.rand(1, 3, 32, 32))
    assert output.image.shape == (1, 3, 32, 32)
    for name in STAGES:
        sheet = read_image(made.output / "samples" / f"{name}-000001.png").pixels
        rows = {"prior": 4, "restoration": 3, "synthesis": 4, "fusion": 5}[name]
        assert sheet.shape == (3, rows * 32, 2 * 32)
    card = read_card(path)
    assert card.licence == "CC0-1.0"
    assert card.record["perceptual"] == {
        "lpips": "LPIPS (SqueezeNet trunk of BSD origin)",
        "contextual": "SqueezeNet 1.1 fire3",
    }
    assert set(card.record["stages"]) == set(STAGES)
    assert card.record["stages"]["fusion"]["iterations"] == 2
    assert str(squeezenet) not in str(card.record)
    assert "Perceptual loss: LPIPS (SqueezeNet trunk of BSD origin)" in said
    assert "5 photographs to learn from, 0 unreadable; 2 to validate on." in said
    assert not list((made.output / "checkpoints").glob("*"))
    scalars = scalar_tags(made.output / "scalars")
    expected = {"restoration/psnr", "synthesis/r1", "synthesis/psnr", "fusion/contextual"}
    assert expected | {"prior/adversarial", "fusion/images_per_s"} <= scalars

    before = path.read_bytes()
    again: list[str] = []
    assert train(made, say=again.append) == path  # finished stages are skipped
    assert sum("is finished: " in line for line in again) == 5
    assert load_model(path).state_dict().keys() == model.state_dict().keys()
    assert len(path.read_bytes()) == len(before)


def scalar_tags(folder: Path) -> set[str]:
    accumulator = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return set(events.Tags()["scalars"])


@pytest.mark.parametrize("task", ["denoise", "deblur", "sr8"])
def test_every_task_trains(training_config: Callable[..., TrainConfig], task: str) -> None:
    changes: dict[str, Any] = {"model__task": {"name": task}}
    if task == "sr8":
        changes["data__crop"] = 24
    path = train(without_prior(training_config, **changes))
    assert path is not None
    model = load_model(path)
    side = 32 // model.scale
    assert model(torch.rand(2, 3, side, side)).image.shape == (2, 3, 32, 32)


@pytest.fixture
def fresh_accelerate() -> Iterator[None]:
    """accelerate keeps one precision per process; a test may have another."""
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def test_bfloat16_trains_and_stores_float32(
    training_config: Callable[..., TrainConfig], fresh_accelerate: None
) -> None:
    made = training_config(precision="bfloat16", restoration__ema=0.9, synthesis__ema=0.9)
    path = train(made)
    assert path is not None
    stored = read_result(made.output / "fusion.safetensors")[0]["network"]
    assert all(value.dtype == torch.float32 for value in stored.values())
    assert load_model(path)(torch.rand(1, 3, 32, 32)).image.isfinite().all()
    with pytest.raises(TrainingError, match="precision float32"):
        train(training_config(precision="float32", output=str(made.output) + "2"))


def test_bfloat16_resumes_to_the_same_weights(
    training_config: Callable[..., TrainConfig], fresh_accelerate: None
) -> None:
    changes = {"precision": "bfloat16", "checkpoint_every": 1, "restoration__ema": 0.9}
    whole = training_config(**changes)
    train(whole)
    broken = training_config(**changes, output=str(whole.output) + "2")
    for name, kind in (
        ("prior", PriorStage),
        ("restoration", RestorationStage),
        ("synthesis", SynthesisStage),
        ("fusion", FusionStage),
    ):
        original = kind.update

        def dying(
            self: Any, batches: Sequence[Pair], step: int, original: Any = original
        ) -> Losses:
            if step == 1:
                raise RuntimeError("stopped by a test")
            losses: Losses = original(self, batches, step)
            return losses

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kind, "update", dying)
            with pytest.raises(RuntimeError, match="stopped"):
                train(broken, resume=True)
        assert (broken.output / "checkpoints" / f"{name}.pt").exists()
    train(broken, resume=True)
    for name in STAGES:
        one, other = (
            read_result(made.output / f"{name}.safetensors")[0] for made in (whole, broken)
        )
        for network, values in one.items():
            assert all(torch.equal(value, other[network][key]) for key, value in values.items())


def test_steps_of_scalars_count_on_from_stage_to_stage(
    training_config: Callable[..., TrainConfig],
) -> None:
    made = training_config(fusion__iterations=7)
    assert [steps_before(made, name) for name in STAGES] == [0, 2, 4, 6]
    alone = without_prior(training_config, restoration__iterations=5)
    assert [steps_before(alone, name) for name in STAGES[1:]] == [0, 5, 7]


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield before
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("function", "file"),
    [
        ("write_result", r"restoration\.safetensors"),
        ("write_trained_prior", r"tiny-prior\.safetensors"),
        ("save_model", r"tiny\.safetensors"),
    ],
)
def test_a_disk_that_is_full_at_the_end_of_a_stage_costs_nothing(
    training_config: Callable[..., TrainConfig],
    limits: tuple[int, int],
    function: str,
    file: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prior = {"iterations": 1, "batch_size": 2} if function == "write_trained_prior" else None
    changes = {f"{name}__iterations": 1 for name in STAGES[1:]}
    made = training_config(prior=prior, **changes)
    modules = {"save_model": products_module, "write_trained_prior": prior_module}
    module = modules.get(function, run_module)
    original = getattr(module, function)

    def full(*args: Any, **more: Any) -> Any:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        try:
            return original(*args, **more)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    with monkeypatch.context() as patch:
        patch.setattr(module, function, full)
        with pytest.raises(TrainingError, match=rf"{file} cannot be written .*--resume"):
            train(made)
    assert not list(made.output.rglob("*.partial"))
    done = {path.name: path.stat().st_mtime_ns for path in made.output.glob("*.safetensors")}
    assert train(made, resume=True) is not None
    assert all((made.output / name).stat().st_mtime_ns == when for name, when in done.items())


# Refusals


def test_a_stage_that_was_begun_needs_resume(training_config: Callable[..., TrainConfig]) -> None:
    made = without_prior(training_config)
    begin(made)
    with pytest.raises(TrainingError, match=r"Stage restoration was begun .*add --resume"):
        train(made)
    assert train(made, resume=True) is not None


def begin(made: TrainConfig) -> None:
    """Stop a training in its restoration stage, after a checkpoint."""
    original = RestorationStage.update

    def dying(self: RestorationStage, batches: Sequence[Pair], step: int) -> Losses:
        if step == 1:
            raise RuntimeError("stopped by a test")
        return original(self, batches, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RestorationStage, "update", dying)
        with pytest.raises(RuntimeError, match="stopped"):
            train(made.model_copy(update={"checkpoint_every": 1}))


def test_a_checkpoint_of_other_settings_is_refused_with_the_reason(
    training_config: Callable[..., TrainConfig],
) -> None:
    begin(without_prior(training_config))
    other = without_prior(training_config, restoration__learning_rate=0.25, seed=3)
    with pytest.raises(TrainingError) as caught:
        train(other, resume=True)
    message = str(caught.value)
    assert "restoration.pt was made by other inputs of stage restoration" in message
    assert "settings.learning_rate (was 0.0001, is 0.25)" in message
    assert "seed (was 0, is 3)" in message


def test_a_finished_stage_is_refused_when_what_it_depends_on_has_changed(
    training_config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    assert train(without_prior(training_config)) is not None
    results = {name: tmp_path / "run" / f"{name}.safetensors" for name in STAGES[1:]}
    # The fusion network is no input of the stages before it.
    with pytest.raises(TrainingError, match=r"stage fusion: model\.fusion_blocks \(was 1, is 2\)"):
        train(without_prior(training_config, model__fusion_blocks=2))
    with pytest.raises(TrainingError, match=r"stage restoration: .*model\.task"):
        train(without_prior(training_config, model__task={"name": "deblur"}), "fusion")
    results["restoration"].unlink()
    changed = without_prior(training_config, restoration__learning_rate=0.01)
    with pytest.raises(TrainingError, match="stage synthesis: content of restoration"):
        train(changed, "restoration")
    assert results["restoration"].exists()
    results["restoration"].write_bytes(b"no weights")
    with pytest.raises(TrainingError, match=r"restoration\.safetensors is damaged .*delete it"):
        train(changed)


def test_stages_are_trained_in_their_order(training_config: Callable[..., TrainConfig]) -> None:
    made = without_prior(training_config)
    with pytest.raises(TrainingError, match="Stage fusion starts from stage restoration"):
        train(made, "fusion")
    with pytest.raises(ConfigError, match="no section 'prior'"):
        train(made, "prior")
    said: list[str] = []
    assert train(made, "restoration", say=said.append) is None
    assert said[-1] == "Still to train: synthesis, fusion."
    with pytest.raises(TrainingError, match="Stage fusion starts from stage synthesis"):
        train(made, "fusion")
    assert not list(made.output.glob("fusion*"))


def test_nothing_is_written_before_everything_needed_is_there(
    training_config: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UGPNET_PERCEPTUAL", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    wanting: list[tuple[dict[str, Any], type[Exception], str]] = [
        (
            {"perceptual__weights": None},
            WeightsError,
            r"SqueezeNet 1\.1 .*perceptual\.weights: PATH",
        ),
        ({"data__train": [str(tmp_path / "nowhere")]}, TrainingError, "no folder .*nowhere"),
        ({"data__validation": [str(tmp_path)]}, TrainingError, "no readable image"),
        ({"data__resolution": 64}, ConfigError, "data.resolution is 64 and the prior's 32"),
        ({"model__backbone": {"name": "nafnt"}}, PluginError, "nafnet"),
        ({"model__task": {"name": "sr8"}, "data__crop": 20}, ConfigError, "multiple of 8"),
        ({"restoration__weights": "gone.pth"}, WeightsError, "no weights file gone.pth"),
        ({"synthesis__weights": "gone.pth", "prior": None}, WeightsError, "gone.pth"),
        ({"synthesis__weights": "gone.pth"}, ConfigError, "also read from synthesis.weights"),
        ({"name": "fusion"}, ConfigError, "name is 'fusion'"),
        ({"name": "../x"}, ConfigError, "choose a file name"),
    ]
    for changes, error, message in wanting:
        with pytest.raises(error, match=message):
            train(training_config(**changes))
    assert not (tmp_path / "run").exists()


def test_processes_that_do_not_know_of_each_other_are_refused(
    training_config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match=r"2 processes were started .*ACCELERATE_USE_CPU=true"):
        train(training_config())


def test_an_output_that_is_no_folder_is_refused_at_once(
    training_config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be written; set 'output'"):
        train(training_config(output=str(tmp_path / "file" / "run")))


def test_unreadable_and_small_photographs_are_reported(
    training_config: Callable[..., TrainConfig], photographs: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    made = without_prior(
        training_config,
        data__train=[str(photographs), str(folder)],
        data__resolution=64,
        model__prior={
            "name": "stylegan2",
            "options": {"resolution": 64, "style_dim": 4, "num_mlp": 1, "narrow": 1 / 64},
        },
    )
    said: list[str] = []
    train(made, "restoration", say=said.append)
    assert f"Skipped: {folder}/broken.jpg is" in said[0]
    assert said[1] == "5 photographs to learn from, 1 unreadable; 2 to validate on."
    assert said[2].startswith("5 of them are smaller than 64 pixels")


# Plugins


class Plain(nn.Module):
    """A direct backbone of two convolutions."""

    kind = "direct"
    feature_channels = 4
    scale = 1
    size_multiple = 1

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 3, 3, padding=1)

    def forward_features(self, x: Tensor) -> Tensor:
        features: Tensor = self.first(x)
        return features

    def head(self, f: Tensor) -> Tensor:
        image: Tensor = self.last(f)
        return image


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch, installed_plugins: Callable[..., Registry]) -> None:
    """Backbone 'plain', and prior 'mute', a StyleGAN2 without a discriminator."""
    monkeypatch.setitem(sys.modules, "plain_backbone", SimpleNamespace(Plain=Plain))
    entry = BackboneEntry(
        name="plain",
        description="A test.",
        factory="plain_backbone:Plain",
        kind="direct",
        feature_channels=4,
        options=Options,
    )
    prior = registry().priors["stylegan2"]
    mute: Installed[PriorEntry] = replace(
        prior, entry=replace(prior.entry, name="mute", discriminator=None)
    )
    installed_plugins(Installed(entry, "ugpnet-core", "1.0"), mute)


def state(network: Any) -> dict[str, Tensor]:
    values: dict[str, Tensor] = network.state_dict()
    return values


def test_a_direct_backbone_keeps_its_pretrained_weights(
    training_config: Callable[..., TrainConfig], plain: None, tmp_path: Path
) -> None:
    weights = tmp_path / "plain.safetensors"
    pretrained = Plain().state_dict()
    write_safetensors(pretrained, {}, weights)
    backbone = {"name": "plain", "options": {}}
    made = without_prior(
        training_config, model__backbone=backbone, restoration__weights=str(weights)
    )
    said: list[str] = []
    path = train(made, say=said.append)
    assert any("nothing to train" in line and str(weights) in line for line in said)
    assert path is not None
    kept = state(load_model(path).restoration.backbone)
    assert all(torch.equal(pretrained[key], value) for key, value in kept.items())
    assert read_card(path).record["stages"]["restoration"]["iterations"] == 0
    pretrained["last.bias"] += 1
    write_safetensors(pretrained, {}, weights)
    with pytest.raises(TrainingError, match="stage restoration: content of weights"):
        train(made)


def test_a_direct_backbone_without_weights_is_trained(
    training_config: Callable[..., TrainConfig], plain: None
) -> None:
    made = without_prior(training_config, model__backbone={"name": "plain", "options": {}})
    assert train(made, "restoration") is None
    record = read_result(made.output / "restoration.safetensors")[2]
    assert record["iterations"] == 2
    assert record["loss"] == "l1"


def test_pretrained_weights_that_do_not_fit_are_found_first(
    training_config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    weights = tmp_path / "other.safetensors"
    write_safetensors(Plain().state_dict(), {}, weights)
    for key in ("restoration__weights", "synthesis__weights"):
        with pytest.raises(WeightsError, match=r"other\.safetensors does not fit"):
            train(without_prior(training_config, **{key: str(weights)}))
    assert not (tmp_path / "run").exists()


def test_pretrained_weights_are_where_a_stage_starts(
    training_config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    torch.manual_seed(9)
    other = build_model(training_config().model)
    backbone, prior = tmp_path / "backbone.safetensors", tmp_path / "prior.safetensors"
    write_safetensors(state(other.restoration.backbone), {}, backbone)
    write_safetensors(state(other.synthesis.generator), {}, prior)
    still = {"iterations": 1, "batch_size": 2, "learning_rate": 1e-12}
    made = without_prior(
        training_config,
        restoration={**still, "weights": str(backbone)},
        synthesis={**still, "weights": str(prior)},
    )
    path = train(made)
    assert path is not None
    model = load_model(path)
    for mine, theirs in (
        (model.restoration.backbone, other.restoration.backbone),
        (model.synthesis.generator, other.synthesis.generator),
    ):
        expected = state(theirs)
        for key, value in state(mine).items():
            torch.testing.assert_close(value, expected[key], rtol=1e-5, atol=1e-6)


def test_a_prior_without_a_discriminator_trains_without_the_adversarial_loss(
    training_config: Callable[..., TrainConfig], plain: None
) -> None:
    prior = {"name": "mute", "options": training_config().model.prior.options}
    with pytest.raises(PluginError, match="set adversarial_weight to 0"):
        train(without_prior(training_config, model__prior=prior))
    made = without_prior(training_config, model__prior=prior, synthesis__adversarial_weight=0.0)
    assert train(made, resume=True) is not None
    assert read_result(made.output / "synthesis.safetensors")[0].keys() == {"network"}
    for pattern in ("synthesis", "fusion"):
        assert list(made.output.glob(f"samples/{pattern}-*.png"))


def test_fusion_settings_without_perceptual_losses_need_no_weights(
    training_config: Callable[..., TrainConfig],
) -> None:
    made = without_prior(
        training_config,
        perceptual__weights="gone.safetensors",
        synthesis__perceptual_weight=0.0,
        fusion=FusionStageConfig(
            iterations=1, batch_size=2, perceptual_weight=0.0, contextual_weight=0.0
        ),
    )
    assert train(made) is not None
