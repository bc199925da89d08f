"""docs/degradations.md is complete, and everything on it works in the order in which it stands."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from ugpnet_core.config import TrainConfig
from ugpnet_core.degradations.entries import PhotoOptions, ugpnet_tasks
from ugpnet_core.degradations.motion import Deblur
from ugpnet_core.degradations.photo import Photo
from ugpnet_core.degradations.step_options import STEP_OPTIONS
from ugpnet_core.factory import create_task_at
from ugpnet_core.image import read_image, write_image
from ugpnet_core.plugins import TaskEntry

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "degradations.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, flags=re.M | re.S)
NAMED = re.compile(r"# (\S+\.(?:py|toml|yaml))\n")
Environment = Callable[..., "subprocess.CompletedProcess[str]"]
OFFLINE = ("-q", "--no-deps", "--no-index", "--no-build-isolation")
# Runs commands in one process, because importing torch takes longer than most of them.
DRIVER = """
import json, shlex, sys
from ugpnet_core.cli import main
for line in json.loads(sys.argv[1]):
    assert main(shlex.split(line)[1:]) == 0, line
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    for name in ("anna", "ben"):
        smooth = torch.rand(1, 3, 5, 4)
        image = torch.nn.functional.interpolate(smooth, (40, 36), mode="bilinear")[0]
        write_image(tmp_path / "photos" / f"{name}.png", image)
    return tmp_path


def test_following_the_document(folder: Path, fresh_environment: Callable[[], Environment]) -> None:
    run = fresh_environment()
    waiting: list[str] = []

    def flush() -> None:
        run("-c", DRIVER, json.dumps(waiting), cwd=folder, UGPNET_CACHE=str(folder / "cache"))
        waiting.clear()

    for language, text in BLOCKS:
        if named := NAMED.match(text):
            path = folder / named[1]
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            continue
        assert language == "bash", language
        for line in text.splitlines():
            words = shlex.split(line)
            if words[0] == "pip":
                flush()
                run("-m", *words, *OFFLINE, cwd=folder)
            else:
                assert words[0] == "ugpnet", line
                waiting.append(line)
    flush()
    for made in (
        *("noisy", "blurred", "small", "everyday"),
        *("shaken", "old", "film", "either", "faded"),
    ):
        assert {path.name for path in (folder / made).iterdir()} == {"anna.png", "ben.png"}
    assert read_image(folder / "small" / "ben.png").pixels.shape == (3, 14, 12)
    assert read_image(folder / "old" / "ben.png").pixels.shape == (3, 20, 18)
    assert (folder / "shakes.png").read_bytes() == (folder / "again.png").read_bytes()
    clean, faded = (read_image(folder / name / "anna.png").pixels for name in ("photos", "faded"))
    assert faded.std() < 0.95 * clean.std()
    film = read_image(folder / "film" / "anna.png").pixels - clean
    assert film.std() > 0.01
    for trained in ("churches", "as-photo", "darker", "old-photos", "plain", "faded"):
        assert any((folder / "runs" / trained).rglob("*.safetensors")), trained


def configuration(name: str) -> TrainConfig:
    (text,) = (text for _, text in BLOCKS if text.startswith(f"# {name}\n"))
    return TrainConfig.model_validate(yaml.safe_load(text))


def test_the_kernels_of_churches_are_the_papers() -> None:
    task = create_task_at(configuration("churches.yaml").model.task, 256)
    assert isinstance(task, Deblur)
    assert task.count() == 2000
    assert task.kernel(1999).shape == (51, 51)


def test_the_steps_of_photo_are_those_of_the_code() -> None:
    options = configuration("as-photo.yaml").model.task.options
    assert options == {"resolution": 512, "steps": Photo().steps()}
    rows = table("option of `photo`")
    defaults = PhotoOptions().model_dump()
    assert list(rows) == list(defaults)
    for name, often in defaults.items():
        assert rows[name].split("|")[2].strip() == as_documented(often), name
    twice = 1 - (1 - defaults["jpeg"]) ** 2
    assert f"{100 * twice:.0f} of 100" in rows["jpeg"]


# Completeness: what is not in the document does not exist for its reader.


def table(title: str) -> dict[str, str]:
    """The rows of the table with this title over its first column, by the names in that column."""
    (rows,) = re.findall(rf"^\| {re.escape(title)} \|.*\n\|-.*\n((?:\|.*\n)+)", TEXT, flags=re.M)
    return {
        name: row for row in rows.splitlines() for name in re.findall(r"`(.+?)`", row.split("|")[1])
    }


def test_every_task_is_documented() -> None:
    assert set(table("task")) == {entry.name for entry in ugpnet_tasks()}


def as_documented(default: object) -> str:
    if isinstance(default, tuple):
        return f"[{', '.join(map(as_documented, default))}]"
    if default is None:
        return "none"
    return f"{default:.4g}" if isinstance(default, float) else str(default)


def test_every_option_of_every_step_is_documented_with_its_default() -> None:
    rows = table("step")
    assert list(rows) == list(STEP_OPTIONS)
    for name, options in STEP_OPTIONS.items():
        own = {key: field for key, field in options.model_fields.items() if key != "probability"}
        for option, field in own.items():
            default = "required" if field.is_required() else as_documented(field.default)
            assert f"`{option}` {default}" in rows[name], (name, option)
        assert own or rows[name].startswith(f"| `{name}` | none: ")
        probability = options.model_fields["probability"].default
        assert f"Every step also takes `probability` {as_documented(probability)}: " in TEXT


def test_every_field_is_documented() -> None:
    assert list(table("field of `TaskEntry`")) == [f.name for f in dataclasses.fields(TaskEntry)]
