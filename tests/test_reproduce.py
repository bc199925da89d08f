"""make reproduce: every command that it would give is valid, and its document says what is true.

The run itself takes hours: docs/results.md is what it wrote.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
import yaml

from examples.reproduce import plan
from examples.reproduce.document import write_document
from examples.reproduce.split import split_photographs
from examples.reproduce.steps import run_side_by_side
from examples.reproduce.tables import QUALITY, read_rows
from ugpnet_core.config_files import read_config, read_settings
from ugpnet_core.image import list_images, write_image
from ugpnet_core.studies.ablation.settings import read_ablation
from ugpnet_core.studies.ablation.variants import chosen_variants, make_variants
from ugpnet_core.studies.settings import CompareConfig
from ugpnet_core.training.stages import STAGES
from ugpnet_core.training.trained_prior import prior_file_path

PLACE = plan.Place(Path("data"), Path("natural"), Path("squeezenet.safetensors"), Path("runs"))


def split(step: plan.Step) -> tuple[str, list[str], list[str]]:
    """Command, overrides and options of a step."""
    command, _, *rest = step.words
    return command, [w for w in rest if "=" in w and w[0] != "-"], [w for w in rest if w[0] == "-"]


@pytest.mark.parametrize(
    "step", [step for group in plan.trainings(PLACE) for step in group], ids=lambda step: step.name
)
def test_trainings_are_valid(step: plan.Step) -> None:
    command, overrides, options = split(step)
    assert command == "train"
    assert "--resume" in options
    config = read_config(plan.RECIPE, overrides)
    assert config.data.resolution == plan.SIDE
    assert config.name not in STAGES  # which are names of files beside it
    assert config.threads == 1
    assert (config.prior is not None) == step.name.startswith("prior")


def test_a_restoration_that_is_finished_is_not_begun_again(tmp_path: Path) -> None:
    place = plan.Place(Path("data"), None, Path("squeezenet"), tmp_path)
    before = [step.name for step in plan.trainings(place)[0]]
    (tmp_path / "deblur-nafnet").mkdir()
    (tmp_path / "deblur-nafnet" / "restoration.safetensors").touch()
    now = [step.name for step in plan.trainings(place)[0]]
    assert set(before) - set(now) == {"deblur-nafnet (restoration)"}
    assert len(plan.trainings(place)[-1]) == 6


def test_the_prior_lies_where_its_training_leaves_it() -> None:
    config = read_config(plan.RECIPE, split(plan.trainings(PLACE)[0][0])[1])
    assert prior_file_path(config) == PLACE.prior


def test_one_synthesis_module_learns_from_all_restorations_and_serves_all_models() -> None:
    *_, (synthesis, *_), models = plan.trainings(PLACE)
    config = read_config(plan.RECIPE, split(synthesis)[1])
    restorations = {config.restoration.weights, *config.synthesis.restorations}
    assert restorations == {
        PLACE.model(task, backbone).parent / "restoration.safetensors"
        for task, both in plan.TASKS.items()
        for backbone in both
    }
    assert config.synthesis.weights == PLACE.prior
    for step in models:
        one = read_config(plan.RECIPE, split(step)[1])
        assert (one.synthesis.weights, one.synthesis.iterations) == (PLACE.synthesis, 0)


def test_every_task_has_two_backbones_two_baselines_and_all_are_compared() -> None:
    settings = plan.in_yaml(plan.comparison(PLACE))
    config = CompareConfig.model_validate(yaml.safe_load(settings))
    trained = {
        read_config(plan.RECIPE, split(step)[1]).output.name
        for group in plan.trainings(PLACE)
        for step in group
    }
    for task in config.tasks:
        methods = [method for method in config.methods_for(task) if method.model]
        parts = [method.part for method in methods]
        assert sorted(parts) == ["regression"] * 2 + ["synthesis"] * 4 + ["ugpnet"] * 2
        assert sum(method.group == "generative" for method in methods) == 2
        assert {Path(method.model or "").stem for method in methods} <= trained


def test_nothing_that_chose_weights_is_measured(tmp_path: Path) -> None:
    for index in range(70):
        write_image(tmp_path / "val" / f"{index % 7}" / f"{index}.png", torch.rand(3, 4, 4))
    place = plan.Place(tmp_path, None, Path("squeezenet"), tmp_path / "runs")
    split_photographs(place)
    split_photographs(place)  # goes on, and changes nothing
    chosen, measured = (list_images([folder]) for folder in (place.choosing, place.measured))
    assert (len(chosen), len(measured)) == (64, 6)
    assert not {path.name for path in chosen} & {path.name for path in measured}
    for step in [step for group in plan.trainings(place) for step in group]:
        assert read_config(plan.RECIPE, split(step)[1]).data.validation == [place.choosing]
    few = plan.Place(tmp_path / "none", None, Path("squeezenet"), tmp_path / "few")
    (few.data / "val").mkdir(parents=True)
    with pytest.raises(ValueError, match="give more"):
        split_photographs(few)


def test_ablations_are_valid_and_train_every_variant_before_they_measure() -> None:
    seen: dict[str, set[str]] = {}
    for group in plan.ablations(PLACE):
        for step in group:
            ablation = read_ablation(Path(step.words[1]), split(step)[1])
            variants = make_variants(ablation)
            only = [word.removeprefix("--variant=") for word in split(step)[2]]
            if only:
                seen.setdefault(ablation.name, set()).update(
                    variant.key for variant in chosen_variants(variants, only)
                )
            else:
                assert seen[ablation.name] == {variant.key for variant in variants}
    assert len(seen) == 3


def test_a_full_variant_is_the_training_of_table_1() -> None:
    # Otherwise nothing would be shared, and Table 3 would stand beside other models than Table 1.
    step = plan.ablations(PLACE)[0][0]
    variants = {
        variant.key: variant
        for variant in make_variants(read_ablation(Path(step.words[1]), split(step)[1]))
    }
    for one in plan.trainings(PLACE)[-1]:
        if not one.name.startswith("deblur"):
            continue
        config = read_config(plan.RECIPE, split(one)[1])
        backbone = "HINet" if "hinet" in one.name else "NAFNet"
        left_out = {"name", "output"}
        assert variants[f"{backbone}/full"].config.model_dump(
            exclude=left_out
        ) == config.model_dump(exclude=left_out)


def test_the_studies_of_one_model_are_valid() -> None:
    curve, domains = (
        read_settings(CompareConfig, Path(step.words[1]), split(step)[1])
        for step in plan.studies(PLACE)
    )
    assert len(curve.curves_for(curve.tasks[0])["fidelity"]) == 11
    assert list(domains.data.sets) == ["portraits", "other photographs"]
    assert len(domains.models_for(domains.tasks[0])) == 1
    for config in (curve, domains):
        assert {row.model for row in config.methods} == {
            "runs/denoise-nafnet/denoise-nafnet.safetensors"
        }
    assert len(plan.studies(plan.Place(Path("data"), None, Path("squeezenet"), Path("runs")))) == 1


def test_a_step_that_fails_is_named_with_its_log(tmp_path: Path) -> None:
    steps = [plan.Step("good", ["--version"]), plan.Step("bad/one", ["no-such-command"])]
    with pytest.raises(SystemExit, match=r"bad/one failed with status 2; see .*bad-one\.log"):
        run_side_by_side(steps, 2, tmp_path)
    assert (tmp_path / "good.log").read_text().startswith("ugpnet ")
    assert "no-such-command" in (tmp_path / "bad-one.log").read_text()


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    keys = [key for key, _, _ in QUALITY]
    columns = ["task", "method", "kind", "class", "failed", *keys]
    columns += [f"{key}_{end}" for key in keys for end in ("low", "high")]
    columns += ["parameters", "macs", "seconds", "memory"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def row(task: str, method: str, kind: str, psnr: float, frechet: float) -> dict[str, object]:
    return {
        "task": task,
        "method": method,
        "kind": kind,
        "class": "ours" if kind == "ugpnet" else kind,
        "psnr": psnr,
        "psnr_low": psnr - 0.1,
        "psnr_high": psnr + 0.1,
        "frechet": frechet,
        "parameters": 1_500_000,
    }


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[plan.Place, Path]:
    """A place as after a run, with numbers by hand: deblurring with HINet is out of order."""
    runs = tmp_path / "runs"
    rows = []
    for task, backbones in plan.TASKS.items():
        for backbone in backbones:
            if backbone == backbones[0]:
                rows.append(row(task, "degraded", "degraded", 25.5 if task == "sr8" else 11, 9000))
            bad = (task, backbone) == ("deblur", "HINet")
            rows += [
                row(task, backbone, "regression", 25, 2000),
                row(task, f"synthesis on {backbone}", "synthesis", 21, 900),
                row(task, f"UGPNet with {backbone}", "ugpnet", *((20, 2500) if bad else (24, 500))),
            ]
    write_table(runs / "compare" / "table.csv", rows)
    words = {"time": "t", "memory": "m", "GMACs": "g"}
    record = {
        "settings": words,
        "versions": {"torch": "2"},
        "tasks": [{"count": 5, "protocol": {"PSNR": "in dB", "images": "5 of 5 in /secret"}}],
    }
    (runs / "compare" / "results.json").write_text(json.dumps(record))
    variants = ("(a) plain", "(b) images", "(c) UGPNet")
    write_table(
        runs / "components" / "table.csv",
        [
            row(f"w/ {backbone}", variant, "ugpnet", 24 + number, 900 - number)
            for backbone in ("NAFNet", "HINet")
            for number, variant in enumerate(variants)
        ],
    )
    write_table(
        runs / "adapters" / "table.csv",
        [row("", "(c) UGPNet", "ugpnet", 24, 500), row("", "(d) x added", "ugpnet", 25, 400)],
    )
    write_table(runs / "initialisation" / "table.csv", [row("deblur", "both", "ugpnet", 24, 500)])
    figures = runs / "fidelity" / "figures" / "denoise"
    figures.mkdir(parents=True)
    (figures / "curve.png").write_bytes(b"a picture")
    monkeypatch.setattr("examples.reproduce.document._minutes", lambda place: [])
    monkeypatch.setattr("examples.reproduce.document._precision", lambda place: "float32")
    monkeypatch.setattr(
        "examples.reproduce.document._psnr_of_regression",
        lambda model: {"skip": 27, "no-merging": 26}.get(model.parent.name, 25),
    )
    data = tmp_path / "data"
    for name in ("train", "val"):
        (data / name).mkdir(parents=True)
    for index in range(3):
        write_image(data / "train" / f"{index}.png", torch.full((3, 8, 8), index / 4))
    return plan.Place(data, None, Path("squeezenet"), runs), tmp_path / "docs" / "results.md"


def test_the_document_says_where_the_order_of_the_paper_shows(
    measured: tuple[plan.Place, Path],
) -> None:
    place, path = measured
    path.parent.mkdir()
    write_document(place, path)
    text = path.read_text(encoding="utf-8")
    assert text.count("The paper's order of PSNR shows") == 5
    assert text.count("does **not** show") == 1
    assert "is **not** below that of the regression (1.25 times)" in text
    assert "24.00 [23.90, 24.10]" in text
    assert "| ours | UGPNet with NAFNet | 24.00" in text
    assert text.count("does not reach the 25.50 dB of the degraded images") == 2
    assert text.count("as in the paper, the full model is the best in both") == 2
    assert "3 portraits here" in text
    assert "`val` (69 portraits of other people)" in text
    assert "The other 5 are measured on" in text
    assert "(d): +1.00 dB and 0.80 times the Fréchet distance against (c) UGPNet" in text
    assert "chose: (a) 26.00, (c) 25.00, (d) 27.00 dB." in text
    assert "/secret" not in text  # no path of a machine
    assert (path.with_suffix("") / "fidelity.png").read_bytes() == b"a picture"


def test_rows_keep_what_the_table_holds(measured: tuple[plan.Place, Path]) -> None:
    rows = read_rows(measured[0].runs / "compare" / "table.csv")
    assert len(rows) == 21
    assert rows[1].shown("psnr", 2) == "25.00 [24.90, 25.10]"
    assert rows[1].shown("frechet", 0) == "2,000"
    assert rows[1].shown("lpips", 3) == "–"
