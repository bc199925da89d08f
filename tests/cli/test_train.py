"""``ugpnet train`` and ``ugpnet config-schema``: settings, messages, exit statuses."""

from __future__ import annotations

import json
import re
from operator import ge, gt, le, lt
from pathlib import Path
from typing import Any

import pytest
import yaml

from ugpnet_core import cli
from ugpnet_core.config import TrainConfig
from ugpnet_core.config_files import config_schema, read_config
from ugpnet_core.errors import ConfigError
from ugpnet_core.training import run

EXAMPLES = Path(__file__).parents[2] / "examples" / "configs"
# Others are of ugpnet compare and ugpnet ablate.
TRAININGS = [
    path
    for path in sorted(EXAMPLES.rglob("*.yaml"))
    if "train" in yaml.safe_load(path.read_text(encoding="utf-8")).get("data", {})
]


@pytest.fixture
def config_file(training_settings: dict[str, Any], tmp_path: Path) -> Path:
    """The smallest training without a prior stage, as a file."""
    content = {**training_settings, "output": str(tmp_path / "run")}
    del content["prior"]
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


# Settings


def test_overrides_reach_any_depth_and_any_kind_of_value(config_file: Path) -> None:
    config = read_config(
        config_file,
        [
            "fusion.iterations=7",
            "model.backbone.options.enc_blk_nums=[2, 3]",
            "data.train=[one, two]",
            "prior.learning_rate=1e-3",
            "prior.iterations=9",
            "restoration.ema=null",
            "name=a=b",
            "data.flip=false",
        ],
    )
    assert config.fusion.iterations == 7
    assert config.fusion.batch_size == 2
    assert config.model.backbone.options["enc_blk_nums"] == [2, 3]
    assert config.model.backbone.options["width"] == 4
    assert config.data.train == [Path("one"), Path("two")]
    assert config.prior is not None
    assert config.prior.learning_rate == 1e-3
    assert config.restoration.ema is None
    assert config.name == "a=b"
    assert config.data.flip is False


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fusion.iterations", "'fusion.iterations' is no override; write it as key"),
        ("=3", "is no override"),
        ("fusion..iterations=3", "is no override"),
        ("fusion.iterations=[", "is no YAML"),
        ("fusion.iterations=-1", "fusion.iterations: .*greater than or equal to 0"),
        ("fusion.iteratoins=3", "fusion.iteratoins: "),
        ("fusion.iterations=many", "fusion.iterations: .*integer"),
        ("data.train=one", "data.train: .*list"),
        ("data.train.0=one", "'train' is a value, not a section"),
        ("restoration.schedule=step", "restoration: .*schedule 'step' needs decay_at"),
        ("nothing.at.all=1", "nothing: "),
        ("precision=half", "precision: .*'float32' or 'bfloat16'"),
        ("model.backbone=null", "model.backbone: "),
    ],
)
def test_bad_overrides_are_named(config_file: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config(config_file, [override])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "is no YAML"),
        ("- a list", "holds no settings"),
        ("", "holds no settings"),
        ("name: a\noutput: b\n", "data: Field required"),
        (
            "fusion: {iterations: 3}\nfusion: {batch_size: 4}\n",
            "'fusion' stands twice, again in line 2",
        ),
        ("fusion: {iterations: 3, iterations: 4}\n", "'iterations' stands twice, again in line 1"),
        ("data: {train: [], validation: [x]}\nname: a\noutput: b\n", "data.train: .*at least 1"),
        (b"name: \xff\xfe", "is no YAML"),
    ],
)
def test_bad_files_are_named_with_the_key(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=f"{path}.*{message}"):
        read_config(path)


def test_anchors_and_merges_still_work(tmp_path: Path, config_file: Path) -> None:
    path = tmp_path / "merged.yaml"
    content = yaml.safe_load(config_file.read_text())
    del content["fusion"], content["restoration"]
    shared = "restoration: &shared {iterations: 3, batch_size: 4}\n"
    path.write_text(shared + "fusion: {<<: *shared, iterations: 5}\n" + yaml.safe_dump(content))
    config = read_config(path)
    assert (config.fusion.iterations, config.fusion.batch_size) == (5, 4)


# The schema, checked by the rules of JSON Schema that it uses


BOUNDS = {"minimum": ge, "maximum": le, "exclusiveMinimum": gt, "exclusiveMaximum": lt}


def problems(schema: dict[str, Any], value: Any, root: dict[str, Any], at: str = "") -> list[str]:
    """What is wrong with a value; an unknown keyword is an error, so that none is overlooked."""
    known = {"title", "description", "default", "$defs"}
    found: list[str] = []
    types: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
        "null": type(None),
    }
    for word, rule in schema.items():
        if word in known or word in {"format", "properties", "prefixItems"}:
            continue
        if word == "$ref":
            found += problems(root["$defs"][rule.rpartition("/")[2]], value, root, at)
        elif word == "anyOf":
            tried = [problems(one, value, root, at) for one in rule]
            found += [] if [] in tried else tried[0]
        elif word == "type":
            is_bool = isinstance(value, bool) and rule != "boolean"
            found += [] if isinstance(value, types[rule]) and not is_bool else [f"{at}: {rule}"]
        elif word in {"required", "additionalProperties"} and not isinstance(value, dict):
            continue  # such rules hold for objects, and say nothing of anything else
        elif word == "required":
            found += [f"{at}.{key}: required" for key in rule if key not in value]
        elif word == "additionalProperties":
            extra = value.keys() - schema.get("properties", {}).keys()
            found += [f"{at}.{key}: unknown" for key in extra if rule is False]
        elif word == "items":
            for index, item in enumerate(value):
                found += problems(rule, item, root, f"{at}[{index}]")
        elif word in {"minItems", "maxItems"}:
            right = len(value) >= rule if word == "minItems" else len(value) <= rule
            found += [] if right else [f"{at}: {word}"]
        elif word in {"enum", "const"}:
            found += [] if value in (rule if word == "enum" else [rule]) else [f"{at}: {word}"]
        elif word in BOUNDS:
            compare = BOUNDS[word]
            # Such a rule holds for numbers, and says nothing of anything else.
            right = not isinstance(value, (int, float)) or compare(value, rule)
            found += [] if right else [f"{at}: {word}"]
        else:
            raise AssertionError(f"the schema uses {word!r}, which this check does not know")
    if isinstance(value, dict):
        for key, rule in schema.get("properties", {}).items():
            if key in value:
                found += problems(rule, value[key], root, f"{at}.{key}")
    return found


@pytest.mark.parametrize("example", TRAININGS, ids=lambda path: path.stem)
def test_the_schema_accepts_our_examples(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config-schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    content = yaml.safe_load(example.read_text())
    assert problems(schema, content, schema) == []
    assert read_config(example).name == content["name"]


def test_the_examples_are_found() -> None:
    assert {"small", "denoise", "deblur"} <= {path.stem for path in TRAININGS}


def test_the_schema_refuses_what_the_toolkit_refuses(config_file: Path) -> None:
    schema = config_schema()
    content = yaml.safe_load(config_file.read_text())
    assert problems(schema, content, schema) == []
    content["fusion"] = {"iteratoins": 3, "batch_size": 0, "ema": 1.5, "schedule": "linear"}
    content["data"] = {"train": []}
    found = problems(schema, content, schema)
    for part in ("iteratoins", "batch_size", "ema", "schedule", "data.validation", "data.train"):
        assert any(part in problem for problem in found), part


def test_every_setting_has_a_place_in_the_schema(config_file: Path) -> None:
    properties = config_schema()["properties"]
    assert properties.keys() == TrainConfig.model_fields.keys()


# The command


def test_train_writes_a_model_and_says_where(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", str(config_file), "fusion.iterations=1", "--stage", "all"]) == 0
    shown = capsys.readouterr()
    model = tmp_path / "run" / "tiny.safetensors"
    assert model.is_file()
    assert f"The model is finished: {model}" in shown.err
    assert "\x1b" not in shown.err  # no terminal, no control characters
    assert re.search(r"fusion 1: PSNR \d+\.\d+ dB", shown.err)
    assert shown.out == ""


def test_errors_are_one_line_and_have_their_exit_status(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, status, message in (
        (["gone.yaml"], 2, "gone.yaml cannot be read"),
        ([str(config_file), "fusion.iterations=0"], 2, "fusion: iterations 0 keeps"),
        (
            [str(config_file), "data.train=[{clean: a, degraded: b, pattern: x4}]"],
            2,
            ": data.train.0: a pattern has {stem} where the name of the clean image stands.",
        ),
        ([str(config_file), "data.train=[{clean: a}]"], 2, ": data.train.0.degraded: Field req"),
        ([str(config_file), "data.train=[nowhere]"], 1, "There is no folder nowhere"),
        ([str(config_file), "--stage", "fusion"], 1, "Stage fusion starts from stage restoration"),
        ([str(config_file), "--stage", "prior"], 2, "no section 'prior'"),
        ([str(config_file), "perceptual.weights=gone"], 1, "perceptual.weights: PATH"),
    ):
        assert cli.main(["train", *words]) == status, words
        shown = capsys.readouterr().err
        assert message in shown
        assert len(shown.splitlines()) == 1, shown
    assert cli.main(["train", str(config_file), "--stage", "everything"]) == 2
    assert not (tmp_path / "run").exists()


def test_ctrl_c_says_how_to_go_on(
    config_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_stage", interrupted)
    words = ["train", str(config_file), "name=two words", "--stage", "restoration"]
    words += ["--reuse", "an other", "--reuse", "b"]
    assert cli.main(words) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    command = f"ugpnet train {config_file} 'name=two words' --resume --stage restoration"
    command += " '--reuse=an other' --reuse=b"
    assert last == f"Stopped. Go on with: {command}"
