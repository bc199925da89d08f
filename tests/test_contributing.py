"""What contributors and hosts are told is true: links, targets of make, checks before a commit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from release.projects import CORE, project

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PAGES = ("CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "CHANGELOG.md", "docs/versions.md")
HOSTS = (".github/workflows/ci.yml", ".gitlab-ci.yml")


def parsed(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES)
def test_links_and_commands_lead_somewhere(page: str) -> None:
    path = ROOT / page
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (path.parent / target).exists(), target
    for line in re.findall(r"`make ([a-z -]+)`|^make ([a-z-]+)", text, re.MULTILINE):
        for target in " ".join(line).split():
            assert re.search(rf"^(?:[\w-]+ )*{target}(?: [\w-]+)*:", MAKEFILE, re.MULTILINE), target
    for module in re.findall(r"python -m (release\.\w+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module


@pytest.mark.parametrize("path", HOSTS)
def test_hosts_call_what_people_call(path: str) -> None:
    parsed(path)
    text = (ROOT / path).read_text(encoding="utf-8")
    called = set(re.findall(r"\bmake ([a-z][\w-]*)", text)) - {"git"}
    assert {"lint", "test", "dist"} <= called
    for target in called:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target
    classifiers = project(CORE)["classifiers"]
    pythons = {one.rpartition(" ")[2] for one in classifiers if re.search(r":: 3\.\d+$", one)}
    assert pythons <= set(re.findall(r'"(3\.\d+)"', text))


def test_before_a_commit_runs_what_make_lint_runs() -> None:
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    lint = re.findall(r"^\t@\$\(BIN\)/(.*)$", recipe, re.MULTILINE)
    (repository,) = parsed(".pre-commit-config.yaml")["repos"]
    hooks = [hook["entry"].removeprefix(".venv/bin/") for hook in repository["hooks"]]
    assert hooks == lint
    assert not any(hook["pass_filenames"] for hook in repository["hooks"])


def test_the_changelog_has_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {project(CORE)['version']}" in text


def test_the_citation_names_the_paper_and_this_software() -> None:
    citation = parsed("CITATION.cff")
    assert citation["version"] == project(CORE)["version"]
    paper = citation["preferred-citation"]
    assert paper["title"].startswith("UGPNet: Universal Generative Prior")
    names = [author["family-names"] for author in paper["authors"]]
    assert names == ["Lee", "Kang", "Lee", "Baek", "Cho"]
    assert paper["year"] == 2024


@pytest.mark.parametrize("path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=str)
def test_issue_forms_are_complete(path: Path) -> None:
    form = parsed(str(path.relative_to(ROOT)))
    if path.stem == "config":
        assert form["contact_links"]
        return
    assert {"name", "description", "body"} <= set(form)
    for part in form["body"]:
        assert part["attributes"]["label"]
