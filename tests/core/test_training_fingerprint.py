"""A state that older code wrote is still good; one that other settings made is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ugpnet_core.config import TrainConfig
from ugpnet_core.degradations.kernel_files import save_kernels
from ugpnet_core.degradations.kernels import kernel_set
from ugpnet_core.errors import ConfigError, TrainingError
from ugpnet_core.training.fingerprint import Fingerprint, compare, differences, fingerprint
from ugpnet_core.training.fusion import FusionStage
from ugpnet_core.training.plan import stage_files
from ugpnet_core.training.run import train
from ugpnet_core.training.stages import STAGES

STATE = Path("run/fusion.safetensors")


KINDS = ("training", "training pairs", "validation", "validation pairs", "crops")


def of(config: TrainConfig, stage: str = "fusion") -> Fingerprint:
    return fingerprint(config, STAGES[stage], {}, 5)


def listed(config: TrainConfig, stage: str, images: int = 5, **other: str) -> Fingerprint:
    """With digests of photographs, of which some are others."""
    digests = {kind: other.get(kind.replace(" ", "_"), "as before") for kind in KINDS}
    return fingerprint(config, STAGES[stage], {}, images, digests)


@pytest.mark.parametrize("stage", STAGES)
def test_settings_that_older_code_did_not_have_count_as_their_defaults(
    training_config: Callable[..., TrainConfig], stage: str
) -> None:
    now = of(training_config(data__flip=True, model__merging_channels=64, seed=0), stage)
    compare(STAGES[stage], now, now, STATE)
    new = {"settings.clip_gradient", "data.flip", "data.crop", "seed", "precision"}
    new |= {"model.merging_channels", "model.fusion_inputs", "perceptual.network"} & now.keys()
    network = {"perceptual.network": '"vgg"'} if "perceptual.network" in now else {}
    compare(
        STAGES[stage], {k: v for k, v in now.items() if k not in new}, {**now, **network}, STATE
    )


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"fusion__clip_gradient": 1.0}, "settings.clip_gradient", r"was null, is 1\.0"),
        ({"data__flip": False}, "data.flip", "was true, is false"),
        ({"seed": 3}, "seed", "was 0, is 3"),
        ({"model__fusion_channels": 4}, "model.fusion_channels", "was null, is 4"),
    ],
)
def test_a_new_setting_with_another_value_is_refused(
    training_config: Callable[..., TrainConfig], changes: dict[str, object], key: str, message: str
) -> None:
    now = of(training_config(**changes))
    before = {k: v for k, v in now.items() if k != key}
    with pytest.raises(TrainingError, match=rf"stage fusion: {key} \({message}\); put them back"):
        compare(FusionStage, before, now, STATE)


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({"model__adapter": "skip"}, {"restoration", "synthesis", "fusion"}),
        ({"model__encoder_norm": "group"}, {"synthesis", "fusion"}),
        ({"model__fusion_output": "correction"}, {"fusion"}),
        ({"restoration__psnr_floor": 50}, {"restoration"}),
    ],
)
def test_a_form_of_the_networks_concerns_the_stages_that_use_it(
    training_config: Callable[..., TrainConfig], change: dict[str, object], stages: set[str]
) -> None:
    before, now = training_config(), training_config(**change)
    assert {name for name in STAGES if of(before, name) != of(now, name)} == stages


CROPS = {"data__crop": 8, "data__crops": [{"path": "anything"}]}
EARLY = {f"{stage}__stop_after": 5 for stage in ("restoration", "synthesis", "fusion")}
DARK = {f"{stage}__perceptual_weight": 0 for stage in ("synthesis", "fusion")}
MODULES = {"restoration", "synthesis", "fusion"}


@pytest.mark.parametrize(
    ("kept", "change", "stages"),
    [
        # What is restored with the weights that validate best, or stops by validation.
        ({}, {"validation": "x"}, {"restoration", "fusion"}),
        ({}, {"validation_pairs": "x"}, {"restoration", "fusion"}),
        ({}, {"data__validation_count": 3}, {"restoration", "fusion"}),
        (EARLY, {"validation": "x"}, MODULES),
        (EARLY, {"data__validation_count": 3}, MODULES),
        # What is cut out of photographs.
        ({}, {"data__crop": 8}, {"restoration"}),
        ({}, CROPS, {"restoration"}),
        (CROPS, {"crops": "x"}, {"restoration"}),
        (CROPS, {"training": "x", "images": 6}, {"prior", "synthesis", "fusion"}),
        ({}, {"training": "x"}, {"prior", *MODULES}),
        ({}, {"training_pairs": "x"}, MODULES),
        # What images are compared with.
        ({}, {"perceptual__resize": 8}, {"synthesis", "fusion"}),
        (DARK, {"perceptual__resize": 8}, {"fusion"}),
        ({**DARK, "fusion__contextual_weight": 0}, {"perceptual__resize": 8}, set()),
    ],
)
def test_what_a_stage_does_not_see_does_not_refuse_its_result(
    training_config: Callable[..., TrainConfig],
    kept: dict[str, Any],
    change: dict[str, Any],
    stages: set[str],
) -> None:
    other = {key: value for key, value in change.items() if key.replace("_", " ") in KINDS}
    other |= {"images": change["images"]} if "images" in change else {}
    settings = {key: value for key, value in change.items() if key not in other}
    before, now = training_config(**kept), training_config(**{**kept, **settings})
    seen = set()
    for name, stage in STAGES.items():
        made_by = listed(before, name)
        if differences(stage, made_by, listed(now, name, **other)):
            seen.add(name)
        # Older code wrote all of it for every stage.
        older = {f"names and sizes of the photographs for {kind}": '"as before"' for kind in KINDS}
        older |= {"data.crop": "null", "data.crops": "[]", "number of training images": "5"}
        older |= {"data.validation_count": "2", "settings.gone": "null", **made_by}
        older |= {"perceptual.resize": "null"} if stage.is_perceptual else {}
        compare(stage, older, made_by, STATE)
        assert bool(differences(stage, older, listed(now, name, **other))) == (name in seen)
    assert seen == stages


def test_of_a_stage_that_keeps_its_weights_only_these_count(
    training_config: Callable[..., TrainConfig],
) -> None:
    keeping = {"synthesis__weights": "a.safetensors", "synthesis__iterations": 0}
    changes = {"seed": 5, "data__flip": False, "synthesis__batch_size": 7}
    stage = STAGES["synthesis"]
    before = listed(training_config(**keeping), "synthesis")
    now = listed(training_config(**keeping, **changes), "synthesis", 9, training="x")
    compare(stage, before, now, STATE)
    compare(stage, {**before, "seed": "0", "content of restoration": '"abc"'}, now, STATE)
    for key, value in (("settings.key", '"other"'), ("content of weights", '"abc"')):
        assert differences(stage, {**before, key: value}, now) == [key]
    learning = listed(training_config(**{**keeping, "synthesis__iterations": 3}), "synthesis")
    assert differences(stage, before, learning) == ["settings.iterations"]


def test_other_validation_photographs_and_crops_do_not_refuse_a_prior(
    training_config: Callable[..., TrainConfig], photographs: Path
) -> None:
    train(training_config(prior__iterations=1), "prior")
    said: list[str] = []
    changes = {
        "data__validation": [str(photographs / "inner")],
        "data__validation_count": 1,
        "data__crop": 8,
        "data__crops": [{"path": str(photographs)}],
    }
    train(training_config(prior__iterations=1, **changes), "prior", say=said.append)
    assert any(one.startswith("Stage prior is finished: ") for one in said)


@pytest.mark.parametrize("stage", STAGES)
def test_how_it_is_looked_at_and_what_folders_are_called_change_nothing(
    training_config: Callable[..., TrainConfig], stage: str
) -> None:
    now = of(training_config(), stage)
    changes = {
        "validate_every": 3,
        "log_every": 3,
        "sample_every": 3,
        "checkpoint_every": 3,
        "keep_state": False,
        "threads": 2,
        "trackers": ["tensorboard"],
        "compile": True,
        "output": "elsewhere",
        "name": "other",
        "data__train": ["elsewhere"],
        "data__validation": ["elsewhere"],
        "data__cache": False,
        "data__workers": 2,
        "perceptual__weights": "elsewhere/squeezenet.safetensors",
        "restoration__weights": "a.safetensors",
        "synthesis__restorations": ["a.safetensors"],
        "prior__frechet_every": 7,
        "prior__sample_truncation": 0.5,
    }
    for key, value in changes.items():
        compare(STAGES[stage], of(training_config(**{key: value}), stage), now, STATE)
    # States of older code have all of it.
    older = {
        "validate_every": "1000",
        "data.train": '["gone"]',
        "data.validation": '["gone"]',
        "settings.weights": '"gone.pth"',
    }
    compare(STAGES[stage], {**now, **older}, now, STATE)


def test_the_names_of_files_do_not_matter_where_their_content_is_compared(
    training_config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    made = []
    kept = tmp_path / "shakes.safetensors"
    save_kernels(kernel_set(2, 9, seed=0), kept)  # once: the order of what is beside may differ
    for name in ("one", "two"):
        path = tmp_path / name / "shakes.safetensors"
        path.parent.mkdir()
        path.write_bytes(kept.read_bytes())
        steps = [{"one_of": {"steps": ["blur", {"motion_blur": {"kernels": str(path)}}]}}]
        crops = [{"path": str(tmp_path / name), "share": 2.0}]
        config = training_config(model__task=steps, data__crops=crops, data__crop=8)
        files = stage_files(config, STAGES["restoration"])
        made.append((fingerprint(config, STAGES["restoration"], files, 5), str(path)))
    (now, _), (before, path_before) = made
    assert now == before
    assert path_before not in json.dumps(before)
    # As older code wrote it.
    written = config.model.task.model_dump(mode="json")
    older = {**before, "model.task": json.dumps(written, sort_keys=True)}
    assert path_before in older["model.task"]
    compare(STAGES["restoration"], older, now, STATE)
    other = {**before, "data.crops": before["data.crops"].replace("2.0", "3.0")}
    with pytest.raises(TrainingError, match=r"data\.crops"):
        compare(STAGES["restoration"], other, now, STATE)


def test_nested_settings_have_defaults_of_their_own(
    training_config: Callable[..., TrainConfig],
) -> None:
    now = of(training_config(model__task={"name": "deblur"}))
    without_options = {**now, "model.task": '{"name": "deblur"}'}
    compare(FusionStage, without_options, now, STATE)
    sized = of(training_config(model__task={"name": "deblur", "options": {"size": 5}}))
    for before in (without_options, {**now, "model.task": '{"gone": 1, "name": "deblur"}'}):
        with pytest.raises(TrainingError, match=r"stage fusion: model\.task \(was {"):
            compare(FusionStage, before, sized, STATE)
    # The default task is denoise: a state that says no task is not one of deblur.
    with pytest.raises(TrainingError, match=r"model\.task \(was .*denoise.*, is .*deblur"):
        compare(FusionStage, {k: v for k, v in now.items() if k != "model.task"}, now, STATE)


def test_what_is_no_setting_has_no_default(training_config: Callable[..., TrainConfig]) -> None:
    now = {**of(training_config()), "content of restoration": '"abc"'}
    for key in ("content of restoration", "number of training images", "settings.iterations"):
        before = {k: v for k, v in now.items() if k != key}
        if key == "settings.iterations":
            now = {**now, key: "123"}
        with pytest.raises(TrainingError, match=f"stage fusion: {key}"):
            compare(FusionStage, before, now, STATE)


def test_a_setting_that_is_gone_and_settings_that_differ_are_refused(
    training_config: Callable[..., TrainConfig],
) -> None:
    now = of(training_config())
    with pytest.raises(TrainingError, match=r"settings\.gone \(was 1, is unset\)"):
        compare(FusionStage, {**now, "settings.gone": json.dumps(1)}, now, STATE)
    other = of(training_config(fusion__learning_rate=0.5, data__flip=False))
    with pytest.raises(TrainingError) as caught:
        compare(FusionStage, other, now, STATE)
    assert "data.flip (was false, is true)" in str(caught.value)
    assert "settings.learning_rate (was 0.5, is 0.001)" in str(caught.value)


@pytest.mark.parametrize("nested", [False, True])
def test_other_content_in_a_file_of_the_task_is_refused(
    training_config: Callable[..., TrainConfig], tmp_path: Path, nested: bool
) -> None:
    kernels = tmp_path / "shakes.safetensors"
    options = {"kernels": str(kernels)}
    steps = [{"one_of": {"steps": ["blur", {"shuffle": {"steps": [{"motion_blur": options}]}}]}}]
    task = steps if nested else {"name": "deblur", "options": options}
    config = training_config(model__task=task, prior=None)
    # It is missed before anything starts, and not when it is first drawn.
    with pytest.raises(ConfigError, match=r"no file .*shakes\.safetensors with kernels; make one"):
        train(config, "restoration")
    save_kernels(kernel_set(2, 9, seed=0), kernels)
    train(config, "restoration")
    train(config, "restoration")  # finished, and still the same
    save_kernels(kernel_set(2, 9, seed=1), kernels)
    with pytest.raises(TrainingError, match=r"content of task\..*kernels"):
        train(config, "restoration")


def test_a_module_that_is_kept_depends_on_its_weights_and_the_model_alone(
    training_config: Callable[..., TrainConfig],
) -> None:
    kept = {"synthesis__weights": "a.safetensors", "synthesis__iterations": 0}
    stage = STAGES["synthesis"]
    now = of(training_config(**kept), "synthesis")
    older = {"content of prior": '"abc"', "content of restoration": '"abc"'}
    older |= {"data.flip": "false", "seed": "3", "number of training images": "9"}
    compare(stage, {**now, **older}, now, STATE)
    for key in ("content of weights", "settings.key", "settings.iterations", "model.prior"):
        with pytest.raises(TrainingError, match=f"stage synthesis: {key}"):
            compare(stage, {**now, key: "7"}, now, STATE)
    assert "restoration" not in stage_files(training_config(**kept), stage)
