"""What all distributions say alike, what is built of them, and bounds of libraries."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from release import bounds, projects
from release.carried import LEFT_OUT, carried
from release.dist import build
from release.dist import test as run_tests
from ugpnet_core.templates.bounds import interface_bounds

BASE = "https://github.com/ugpnet/ugpnet"
NAMES = list(projects.folders())


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_string(archive.read(path).decode())


def test_all_distributions_say_alike_what_they_share() -> None:
    assert projects.differing() == []


def test_a_new_version_goes_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (projects.CORE, projects.PLUGINS[0], projects.META):
        copy = tmp_path / folder.relative_to(projects.ROOT) / "pyproject.toml"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text((folder / "pyproject.toml").read_text())
    (tmp_path / "CITATION.cff").write_text(projects.CITATION.read_text())
    parts = (projects.PLUGINS[0], projects.META)
    plugin, meta = (tmp_path / one.relative_to(projects.ROOT) for one in parts)
    monkeypatch.setattr(projects, "ROOT", tmp_path)
    monkeypatch.setattr(projects, "CORE", tmp_path)
    monkeypatch.setattr(projects, "PLUGINS", [plugin])
    monkeypatch.setattr(projects, "META", meta)
    monkeypatch.setattr(projects, "CITATION", tmp_path / "CITATION.cff")
    monkeypatch.setattr(sys, "argv", ["projects", "--write", "1.4.2"])
    assert projects.main() == 0
    monkeypatch.setattr(sys, "argv", ["projects"])
    assert projects.main() == 0
    for folder in (tmp_path, plugin, meta):
        assert projects.project(folder)["version"] == "1.4.2"
    assert "ugpnet-core>=1,<2" in projects.project(plugin)["dependencies"]
    assert "ugpnet-core[samples]>=1,<2" in projects.project(meta)["dependencies"]
    assert "\nversion: 1.4.2\n" in (tmp_path / "CITATION.cff").read_text()
    (plugin / "pyproject.toml").write_text(
        (plugin / "pyproject.toml").read_text().replace('"1.4.2"', '"1.4.1"')
    )
    assert projects.main() == 1
    monkeypatch.setattr(sys, "argv", ["projects", "--write", "1.4"])
    with pytest.raises(SystemExit):
        projects.main()


@pytest.mark.parametrize(
    ("version", "expected"),
    [("0.1.0", ">=0.1,<0.2"), ("0.12.3", ">=0.12,<0.13"), ("1.0.0", ">=1,<2"), ("2.1", ">=2,<3")],
)
def test_versions_with_the_same_interface(version: str, expected: str) -> None:
    assert interface_bounds(version) == expected
    assert Requirement(f"x{expected}").specifier.contains(version)


def test_what_is_no_version_has_no_bounds() -> None:
    with pytest.raises(ValueError, match=r"'new' is not a version"):
        interface_bounds("new")


@pytest.mark.parametrize("name", NAMES)
def test_an_index_can_show_it(name: str, own_wheels: Mapping[str, Path]) -> None:
    metadata = metadata_of(own_wheels[name])
    assert metadata["Author"] == "The ugpnet authors"
    assert len(metadata["Keywords"].split(",")) >= 3
    classifiers = metadata.get_all("Classifier", [])
    for minor in range(10, 14):
        assert f"Programming Language :: Python :: 3.{minor}" in classifiers
    # The licence is an expression; index and classifier would contradict each other.
    assert not any(one.startswith("License") for one in classifiers)
    links = dict(one.split(", ") for one in metadata.get_all("Project-URL", []))
    assert {"Homepage", "Documentation", "Changelog", "Issues"} <= set(links)
    assert all(link.startswith(BASE) for link in links.values())
    assert metadata["Description-Content-Type"] == "text/markdown"


def leads_nowhere(link: str) -> bool:
    """Whether a link to the repository is to a file that is not in it."""
    raw = BASE.replace("github.com", "raw.githubusercontent.com")
    found = re.fullmatch(
        rf"(?:{BASE}/(?:blob|tree)|{raw})/?main/(.+)", link.replace("/main/", "main/")
    )
    if found is None:
        return link.startswith((BASE + "/", raw)) and link != f"{BASE}/issues"
    return not (projects.ROOT / found[1]).exists()


@pytest.mark.parametrize("name", NAMES)
def test_links_of_readmes_work_on_an_index(name: str, own_wheels: Mapping[str, Path]) -> None:
    text = str(metadata_of(own_wheels[name]).get_payload())
    links = re.findall(r"\]\(([^)]+)\)|^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)
    targets = [one or other for one, other in links]
    assert BASE in targets
    for target in targets:
        assert target.startswith("https://"), target
        assert not leads_nowhere(target), target
    defined = set(re.findall(r"^\[([^\]]+)\]: ", text, re.MULTILINE))
    for used in re.findall(r"\]\[([^\]]+)\]", text):
        assert used in defined, used


@pytest.mark.parametrize("name", NAMES)
def test_readmes_say_how_to_install_from_an_index_and_from_a_clone(name: str) -> None:
    folder = projects.folders()[name]
    text = (folder / str(projects.project(folder)["readme"])).read_text(encoding="utf-8")
    wanted = "ugpnet" if name == "ugpnet-core" else name
    assert re.search(rf"^    pip install {wanted}\b(?!-)", text, re.MULTILINE)
    (clone, *_) = re.findall(r"pip install (\.(?:\s+\./[\w/]+)+)", text)
    for place in clone.split():
        assert (projects.ROOT / place / "pyproject.toml").is_file(), place
    if name not in ("ugpnet", "ugpnet-core"):
        assert f"./{folder.relative_to(projects.ROOT).as_posix()}" in clone.split()


def test_the_meta_distribution_brings_everything() -> None:
    meta, core = projects.project(projects.META), projects.project(projects.CORE)
    needed = {Requirement(one).name for one in meta["dependencies"]}
    assert needed == set(NAMES) - {"ugpnet"}
    extras = set(core["optional-dependencies"]) - {"dev", "samples", "test"}
    assert set(meta["optional-dependencies"]) == extras
    for name, (one,) in meta["optional-dependencies"].items():
        assert one == f"ugpnet-core[{name}]"


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"ugpnet-core"}))
def test_ours_take_the_core_with_the_same_interface(name: str) -> None:
    table = projects.project(projects.folders()[name])
    bound = interface_bounds(str(table["version"]))
    ours = [one for one in map(Requirement, table["dependencies"]) if one.name in NAMES]
    assert "ugpnet-core" in {one.name for one in ours}
    for one in ours:
        assert one.specifier == Requirement(f"x{bound}").specifier


def test_built_twice_the_bytes_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first = build(tmp_path / "first", ["ugpnet-backbones-unet"])
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    second = build(tmp_path / "second", ["ugpnet-backbones-unet"])
    assert [path.suffix for path in first] == [".whl", ".gz"]
    for one, other in zip(first, second, strict=True):
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes()
    with tarfile.open(first[1]) as sdist:
        members = sdist.getmembers()
    assert {(one.mtime, one.uid, one.gid, one.uname) for one in members} == {(1700000000, 0, 0, "")}
    assert {"network.py", "py.typed", "LICENSE", "README.md"} <= {
        Path(one.name).name for one in members
    }


def test_the_sdist_of_the_core_holds_all_of_it_and_its_tests(tmp_path: Path) -> None:
    wheel, sdist = build(tmp_path / "dist", ["ugpnet-core"])
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert not [name for name in names if re.match(r"(docs|examples|benchmarks)(/|$)", name)]
    assert {"tests/conftest.py", "tests/core/test_networks.py"} <= names
    assert not names & set(LEFT_OUT)
    with zipfile.ZipFile(wheel) as built:
        modules = {name for name in built.namelist() if ".dist-info/" not in name}
    assert modules <= names
    folder = projects.ROOT / "ugpnet_core"
    tracked = {
        path.relative_to(projects.ROOT).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".md")
    }
    assert modules == tracked


def test_an_sdist_passes_the_tests_that_it_carries(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wheel, sdist = build(tmp_path / "dist", ["ugpnet-backbones-unet"])
    with zipfile.ZipFile(wheel) as built:
        assert not [name for name in built.namelist() if "test" in name]
    assert run_tests([sdist])
    assert re.search(r"\b2\d passed", capfd.readouterr().out)


def test_an_sdist_whose_tests_fail_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "broken-1.0"
    (folder / "tests").mkdir(parents=True)
    (folder / "tests" / "test_one.py").write_text("def test_one(): assert not 'right'\n")
    with tarfile.open(tmp_path / "broken.tar.gz", "w:gz") as archive:
        archive.add(folder, folder.name)
    assert not run_tests([tmp_path / "broken.tar.gz"])


def test_every_distribution_with_code_carries_tests_of_its_own() -> None:
    done = subprocess.run(
        ["git", "ls-files", "tests"], cwd=projects.ROOT, capture_output=True, text=True, check=True
    )
    tracked = done.stdout.splitlines()
    for name in set(NAMES) - {"ugpnet"}:
        tests = [file for file in carried(name, tracked) if "/test_" in file]
        assert tests, name
        needs = projects.project(projects.folders()[name])["optional-dependencies"]["test"]
        assert "pytest>=8" in needs
    assert not list(carried("ugpnet", tracked))
    assert set(LEFT_OUT) <= set(tracked)


def test_every_library_has_a_lower_bound_and_no_upper() -> None:
    for mode in ("lowest", "newest"):
        for one in bounds.requirements("lowest" if mode == "lowest" else "newest"):
            assert [each.operator for each in one.specifier] == [">="], str(one)


def test_a_floor_that_cannot_be_reached_is_told() -> None:
    needed = [Requirement(text) for text in ("a>=1.2", "b>=2", "c>=1.1", "d")]
    pinned = {"a": Version("1.2.0"), "b": Version("2.0.4"), "c": Version("1.10"), "d": Version("1")}
    told = list(bounds.not_reached(needed, pinned))
    assert told == [
        "c>=1.1 is not the truth: the lowest that can be installed is 1.10.",
        "d has no lower bound.",
    ]


def test_a_python_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bounds", "lowest", "--python", "3.77"])
    assert bounds.main() == 1
    assert capsys.readouterr().err.startswith("error: Python 3.77 was not found; install it, or")


@pytest.mark.parametrize("path", bounds.TESTS)
def test_the_tests_at_the_bounds_are_there(path: str) -> None:
    assert (projects.ROOT / path).exists()


def test_a_python_that_pyenv_has_but_does_not_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "versions" / "any" / "bin"
    folder.mkdir(parents=True)
    (folder / "python-of-pyenv").symlink_to(sys.executable)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert bounds.find_python("python-of-pyenv")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "nowhere"))
    with pytest.raises(RuntimeError, match="python-of-pyenv was not found"):
        bounds.find_python("python-of-pyenv")
