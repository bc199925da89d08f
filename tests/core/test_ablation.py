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
from ugpnet_core.studies.ablation.settings import AblationConfig, read_ablation
from ugpnet_core.studies.ablation.train import check_variants, train_variants, unfinished
from ugpnet_core.studies.ablation.variants import Variant, chosen_variants, make_variants
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
        content = {"name": "study", "output": str(tmp_path / "variants"), "base": str(base)}
        path = tmp_path / "ablation.yaml"
        path.write_text(yaml.safe_dump({**content, **settings}, sort_keys=False))
        return read_ablation(path, overrides)

    return make


def by_key(variants: list[Variant]) -> dict[str, Variant]:
    return {variant.key: variant for variant in variants}


# Which trainings


def test_network_components_are_three_trainings_that_differ_in_one_setting(read: Read) -> None:
    variants = make_variants(read(study="network-components"))
    assert [variant.key for variant in variants] == ["no-merging", "image-fusion", "full"]
    models = [variant.config.model for variant in variants]
    assert [model.adapter for model in models] == ["plain", "merging", "merging"]
    assert [model.fusion_inputs for model in models] == ["features", "images", "features"]
    common = [
        variant.config.model_copy(update={"model": None, "name": "", "output": 0})
        for variant in variants
    ]
    assert common[0] == common[1] == common[2]
    assert {variant.config.output.name for variant in variants} == {
        "no-merging",
        "image-fusion",
        "full",
    }
    assert len({variant.config.name for variant in variants}) == 3


def test_initialisation_is_all_four_combinations(read: Read) -> None:
    overrides = ("restoration.weights=r.pth", "synthesis.weights=g.pkl", "prior=null")
    variants = make_variants(read(*overrides, study="initialisation"))
    weights = {
        variant.title: (variant.config.restoration.weights, variant.config.synthesis.weights)
        for variant in variants
    }
    r, g = Path("r.pth"), Path("g.pkl")
    assert weights == {
        "R and G random": (None, None),
        "R random, G pretrained": (None, g),
        "R pretrained, G random": (r, None),
        "R and G pretrained": (r, g),
    }


def test_variants_may_have_the_name_of_before(read: Read) -> None:
    assert [variant.key for variant in make_variants(read(arms=[{"name": "a"}]))] == ["a"]


def test_variants_are_crossed_with_backbones_that_bring_their_settings(read: Read) -> None:
    variants = make_variants(
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
    assert [variant.key for variant in variants] == [
        f"{backbone}/{name}"
        for backbone in ("NAFNet", "HI Net")
        for name in ("no-merging", "image-fusion", "full")
    ]
    hinet = by_key(variants)["HI Net/full"].config
    # The options of the base belong to its own backbone.
    assert hinet.model.backbone.model_dump() == HINET
    assert hinet.name == "study-HI-Net-full"
    assert hinet.output.parts[-2:] == ("HI Net", "full")
    assert (hinet.seed, hinet.restoration.iterations) == (5, 7)
    assert hinet.restoration.learning_rate == 2e-4
    assert by_key(variants)["NAFNet/full"].config.restoration.learning_rate == 1e-4
    assert [
        variant.key for variant in chosen_variants(variants, ["full", "HI Net/no-merging"])
    ] == [
        "NAFNet/full",
        "HI Net/no-merging",
        "HI Net/full",
    ]
    assert len(chosen_variants(variants, ["NAFNet"])) == 3
    assert chosen_variants(variants, []) == variants
    with pytest.raises(ConfigError, match=r"no variant 'fall'; there are: NAFNet/no-merging, "):
        chosen_variants(variants, ["fall"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give either 'study' or 'variants'"),
        (
            {"study": "initialisation", "variants": [{"name": "a"}]},
            "give either 'study' or 'variants'",
        ),
        ({"study": "components"}, "study: Input should be 'network-components'"),
        ({"variants": [{"name": "a"}, {"name": "a"}]}, "Two variants are called 'a'"),
        ({"variants": [{"name": "a/b"}]}, "'a/b' is no name of variants; choose one"),
        ({"variants": [{"name": "a"}, {"name": "b"}]}, "'a' and 'b' are the same training"),
        (
            {"variants": [{"name": "a", "changes": {"fusion": {"iterations": 3}}}]},
            r"Variant 'a' would replace the whole section 'fusion'; .* 'fusion\.iterations: VALUE'",
        ),
        (
            {"variants": [{"name": "a", "changes": {"fusion.iteratoins": 3}}]},
            r"base\.yaml as variant 'a': fusion\.iteratoins: ",
        ),
        (
            {"variants": [{"name": "a", "changes": {"seed.b": 3}}], "changes": {"seed": 1}},
            "Variant 'a': seed.b: 'seed' is a value",
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
        make_variants(read(**settings))


def test_what_would_stop_a_variant_is_found_before_the_first_starts(
    read: Read, tmp_path: Path
) -> None:
    def check(**settings: Any) -> None:
        check_variants(make_variants(read(**settings)))

    wrong = [{"name": "right"}, {"name": "wrong", "changes": {"model.backbone.options.width": 0}}]
    with pytest.raises(ConfigError, match=r"Variant wrong: .*width"):
        check(variants=wrong)
    gone = {"restoration.weights": str(tmp_path / "gone.pth")}
    with pytest.raises(WeightsError, match=r"Variant pre: There is no weights file"):
        check(variants=[{"name": "pre", "changes": gone}])
    direct = {"name": "unet", "options": {"kind": "direct"}}
    with pytest.raises(ConfigError, match=r"Variant U/no-merging: backbone '.*' is direct"):
        check(study="network-components", backbones={"U": direct})
    assert not (tmp_path / "variants").exists()


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
) -> tuple[list[Variant], list[str]]:
    """Study network-components with two backbones, trained; and what was said."""
    folder = tmp_path_factory.mktemp("components")
    base = folder / "base.yaml"
    base.write_text(yaml.safe_dump(training_settings))
    config = folder / "ablation.yaml"
    settings = {
        "name": "table3",
        "output": str(folder / "variants"),
        "base": str(base),
        "study": "network-components",
        "backbones": {
            "NAFNet": training_settings["model"]["backbone"],
            "HINet": HINET,
        },
    }
    config.write_text(yaml.safe_dump(settings, sort_keys=False))
    variants = make_variants(read_ablation(config))
    said: list[str] = []
    check_variants(variants)
    train_variants(variants, variants, say=said.append)
    return variants, said


def test_what_variants_have_in_common_is_trained_once(
    components: tuple[list[Variant], list[str]],
) -> None:
    variants, said = components
    assert not unfinished(variants)
    # One prior; of each backbone (a) restoration, synthesis, fusion; (b) and (c) share the first.
    assert trained(said) == ["fusion"] * 6 + ["prior"] + ["restoration"] * 4 + ["synthesis"] * 4
    keys = [line.split(",")[0] for line in said if line.startswith("Variant ")]
    assert keys[0] == "Variant 1 of 6: NAFNet/no-merging"
    assert len(keys) == 6
    kinds = set()
    for variant in variants:
        model = load_model(variant.model_file)
        kinds.add((model.config.backbone.name, type(model.restoration).__name__))
        assert model.fusion_inputs is not None
    assert len(kinds) == 4


def test_a_shared_training_gives_the_bits_of_one_that_shares_nothing(
    components: tuple[list[Variant], list[str]], tmp_path: Path
) -> None:
    variants, _ = components
    for key in ("NAFNet/full", "HINet/no-merging"):
        variant = by_key(variants)[key]
        alone = variant.config.model_copy(update={"output": tmp_path / key})
        train(alone)
        ours, theirs = (
            load_model(variant.model_file),
            load_model(alone.output / f"{alone.name}.safetensors"),
        )
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)


def test_finished_variants_are_skipped_and_stopped_ones_go_on(read: Read) -> None:
    variants = make_variants(
        read(
            "prior=null",
            "checkpoint_every=1",
            variants=[{"name": "a"}, {"name": "b", "changes": {"fusion.learning_rate": 2e-3}}],
        )
    )
    said: list[str] = []

    def stop_in_b(line: str) -> None:
        said.append(line)
        if line.startswith("Stage synthesis is the same as that of") and said[0] != line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_variants(variants, variants, say=stop_in_b)
    assert unfinished(variants) == [variants[1]]
    again: list[str] = []
    train_variants(variants, variants, say=again.append)
    assert not unfinished(variants)
    assert not [line for line in again if "restoration is the same" in line]
    before = result_path(variants[0].config.output, "fusion").stat().st_mtime_ns
    train_variants(variants, variants, say=again.append)
    assert result_path(variants[0].config.output, "fusion").stat().st_mtime_ns == before


def test_a_variant_whose_settings_changed_since_is_refused(read: Read) -> None:
    variants = make_variants(read("prior=null", variants=[{"name": "a"}]))
    train_variants(variants, variants)
    changed = make_variants(read("prior=null", "fusion.iterations=3", variants=[{"name": "a"}]))
    with pytest.raises(TrainingError, match=r"settings\.iterations \(was 2, is 3\)"):
        train_variants(changed, changed)


def test_stages_of_other_trainings_are_taken_over(
    read: Read, components: tuple[list[Variant], list[str]]
) -> None:
    done = by_key(components[0])["NAFNet/full"].config.output
    variants = make_variants(
        read(variants=[{"name": "longer", "changes": {"fusion.iterations": 3}}])
    )
    said: list[str] = []
    train_variants(variants, variants, reuse=[done], say=said.append)
    assert trained(said) == ["fusion"]
    assert read_result(result_path(variants[0].config.output, "fusion"))[2]["iterations"] == 3


def test_pretrained_networks_of_the_study_come_from_earlier_trainings(
    read: Read, components: tuple[list[Variant], list[str]]
) -> None:
    plain = by_key(components[0])["NAFNet/no-merging"].config
    prior = plain.output / f"{plain.name}-prior.safetensors"
    variants = make_variants(
        read(
            f"restoration.weights={result_path(plain.output, 'restoration')}",
            f"synthesis.weights={prior}",
            "prior=null",
            study="initialisation",
        )
    )
    check_variants(variants)
    said: list[str] = []
    train_variants(variants, variants, say=said.append)
    # Each restoration serves two variants; synthesis starts from R and G, so that all four differ.
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
        make_variants(read(*weights, "model.prior={name: own}", study="initialisation"))
