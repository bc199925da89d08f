"""docs/plugins.md is complete, and everything on it works in the order in which it stands."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from ugpnet_core.image import write_image
from ugpnet_core.plugins import HOOKS, BackboneEntry, Preset
from ugpnet_core.protocols import Backbone, SupervisedBackbone
from ugpnet_core.testing import check_names

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
Environment = Callable[..., "subprocess.CompletedProcess[str]"]
# What a command of the document lacks to run here: without a network connection, and in seconds.
OFFLINE = ["-q", "--no-deps", "--no-index", "--no-build-isolation"]
ADDED = {
    "pip install": OFFLINE,
    "pip wheel": OFFLINE,
    "ugpnet train my-net.yaml --resume": [
        f"{stage}.iterations=1" for stage in ("prior", "restoration", "synthesis", "fusion")
    ],
}
# Runs actions in one process, because importing torch takes longer than most of them.
DRIVER = """
import contextlib, io, json, shlex, sys
from ugpnet_core.cli import main
for kind, text, said in json.loads(sys.argv[1]):
    if kind == "python":
        exec(text, {"__name__": "block"})
        continue
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors) if said else contextlib.nullcontext():
        status = main(shlex.split(text)[1:])
    assert status == (1 if said else 0), (text, status, errors.getvalue())
    assert errors.getvalue().strip() == said, (text, errors.getvalue())
"""


class Block(NamedTuple):
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that the block is the content of, named in its first line."""
        found = re.match(r"# (\S+\.(?:py|toml|yaml))\n", self.text)
        return found.group(1) if found else None


def blocks() -> list[Block]:
    found = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, flags=re.M | re.S)
    return [Block(*one) for one in found]


class Reader:
    """Does what the document says, in a folder with photographs."""

    def __init__(self, folder: Path, run: Environment) -> None:
        self.folder = folder
        self.run = run
        self.waiting: list[tuple[str, str, str]] = []

    def follow(self, block: Block) -> None:
        if block.file is not None:
            path = self.folder / block.file
            if path.exists():
                # A process that has imported the old one would not see the new one.
                self.flush()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            self.waiting.append(("python", block.text, ""))
        elif block.language == "console":
            command, said = block.text.removeprefix("$ ").rstrip().split("\n")
            self.waiting.append(("ugpnet", command, said))
        else:
            assert block.language == "bash", block.language
            for line in block.text.splitlines():
                self.type(shlex.split(line, comments=True))

    def type(self, words: list[str]) -> None:
        line = shlex.join(words)
        for start, more in ADDED.items():
            if f"{line} ".startswith(f"{start} "):
                words = [*words, *more]
        if words[0] == "ugpnet":
            self.waiting.append(("ugpnet", shlex.join(words), ""))
            return
        self.flush()
        assert words[0] in ("pip", "pytest"), line
        self.run("-m", *words, cwd=self.folder)

    def flush(self) -> None:
        if self.waiting:
            cache = str(self.folder / "cache")
            self.run("-c", DRIVER, json.dumps(self.waiting), cwd=self.folder, UGPNET_CACHE=cache)
            self.waiting = []


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    for name in ("anna", "ben", "carla"):
        smooth = torch.rand(1, 3, 5, 4)
        image = torch.nn.functional.interpolate(smooth, (70, 64), mode="bilinear")[0]
        write_image(tmp_path / "photos" / f"{name}.png", image)
    return tmp_path


def test_following_the_document_leads_to_a_trained_model(
    photos: Path, fresh_environment: Callable[[], Environment]
) -> None:
    reader = Reader(photos, fresh_environment())
    for block in blocks():
        reader.follow(block)
    reader.flush()
    for made in (
        "my-net/.github/workflows/test.yml",
        "runs/trial/my-net.safetensors",
        "trial/summary.json",
        "restored/anna.png",
        "runs/my-net/my-net.safetensors",
        "wheels/my_net-0.1.0-py3-none-any.whl",
    ):
        assert (photos / made).is_file(), f"{made} was not made"


def test_the_files_of_the_document_alone_are_a_distribution(
    tmp_path: Path, fresh_environment: Callable[[], Environment]
) -> None:
    run = fresh_environment()
    reader = Reader(tmp_path, run)
    for block in blocks():
        if (block.file or "").startswith("my-net/"):
            reader.follow(block)
    run("-m", "ruff", "check", "--line-length=100", str(tmp_path / "my-net"))
    run("-m", "pip", "install", *OFFLINE, str(tmp_path / "my-net"))
    shutil.rmtree(tmp_path / "my-net" / "my_net")
    listing = json.loads(run("-m", "ugpnet_core.cli", "list-backbones", "--json").stdout)
    assert not listing["problems"]
    (mine,) = (one for one in listing["backbones"] if one["name"] == "my-net")
    assert mine["distribution"] == "my-net"
    done = run("-m", "pytest", "-p", "no:cacheprovider", str(tmp_path / "my-net"))
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_the_wrapped_network_is_a_backbone() -> None:
    (text,) = (block.text for block in blocks() if block.file == "my-net/my_net/foreign.py")
    names: dict[str, object] = {"__name__": "foreign"}
    exec(text, names)
    make, foreign = names["make"], names["ForeignNet"]
    assert callable(make)
    assert callable(foreign)
    torch.manual_seed(0)
    backbone = make(width=4)
    torch.manual_seed(0)
    network = foreign(width=4)
    x = torch.rand(1, 3, 8, 12)
    torch.testing.assert_close(backbone(x), network(x))
    assert backbone.forward_features(x).shape == (1, 4, 8, 12)
    assert backbone(torch.rand(1, 3, 7, 5)).shape == (1, 3, 7, 5)


def test_the_network_with_several_outputs_is_trained_on_all() -> None:
    (text,) = (block.text for block in blocks() if "class TwoStages" in block.text)
    names: dict[str, object] = {"__name__": "stages"}
    exec(text, names)
    make = names["TwoStages"]
    assert callable(make)
    backbone = make()
    assert isinstance(backbone, SupervisedBackbone)
    x = torch.rand(1, 3, 8, 8)
    features, (image,) = backbone.forward_supervised(x)
    torch.testing.assert_close(features, backbone.forward_features(x))
    assert image.shape == x.shape


# Completeness: what is not in the document does not exist for its reader.


def table(title: str) -> set[str]:
    """The names in the first column of the table with this title over that column."""
    (rows,) = re.findall(rf"^\| {re.escape(title)} \|.*\n\|-.*\n((?:\|.*\n)+)", TEXT, flags=re.M)
    return {name for row in rows.splitlines() for name in re.findall(r"`(.+?)`", row.split("|")[1])}


def test_every_hook_is_documented_with_its_signature() -> None:
    assert table("hook") == {f"{hook}() -> list[{one.__name__}]" for hook, one in HOOKS.items()}


@pytest.mark.parametrize("entry", [BackboneEntry, Preset])
def test_every_field_is_documented(entry: type[BackboneEntry] | type[Preset]) -> None:
    fields = {field.name for field in dataclasses.fields(entry)}
    assert table(f"field of `{entry.__name__}`") == fields


def test_every_member_of_a_backbone_is_documented() -> None:
    methods = {"forward_features(x)", "head(f)"}
    assert table("member") == {*Backbone.__annotations__, *methods}
    described = " ".join((Backbone.__doc__ or "").split())
    optional = set(re.findall(r"- ``(\w+)``", described))
    assert {"fixed_size", "forward_supervised"} <= optional
    for name in optional:
        assert re.search(rf"`(self\.)?{name}\b", TEXT), name


def test_every_check_is_documented() -> None:
    assert table("check") == set(check_names())


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
