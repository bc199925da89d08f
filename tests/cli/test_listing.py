"""The shell of the command line, and the listing commands."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

import ugpnet_core
from ugpnet_core import cli
from ugpnet_core.cli import console, listing
from ugpnet_core.errors import ConfigError, ImageError, UnknownNameError
from ugpnet_core.plugins import BackboneEntry, Installed, Preset, Problem, Registry

LISTS = {"list-backbones": "nafnet", "list-priors": "stylegan2", "list-tasks": "denoise"}


def _python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize("command", LISTS)
def test_list_shows_what_is_shipped(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command]) == 0
    shown = capsys.readouterr().out
    assert re.search(rf"^ {LISTS[command]}\b.*\bok\b", shown, re.MULTILINE)


@pytest.mark.parametrize("command", [*LISTS, "list-models"])
def test_json_is_json_and_names_the_source(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    entries, problems, slow = shown.values()
    assert problems == slow == []
    for entry in entries:
        assert entry["distribution"].startswith("ugpnet-")
        assert entry["version"]
        assert entry["status"] == "ok"
        assert entry["description"]


def test_json_shows_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["list-backbones", "--json"])
    shown = json.loads(capsys.readouterr().out)
    (nafnet,) = (entry for entry in shown["backbones"] if entry["name"] == "nafnet")
    assert nafnet["kind"] == "residual"
    assert nafnet["options"]["width"]["type"] == "integer"


def test_json_shows_presets_inside_their_backbone(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["list-backbones", "--json"])
    shown = json.loads(capsys.readouterr().out)
    names = [entry["name"] for entry in shown["backbones"]]
    assert "nafnet-sidd-width64" not in names
    (nafnet,) = (entry for entry in shown["backbones"] if entry["name"] == "nafnet")
    assert not {"preset_of", "preset_options"} & set(nafnet)
    (preset,) = (one for one in nafnet["presets"] if one["name"] == "nafnet-sidd-width64")
    assert preset["parameters"] == 115_982_915
    assert preset["options"]["enc_blk_nums"] == [2, 2, 4, 8]
    assert (preset["kind"], preset["feature_channels"], preset["scale"]) == ("residual", 64, 1)
    assert preset["description"]


@pytest.mark.parametrize("columns", ["80", "200"])
def test_presets_stand_beneath_their_backbone(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert cli.main(["list-backbones"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= int(columns)
    pattern = r"^   nafnet-sidd-width64 +residual +64 +1 +115\.98 M +as published"
    found = re.search(pattern, shown, re.MULTILINE)
    assert found
    assert shown.rindex("\n nafnet ", 0, found.start()) > shown.index(" presets ")


def test_odd_presets_are_shown_as_text(
    installed_plugins: Callable[..., Registry], capsys: pytest.CaptureFixture[str]
) -> None:
    preset = Preset(
        name="net-open",
        description="with [b]open[/b] ends",
        options={"path": Path("a/b"), "limit": float("inf"), "what": object},
        parameters=3,
    )
    entry = BackboneEntry(
        name="net",
        description="A test.",
        factory="a.b:c",
        kind="direct",
        feature_channels=None,
        presets=(preset,),
    )
    installed_plugins(Installed(entry, "ugpnet-test", "1.0"), base=Registry())
    assert cli.main(["list-backbones", "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)["backbones"]
    (made,) = shown["presets"]
    assert made["options"] == {"path": "a/b", "limit": "Infinity", "what": "<class 'object'>"}
    assert made["feature_channels"] is None
    assert cli.main(["list-backbones"]) == 0
    assert re.search(r"net-open +direct +- +1 .*with \[b\]open", capsys.readouterr().out)


def test_nothing_installed(
    installed_plugins: Callable[..., Registry], capsys: pytest.CaptureFixture[str]
) -> None:
    installed_plugins(base=Registry())
    assert cli.main(["list-priors"]) == 0
    assert capsys.readouterr().out == "No prior is installed.\n"


def test_long_reason_wraps_and_is_not_cut(
    monkeypatch: pytest.MonkeyPatch,
    installed_plugins: Callable[..., Registry],
    capsys: pytest.CaptureFixture[str],
) -> None:
    reason = "import failed: " + " ".join(f"word{number}" for number in range(60))
    problem = Problem("plugin", "a-distribution-of-somebody", "1.0", reason)
    installed_plugins(base=Registry(), problems=(problem,))
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["list-models"]) == 0
    shown = capsys.readouterr().out
    assert reason in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80


def test_listing_is_fast_and_does_not_import_torch() -> None:
    done = _python("-X", "importtime", "-m", "ugpnet_core.cli", "list-backbones")
    assert done.returncode == 0
    assert "nafnet" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "ugpnet_core.plugins" in imported
    assert not {"torch", "numpy", "cv2", "timm", "ugpnet_core.config"} & imported
    # Processor time, because tests may share the machine; the best of a few, twice the promise.
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        _python("-m", "ugpnet_core.cli", "list-backbones")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.8


def test_help_shows_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in cli.COMMANDS:
        assert re.search(rf"^  {command}  +\w", shown, re.MULTILINE), command


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_summaries_are_sentences_and_examples_are_right(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    group: Any = typer.main.get_command(cli.make_app())
    found = group.get_command(None, command)
    summary, *paragraphs = [" ".join(each.split()) for each in found.help.split("\n\n")]
    assert re.fullmatch(r"[A-Z].*\.", summary)
    assert cli.main(["--help"]) == 0
    assert f" {command} {summary} " in " ".join(capsys.readouterr().out.split()) + " "
    examples = [each for each in paragraphs if re.match(r"(Examples?: )?ugpnet ", each)]
    assert examples
    monkeypatch.chdir(Path(__file__).parents[2])
    for example in examples:
        written = re.sub("^Examples?: ", "", example).partition(" > ")[0]
        words = shlex.split(written)
        assert words[:2] == ["ugpnet", command]
        found.make_context(command, words[2:])  # wrong arguments are an error


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    assert f"Usage: ugpnet {command}" in capsys.readouterr().out


def test_help_of_all_commands_imports_no_torch() -> None:
    program = """
import sys
from ugpnet_core.cli import main
assert main(["--help"]) == 0
assert "ugpnet_core.cli.train" in sys.modules
heavy = {"torch", "numpy", "cv2"} & set(sys.modules)
assert not heavy, heavy
"""
    done = _python("-c", program)
    assert done.returncode == 0, done.stderr


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"ugpnet {ugpnet_core.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list-backbone"], "did you mean list-backbones"),
        (["frobnicate"], "there are: restore"),
        (["list-backbones", "--jsno"], "--jsno"),
        (["list-backbones", "extra"], "extra"),
    ],
)
def test_wrong_usage_is_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ConfigError("No 'widht';\nsay 'width'."), 2, "error: No 'widht'; say 'width'.\n"),
        (UnknownNameError("There is no x."), 2, "error: There is no x.\n"),
        (ImageError("a.png \x1b[31m[bold]is broken."), 1, "error: a.png [31m[bold]is broken.\n"),
        (ValueError("odd"), 1, "error: unexpected ValueError: odd (run again with --debug"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_are_one_line(
    error: BaseException,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(listing, "list_tasks", fail)
    assert cli.main(["list-tasks"]) == status
    shown = capsys.readouterr()
    assert shown.err.startswith(said)
    assert shown.err.count("\n") <= 1
    assert shown.out == ""


@pytest.mark.parametrize("arguments", [["--debug", "list-tasks"], ["list-tasks", "--debug"]])
def test_debug_shows_the_traceback(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ImageError("gone")

    monkeypatch.setattr(listing, "list_tasks", fail)
    with pytest.raises(ImageError):
        cli.main(arguments)


def test_closed_pipe_is_quiet() -> None:
    command = f"'{sys.executable}' -m ugpnet_core.cli list-backbones --json | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout == "{"
    assert done.stderr == ""


def test_a_terminal_without_unicode_gets_escapes() -> None:
    done = _python("-m", "ugpnet_core.cli", "list-backbones", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "nafnet" in done.stdout


def test_plain_keeps_text_on_one_line_without_control_characters() -> None:
    assert console.plain("a\tb\n\x1b[1mc\x00") == "a b [1mc"


def test_names_of_presets_are_whole_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["list-backbones"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("   timm_unet-efficientnet-b0 ") for line in lines)
    assert max(map(len, lines)) <= 80
