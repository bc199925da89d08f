"""What can be told of a plugin without building it: its options in words, and where it is from."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from ugpnet_core.plugins import BackboneEntry, Options, Preset
from ugpnet_core.plugins.described_options import DescribedOption, describe_options
from ugpnet_core.plugins.origin import Origin, origin_of


class Colour(Enum):
    red = "red"
    green = "green"


class Part(BaseModel):
    depth: int = 1


class Tree(BaseModel):
    children: list[Tree] = []


class Special:
    """A type that pydantic knows no schema of."""


class ManyOptions(Options):
    width: int = Field(gt=0, le=64, description="channels")
    blocks: list[Annotated[int, Field(ge=1)]] = Field(default=[1, 2], min_length=1)
    ratio: float | None = Field(default=None, lt=1)
    mode: Literal["fast", "exact"] = "fast"
    colour: Colour = Colour.red
    checkpoint: Path = Path("a/b")
    part: Part = Part()
    tree: Tree = Tree()
    either: int | list[int] = Field(default_factory=lambda: [3])
    limit: float = float("inf")


class OddOptions(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    special: Special = Field(default_factory=Special, description="what it is")
    width: int | None = 3
    wide: int


def _described(options: type[BaseModel], **given: Any) -> dict[str, DescribedOption]:
    entry = BackboneEntry(
        name="net",
        description="A test.",
        factory="a.b:c",
        kind="direct",
        feature_channels=None,
        options=options,
    )
    if given:
        preset = Preset(name="net-two", description="two", options=given, parameters=3)
        entry = entry.with_preset(preset)
    described = {one.name: one for one in describe_options(entry)}
    json.dumps([vars(one) for one in described.values()], allow_nan=False)
    return described


@pytest.mark.parametrize(
    ("name", "type_", "default", "bounds"),
    [
        ("width", "integer", None, "<= 64, > 0"),
        ("blocks", "list of integer", [1, 2], "at least 1 items, each >= 1"),
        ("ratio", "number or none", None, "< 1"),
        ("mode", '"fast" or "exact"', "fast", ""),
        ("colour", '"red" or "green"', "red", ""),
        ("checkpoint", "path", "a/b", ""),
        ("part", "mapping", {"depth": 1}, ""),
        ("tree", "mapping", {"children": []}, ""),
        ("either", "integer or list of integer", [3], ""),
        ("limit", "number", "Infinity", ""),
    ],
)
def test_options_are_put_into_words(name: str, type_: str, default: Any, bounds: str) -> None:
    one = _described(ManyOptions)[name]
    assert (one.type, one.default) == (type_, default)
    assert set(one.bounds.split(", ")) == set(bounds.split(", "))
    assert one.required == (name == "width")
    assert one.description == ("channels" if name == "width" else "")


def test_options_without_a_schema_are_shown_as_they_are_written() -> None:
    described = _described(OddOptions)
    assert described["special"].type == "Special"
    assert "Special object" in described["special"].default
    assert described["special"].description == "what it is"
    assert described["width"].type == "int | None"
    assert (described["width"].default, described["wide"].required) == (3, True)


def test_options_of_a_preset_are_its_defaults() -> None:
    described = _described(ManyOptions, width=8, ratio=None)
    assert (described["width"].default, described["width"].required) == (8, False)
    assert described["ratio"].default is None
    assert described["blocks"].default == [1, 2]


def test_no_options_are_no_options() -> None:
    assert _described(Options) == {}


# --- where a distribution is from -----------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], Origin]:
    """A function that installs a distribution with this direct_url.json, and finds its origin."""

    def install(direct_url: str | None) -> Origin:
        folder = tmp_path / "acme_net-1.0.dist-info"
        folder.mkdir()
        metadata = "Metadata-Version: 2.1\nName: acme-net\nVersion: 1.0\n"
        (folder / "METADATA").write_text(metadata, encoding="utf-8")
        if direct_url is not None:
            (folder / "direct_url.json").write_text(direct_url, encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        return origin_of("acme-net")

    return install


@pytest.mark.parametrize(
    ("direct_url", "how", "where"),
    [
        ({"url": "file:///a/b%20c", "dir_info": {"editable": True}}, "editable", "/a/b c"),
        ({"url": "file:///a/b", "dir_info": {}}, "folder", "/a/b"),
        ({"url": "file:///a/n.whl", "archive_info": {"hash": "x"}}, "archive", "/a/n.whl"),
        ({"url": "https://e.org/n.whl", "archive_info": {}}, "archive", "https://e.org/n.whl"),
        (
            {"url": "https://e.org/n.git", "vcs_info": {"vcs": "git"}},
            "repository",
            "https://e.org/n.git",
        ),
    ],
)
def test_origin_is_what_pip_wrote(
    direct_url: dict[str, Any], how: str, where: str, installed: Callable[[str | None], Origin]
) -> None:
    origin = installed(json.dumps(direct_url))
    assert (origin.how, origin.where) == (how, where)
    assert where in str(origin)
    assert ("editable" in str(origin)) == (how == "editable")


@pytest.mark.parametrize("direct_url", [None, "", "null", "{", "[]", '{"url": 3, "dir_info": 4}'])
def test_a_wheel_from_an_index_is_found_where_it_lies(
    direct_url: str | None, installed: Callable[[str | None], Origin], tmp_path: Path
) -> None:
    origin = installed(direct_url)
    assert origin.how == "package"
    assert Path(origin.where) == tmp_path


@pytest.mark.parametrize("name", ["no-such-distribution-at-all", "(unknown distribution)", ""])
def test_origin_of_what_is_not_installed_is_not_known(name: str) -> None:
    assert str(origin_of(name)) == "not known"


@pytest.mark.filterwarnings("error")
def test_a_default_that_json_cannot_hold_is_shown_without_a_warning() -> None:
    class Odd(Options):
        call: Any = print

    entry = BackboneEntry(
        name="x", description="x", factory="x:x", kind="direct", feature_channels=1, options=Odd
    )
    (option,) = describe_options(entry)
    assert "print" in option.default
