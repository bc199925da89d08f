"""docs/priors.md is complete, and everything on it works in the order in which it stands."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

import ugpnet_core as ug
from ugpnet_core.image import write_image
from ugpnet_core.plugins import PriorEntry
from ugpnet_core.plugins.locations import parse_location
from ugpnet_core.plugins.wellformed import fault_of
from ugpnet_core.protocols import Prior, TrainablePrior
from ugpnet_core.testing import check_names

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "priors.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, flags=re.M | re.S)
Environment = Callable[..., "subprocess.CompletedProcess[str]"]
OFFLINE = ("-q", "--no-deps", "--no-index", "--no-build-isolation")
# Runs actions in one process, because importing torch takes longer than most of them.
DRIVER = """
import json, shlex, sys
from ugpnet_core.cli import main
for language, text in json.loads(sys.argv[1]):
    if language == "python":
        exec(text, {"__name__": "block"})
    else:
        assert main(shlex.split(text)[1:]) == 0, text
"""


@pytest.fixture
def folder(tmp_path: Path, squeezenet: Path) -> Path:
    """What the document takes for granted: photographs, a published checkpoint, perceptual
    weights, the example."""
    torch.manual_seed(0)
    for name in ("anna", "ben"):
        smooth = torch.rand(1, 3, 5, 4)
        image = nn.functional.interpolate(smooth, (40, 36), mode="bilinear")[0]
        write_image(tmp_path / "photos" / f"{name}.png", image)
    options: dict[str, Any] = {"resolution": 16, "style_dim": 8, "num_mlp": 2, "narrow": 1 / 64}
    published = cast(nn.Module, ug.create_prior("stylegan2", **options, base_size=8))
    torch.save({"params_ema": published.state_dict()}, tmp_path / "stylegan2-faces.pth")
    shutil.copy(squeezenet, tmp_path / "squeezenet.safetensors")
    junk = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    example = tmp_path / "examples" / "custom_prior"
    shutil.copytree(ROOT / "examples" / "custom_prior", example, ignore=junk)
    return tmp_path


def test_following_the_document(folder: Path, fresh_environment: Callable[[], Environment]) -> None:
    run = fresh_environment()
    waiting: list[tuple[str, str]] = []

    def flush() -> None:
        run("-c", DRIVER, json.dumps(waiting), cwd=folder, UGPNET_CACHE=str(folder / "cache"))
        waiting.clear()

    for language, text in BLOCKS:
        if named := re.match(r"# (\w+\.(?:py|yaml))\n", text):
            (folder / named[1]).write_text(text, encoding="utf-8")
        elif language == "python":
            waiting.append((language, text))
        else:
            assert language == "bash", language
            for line in text.splitlines():
                words = shlex.split(line, comments=True)
                if words[0] == "pip":
                    flush()
                    run("-m", *words, *OFFLINE, cwd=folder)
                else:
                    assert words[0] == "ugpnet", line
                    waiting.append((language, shlex.join(words)))
    flush()
    for made in (
        "runs/mine/mine-prior.safetensors",
        "faces.safetensors",
        "grid.png",
        "other.png",
        "mine.png",
        "inverted/anna.png",
        "inverted/ben.png",
        "anna-inverted.png",
        "runs/restorer/restorer.safetensors",
        "restored/ben.png",
        "runs/film/film-prior.safetensors",
        "film.png",
        "offline.png",
    ):
        assert (folder / made).is_file(), f"{made} was not made"


def test_the_entry_is_well_formed() -> None:
    (text,) = (text for language, text in BLOCKS if "hookimpl" in text)
    names: dict[str, Any] = {}
    exec(text, names)
    (entry,) = names["ugpnet_priors"]()
    assert isinstance(entry, PriorEntry)
    assert fault_of(entry) is None


# Completeness: what is not in the document does not exist for its reader.


def table(title: str) -> list[str]:
    """The names in the first column of the table with this title over that column."""
    (rows,) = re.findall(rf"^\| {re.escape(title)} \|.*\n\|-.*\n((?:\|.*\n)+)", TEXT, flags=re.M)
    return [name for row in rows.splitlines() for name in re.findall(r"`(.+?)`", row.split("|")[1])]


def test_every_field_is_documented() -> None:
    fields = [field.name for field in dataclasses.fields(PriorEntry)]
    assert table("field of `PriorEntry`") == fields


def test_every_form_of_a_location_is_documented() -> None:
    places = {type(parse_location(form)).__name__ for form in table("form of `file`")}
    assert places == {"Packaged", "Hub", "Local"}


def test_every_member_is_documented() -> None:
    assert table("member") == [*Prior.__annotations__, "synthesize(base, styles)"]
    own = {name.partition("(")[0] for name in table("further member")} - {"prior"}
    public = {name for name in vars(TrainablePrior) if not name.startswith("_")}
    assert own == {*TrainablePrior.__annotations__, *public} - set(vars(Prior))


def test_every_check_is_documented() -> None:
    assert table("check") == list(check_names("prior"))


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
