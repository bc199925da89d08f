"""Ablations: the trainings that they are made of; what these have in common is trained once."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ugpnet_core.errors import ConfigError, TrainingError, WeightsError
from ugpnet_core.model_files.model import load_model
from ugpnet_core.plugins import Registry, registry
from ugpnet_core.studies.ablation.arms import Arm, chosen_arms, make_arms
from ugpnet_core.studies.ablation.settings import AblationConfig, read_ablation
from ugpnet_core.studies.ablation.train import check_arms, train_arms, unfinished
from ugpnet_core.training.checkpoint import read_result, result_path
from ugpnet_core.training.run import train

Read = Callable[..., AblationConfig]
HINET = {"name": "hinet", "options": {"wf": 4, "depth": 2}}


@pytest.fixture
def base(training_settings: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "base.yaml"
    path.write_text(yaml.safe_dump(training_settings))
    return path


@pytest.fixture
def read(base: Path, tmp_path: Path) -> Read:
    """A function that makes an ablation of the smallest training from settings and overrides."""

    def make(*overrides: str, **settings: Any) -> AblationConfig:
        content = {"name": "study", "output": str(tmp_path / "arms"), "base": str(base)}
        path = tmp_path / "ablation.yaml"
        path.write_text(yaml.safe_dump({**content, **settings}, sort_keys=False))
        return read_ablation(path, overrides)

    return make


def by_key(arms: list[Arm]) -> dict[str, Arm]:
    return {arm.key: arm for arm in arms}


# Which trainings


def test_network_components_are_three_trainings_that_differ_in_one_setting(read: Read) -> None:
    arms = make_arms(read(study="network-components"))
    assert [arm.key for arm in arms] == ["no-merging", "image-fusion", "full"]
    models = [arm.config.model for arm in arms]
    assert [model.adapter for model in models] == ["plain", "merging", "merging"]
    assert [model.fusion_inputs for model in models] == ["features", "images", "features"]
    common = [
        arm.config.model_copy(update={"model": None, "name": "", "output": 0}) for arm in arms
    ]
    assert common[0] == common[1] == common[2]
    assert {arm.config.output.name for arm in arms} == {"no-merging", "image-fusion", "full"}
    assert len({arm.config.name for arm in arms}) == 3


def test_initialisation_is_all_four_combinations(read: Read) -> None:
    overrides = ("restoration.weights=r.pth", "synthesis.weights=g.pkl", "prior=null")
    arms = make_arms(read(*overrides, study="initialisation"))
    weights = {
        arm.title: (arm.config.restoration.weights, arm.config.synthesis.weights) for arm in arms
    }
    r, g = Path("r.pth"), Path("g.pkl")
    assert weights == {
        "R and G random": (None, None),
        "R random, G pretrained": (None, g),
        "R pretrained, G random": (r, None),
        "R and G pretrained": (r, g),
    }


def test_arms_are_crossed_with_backbones_that_bring_their_settings(read: Read) -> None:
    arms = make_arms(
        read(
            "restoration.iterations=7",
            "measuring.count=3",
            study="network-components",
            changes={"seed": 5, "restoration.iterations": 9},
            backbones={
                "NAFNet": {"name": "nafnet", "options": {"width": 4}},
                "HI Net": {**HINET, "changes": {"restoration.learning_rate": 2e-4}},
            },
        )
    )
    assert [arm.key for arm in arms] == [
        f"{backbone}/{name}"
        for backbone in ("NAFNet", "HI Net")
        for name in ("no-merging", "image-fusion", "full")
    ]
    hinet = by_key(arms)["HI Net/full"].config
    # The options of the base belong to its own backbone.
    assert hinet.model.backbone.model_dump() == HINET
    assert hinet.name == "study-HI-Net-full"
    assert hinet.output.parts[-2:] == ("HI Net", "full")
    assert (hinet.seed, hinet.restoration.iterations) == (5, 7)
    assert hinet.restoration.learning_rate == 2e-4
    assert by_key(arms)["NAFNet/full"].config.restoration.learning_rate == 1e-4
    assert [arm.key for arm in chosen_arms(arms, ["full", "HI Net/no-merging"])] == [
        "NAFNet/full",
        "HI Net/no-merging",
        "HI Net/full",
    ]
    assert len(chosen_arms(arms, ["NAFNet"])) == 3
    assert chosen_arms(arms, []) == arms
    with pytest.raises(ConfigError, match=r"no arm 'fall'; there are: NAFNet/no-merging, "):
        chosen_arms(arms, ["fall"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give either 'study' or 'arms'"),
        ({"study": "initialisation", "arms": [{"name": "a"}]}, "give either 'study' or 'arms'"),
        ({"study": "components"}, "study: Input should be 'network-components'"),
        ({"arms": [{"name": "a"}, {"name": "a"}]}, "Two arms are called 'a'"),
        ({"arms": [{"name": "a/b"}]}, "'a/b' is no name of arms; choose one"),
        ({"arms": [{"name": "a"}, {"name": "b"}]}, "'a' and 'b' are the same training"),
        (
            {"arms": [{"name": "a", "changes": {"fusion": {"iterations": 3}}}]},
            r"Arm 'a' would replace the whole section 'fusion'; .* 'fusion\.iterations: VALUE'",
        ),
        (
            {"arms": [{"name": "a", "changes": {"fusion.iteratoins": 3}}]},
            r"base\.yaml as arm 'a': fusion\.iteratoins: ",
        ),
        (
            {"arms": [{"name": "a", "changes": {"seed.b": 3}}], "changes": {"seed": 1}},
            "Arm 'a': seed.b: 'seed' is a value",
        ),
        (
            {"study": "initialisation", "changes": {"prior": None}},
            r"needs pretrained weights; set synthesis\.weights=FILE",
        ),
        (
            {
                "study": "initialisation",
                "changes": {"restoration.weights": "r", "synthesis.weights": "g"},
            },
            "train the prior before, and set prior=null",
        ),
        ({"study": "network-components", "base": "gone.yaml"}, r"gone\.yaml cannot be read"),
    ],
)
def test_settings_that_cannot_be_right_are_named(
    read: Read, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_arms(read(**settings))


def test_what_would_stop_an_arm_is_found_before_the_first_starts(
    read: Read, tmp_path: Path
) -> None:
    def check(**settings: Any) -> None:
        check_arms(make_arms(read(**settings)))

    wrong = [{"name": "right"}, {"name": "wrong", "changes": {"model.backbone.options.width": 0}}]
    with pytest.raises(ConfigError, match=r"Arm wrong: .*width"):
        check(arms=wrong)
    gone = {"restoration.weights": str(tmp_path / "gone.pth")}
    with pytest.raises(WeightsError, match=r"Arm pre: There is no weights file"):
        check(arms=[{"name": "pre", "changes": gone}])
    direct = {"name": "unet", "options": {"kind": "direct"}}
    with pytest.raises(ConfigError, match=r"Arm U/no-merging: backbone '.*' is direct"):
        check(study="network-components", backbones={"U": direct})
    assert not (tmp_path / "arms").exists()


# Training them


def trained(said: list[str]) -> list[str]:
    """Of what a training says: the stages that were finished but not reused."""
    finished = [line.split()[1] for line in said if re.match(r"Stage \w+ is finished", line)]
    reused = [line.split()[1] for line in said if "reused from there" in line]
    for stage in reused:
        finished.remove(stage)
    return sorted(finished)


@pytest.fixture(scope="module")
def components(
    training_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Arm], list[str]]:
    """Study network-components with two backbones, trained; and what was said."""
    folder = tmp_path_factory.mktemp("components")
    base = folder / "base.yaml"
    base.write_text(yaml.safe_dump(training_settings))
    config = folder / "ablation.yaml"
    settings = {
        "name": "table3",
        "output": str(folder / "arms"),
        "base": str(base),
        "study": "network-components",
        "backbones": {
            "NAFNet": training_settings["model"]["backbone"],
            "HINet": HINET,
        },
    }
    config.write_text(yaml.safe_dump(settings, sort_keys=False))
    arms = make_arms(read_ablation(config))
    said: list[str] = []
    check_arms(arms)
    train_arms(arms, arms, say=said.append)
    return arms, said


def test_what_arms_have_in_common_is_trained_once(
    components: tuple[list[Arm], list[str]],
) -> None:
    arms, said = components
    assert not unfinished(arms)
    # One prior; of each backbone (a) restoration, synthesis, fusion; (b) and (c) share the first.
    assert trained(said) == ["fusion"] * 6 + ["prior"] + ["restoration"] * 4 + ["synthesis"] * 4
    keys = [line.split(",")[0] for line in said if line.startswith("Arm ")]
    assert keys[0] == "Arm 1 of 6: NAFNet/no-merging"
    assert len(keys) == 6
    kinds = set()
    for arm in arms:
        model = load_model(arm.model_file)
        kinds.add((model.config.backbone.name, type(model.restoration).__name__))
        assert model.fusion_inputs is not None
    assert len(kinds) == 4


def test_a_shared_training_gives_the_bits_of_one_that_shares_nothing(
    components: tuple[list[Arm], list[str]], tmp_path: Path
) -> None:
    arms, _ = components
    for key in ("NAFNet/full", "HINet/no-merging"):
        arm = by_key(arms)[key]
        alone = arm.config.model_copy(update={"output": tmp_path / key})
        train(alone)
        ours, theirs = (
            load_model(arm.model_file),
            load_model(alone.output / f"{alone.name}.safetensors"),
        )
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)


def test_finished_arms_are_skipped_and_stopped_ones_go_on(read: Read) -> None:
    arms = make_arms(
        read(
            "prior=null",
            "checkpoint_every=1",
            arms=[{"name": "a"}, {"name": "b", "changes": {"fusion.learning_rate": 2e-3}}],
        )
    )
    said: list[str] = []

    def stop_in_b(line: str) -> None:
        said.append(line)
        if line.startswith("Stage synthesis is the same as that of") and said[0] != line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_arms(arms, arms, say=stop_in_b)
    assert unfinished(arms) == [arms[1]]
    again: list[str] = []
    train_arms(arms, arms, say=again.append)
    assert not unfinished(arms)
    assert not [line for line in again if "restoration is the same" in line]
    before = result_path(arms[0].config.output, "fusion").stat().st_mtime_ns
    train_arms(arms, arms, say=again.append)
    assert result_path(arms[0].config.output, "fusion").stat().st_mtime_ns == before


def test_an_arm_whose_settings_changed_since_is_refused(read: Read) -> None:
    arms = make_arms(read("prior=null", arms=[{"name": "a"}]))
    train_arms(arms, arms)
    changed = make_arms(read("prior=null", "fusion.iterations=3", arms=[{"name": "a"}]))
    with pytest.raises(TrainingError, match=r"settings\.iterations \(was 2, is 3\)"):
        train_arms(changed, changed)


def test_stages_of_other_trainings_are_taken_over(
    read: Read, components: tuple[list[Arm], list[str]]
) -> None:
    done = by_key(components[0])["NAFNet/full"].config.output
    arms = make_arms(read(arms=[{"name": "longer", "changes": {"fusion.iterations": 3}}]))
    said: list[str] = []
    train_arms(arms, arms, reuse=[done], say=said.append)
    assert trained(said) == ["fusion"]
    assert read_result(result_path(arms[0].config.output, "fusion"))[2]["iterations"] == 3


def test_pretrained_networks_of_the_study_come_from_earlier_trainings(
    read: Read, components: tuple[list[Arm], list[str]]
) -> None:
    plain = by_key(components[0])["NAFNet/no-merging"].config
    prior = plain.output / f"{plain.name}-prior.safetensors"
    arms = make_arms(
        read(
            f"restoration.weights={result_path(plain.output, 'restoration')}",
            f"synthesis.weights={prior}",
            "prior=null",
            study="initialisation",
        )
    )
    check_arms(arms)
    said: list[str] = []
    train_arms(arms, arms, say=said.append)
    # Each restoration serves two arms; synthesis starts from R and G, so that all four differ.
    assert trained(said) == ["fusion"] * 4 + ["restoration"] * 2 + ["synthesis"] * 4


def test_a_prior_with_weights_of_its_own_never_starts_at_random(
    read: Read, installed_plugins: Callable[..., Registry]
) -> None:
    prior = registry().priors["stylegan2"]
    installed_plugins(
        replace(prior, entry=replace(prior.entry, name="own", file="own.safetensors"))
    )
    weights = ("restoration.weights=r", "synthesis.weights=g", "prior=null")
    with pytest.raises(ConfigError, match="Prior 'own' brings weights of its own"):
        make_arms(read(*weights, "model.prior={name: own}", study="initialisation"))
