"""``ugpnet new-backbone``: distributions that install, list, pass their tests and lint."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from ugpnet_core import cli
from ugpnet_core.errors import UGPNetError
from ugpnet_core.templates import write_backbone

Environment = Callable[..., "subprocess.CompletedProcess[str]"]
CASES: list[tuple[str, Literal["direct", "residual"]]] = [
    ("my-net", "residual"),
    ("Tensor", "direct"),
    ("a-rather-long-name-of-thirty-six-ch", "direct"),
]


def everything(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_it_writes_a_whole_distribution_and_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new-backbone", "my-net"]) == 0
    assert set(everything(tmp_path / "my-net")) == {
        ".github/workflows/test.yml",
        ".gitignore",
        "README.md",
        "my_net/__init__.py",
        "my_net/network.py",
        "my_net/py.typed",
        "pyproject.toml",
        "tests/test_my_net.py",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["my-net"]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Wrote the residual backbone my-net to my-net. Next:"
    assert said[1:] == [
        "  pip install -e './my-net[test]'",
        "  ugpnet check-backbone my-net",
        "  pytest my-net",
    ]


def test_the_same_words_write_the_same_files(tmp_path: Path) -> None:
    for place in ("one", "two"):
        write_backbone("my-net", "direct", tmp_path / place)
    assert everything(tmp_path / "one") == everything(tmp_path / "two")
    assert not [path for path, text in everything(tmp_path / "one").items() if b"$class" in text]


@pytest.mark.parametrize("kind", ["file", "folder", "broken link"])
def test_what_exists_is_never_touched(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "there"
    if kind == "file":
        place.write_text("mine")
    elif kind == "folder":
        (place / "inner").mkdir(parents=True)
    else:
        place.symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["new-backbone", "my-net", "-o", str(place)]) == 2
    assert "exists already; name another folder with -o" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UGPNetError, match="cannot be written"):
        write_backbone("my-net", "direct", tmp_path / "file" / "my-net")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failure_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UGPNetError, match="No space left"):
        write_backbone("my-net", "direct", tmp_path / "new" / "my-net")
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("3net", "a letter first, for instance net3"),
        ("größe", "for instance gr-e"),
        ("../up", "for instance up"),
        ("", "a letter first"),
        ("a" * 41, "up to 40 letters"),
        ("class", "say class-net"),
        ("json", "'json' would hide"),
        ("tests", "'tests' would hide"),
        ("ugpnet_backbones", "'ugpnet_backbones' would hide"),
        ("nafnet", "is taken by a backbone of ugpnet-backbones-nafnet"),
        ("NAFNet", "is taken by a backbone of ugpnet-backbones-nafnet"),
        ("nafnet-sidd-width64", "is taken by a backbone of ugpnet-backbones-nafnet"),
        ("stylegan2", "is taken by a plugin of ugpnet-priors-stylegan2"),
        ("torch", "A distribution torch is installed already; choose another name, say torch-net"),
        ("Pydantic_Core", "A distribution pydantic"),
    ],
)
def test_names_that_cannot_be_are_refused_with_the_reason(
    name: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new-backbone", name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not list(tmp_path.iterdir())


def test_a_kind_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    assert cli.main(["new-backbone", "my-net", "--kind", "both", "-o", str(tmp_path / "n")]) == 2
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def installed(
    tmp_path_factory: pytest.TempPathFactory,
    fresh_environment: Callable[[], Environment],
) -> tuple[Path, Environment]:
    """The distributions of CASES, in a folder, and an environment with their wheels."""
    folder = tmp_path_factory.mktemp("new")
    run = fresh_environment()
    for name, kind in CASES:
        write_backbone(name, kind, folder / name)
    offline = ["-q", "--no-deps", "--no-index", "--no-build-isolation"]
    folders = [str(folder / name) for name, _ in CASES]
    run("-m", "pip", "wheel", *offline, "-w", str(folder / "wheels"), *folders)
    wheels = [str(wheel) for wheel in (folder / "wheels").iterdir()]
    run("-m", "pip", "install", *offline, *wheels)
    return folder, run


def test_they_are_listed(installed: tuple[Path, Environment]) -> None:
    listing = json.loads(installed[1]("-m", "ugpnet_core.cli", "list-backbones", "--json").stdout)
    assert not listing["problems"]
    kinds = {one["name"]: (one["kind"], one["status"]) for one in listing["backbones"]}
    assert {name: kinds[name] for name, _ in CASES} == {name: (kind, "ok") for name, kind in CASES}


def test_their_own_tests_pass(installed: tuple[Path, Environment]) -> None:
    folder, run = installed
    folders = [str(folder / name) for name, _ in CASES[:2]]
    done = run("-m", "pytest", "-p", "no:cacheprovider", *folders)
    assert " passed" in done.stdout
    for word in ("failed", "skipped", "warning"):
        assert word not in done.stdout, done.stdout


def test_they_are_clean(installed: tuple[Path, Environment]) -> None:
    folder, run = installed
    folders = [str(folder / name) for name, _ in CASES]
    # As their author would run it, with the settings that lie in the distribution; then stricter.
    run("-m", "ruff", "check", *folders)
    run("-m", "ruff", "check", "--extend-select=I,N,UP,B,C4,SIM,RUF", *folders)
    run("-m", "ruff", "format", "--check", *folders)


def test_it_is_found_from_the_folder_above_too(
    tmp_path: Path, fresh_environment: Callable[[], Environment]
) -> None:
    # Package and distribution have the same name there, and the folder of the latter is no package.
    write_backbone("plainname", "direct", tmp_path / "plainname")
    run = fresh_environment()
    offline = ["-q", "--no-deps", "--no-index", "--no-build-isolation"]
    run("-m", "pip", "install", *offline, "-e", "plainname", cwd=tmp_path)
    run("-m", "ugpnet_core.cli", "show", "plainname", cwd=tmp_path)
