"""ugpnet check-prior: a line for each check, JSON for programs, exit status."""

from __future__ import annotations

import json

import pytest

from ugpnet_core.cli import main
from ugpnet_core.testing import check_names

pytestmark = pytest.mark.usefixtures("no_other_process")

SMALL = ["resolution=16", "base_size=8", "style_dim=4", "num_mlp=1", "narrow=0.01"]
WORDS = [word for option in SMALL for word in ("-O", option)]


def test_lines_and_summary(capsys: pytest.CaptureFixture[str]) -> None:
    only = [word for name in ("shapes", "gradients") for word in ("--only", name)]
    assert main(["check-prior", "stylegan2", *WORDS, *only]) == 0
    header, *lines, summary = capsys.readouterr().out.splitlines()
    assert header.startswith("stylegan2 (ugpnet-priors-stylegan2 0.")
    assert header.endswith("narrow=0.01")
    assert [line.split()[:2] for line in lines if line[2] != " "] == [
        ["ok", "shapes"],
        ["ok", "gradients"],
    ]
    assert summary.startswith("2 passed (")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-prior", "stylegan2", *WORDS, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["ok"]
    assert (content["name"], content["options"]["narrow"]) == ("stylegan2", 0.01)
    assert [result["name"] for result in content["results"]] == list(check_names("prior"))


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-prior", "--list"]) == 0
    said = capsys.readouterr().out
    assert main(["check-prior", "--list", "--json"]) == 0
    promises = json.loads(capsys.readouterr().out)
    assert tuple(promises) == check_names("prior")
    assert all(name in said and promise for name, promise in promises.items())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Give the name of a prior"),
        (["stylegan"], "did you mean stylegan2"),
        (["stylegan2", "--only", "gradient"], "did you mean gradients"),
        (["stylegan2", "-O", "resolution=17"], "power of two"),
    ],
)
def test_mistakes(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-prior", *words]) == 2
    assert message in capsys.readouterr().err
