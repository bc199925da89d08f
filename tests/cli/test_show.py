"""``ugpnet show``: the card of whatever is installed."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from ugpnet_backbones.nafnet import NAFNetOptions
from ugpnet_core import cli
from ugpnet_core.plugins import (
    BackboneEntry,
    Installed,
    Options,
    Preset,
    Problem,
    Registry,
    TaskEntry,
    registry,
)

Show = Callable[..., str]
Cards = Callable[..., list[dict[str, Any]]]


class NeedingOptions(NAFNetOptions):
    width: int = Field(gt=0, description="channels at full resolution")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UGPNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Show:
    """A function that runs ``ugpnet show`` and gives what it prints, blanks squeezed."""

    def run(*arguments: str) -> str:
        assert cli.main(["show", *arguments, "--count"]) == 0
        shown = capsys.readouterr()
        assert shown.err == ""
        assert max(map(len, shown.out.splitlines())) <= 80
        return re.sub(r"\s+", " ", shown.out)

    return run


@pytest.fixture
def cards(capsys: pytest.CaptureFixture[str]) -> Cards:
    """A function that runs ``ugpnet show --json`` and gives the cards."""

    def run(*arguments: str) -> list[dict[str, Any]]:
        assert cli.main(["show", *arguments, "--json", "--count"]) == 0
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["cards"]
        return found

    return run


def _entry(**fields: Any) -> BackboneEntry:
    given = {
        "name": "net",
        "description": "A [b]test[/b].",
        "factory": "ugpnet_backbones.nafnet.network:NAFNet",
        "kind": "residual",
        "feature_channels": None,
        "options": NeedingOptions,
        "compiles": True,
        "exports_onnx": False,
    }
    return BackboneEntry(**{**given, **fields})


@pytest.fixture
def install(installed_plugins: Callable[..., Registry]) -> Callable[..., None]:
    """A function that makes entries findable, beside what is installed."""

    def register(*entries: Any, **changes: Any) -> None:
        installed_plugins(*(Installed(one, "acme-net", "1.0") for one in entries), **changes)

    return register


# --- backbones ------------------------------------------------------------------------------------


def test_the_card_of_a_backbone(show: Show) -> None:
    shown = show("nafnet")
    for said in (
        "nafnet (backbone) NAFNet: a U-Net",
        "kind residual",
        "feature channels 32",
        "scale 1",
        "loss psnr",
        "bfloat16 yes",
        "parameters 17.11 M (17,111,907) GMACs 15.96 for an image of 256x256 pixels",
        "ECCV 2022",
        "licence Apache-2.0",
        "distribution ugpnet-backbones-nafnet ",
        "installed from ",
        "width 32 integer, > 0 channels at full resolution",
        "enc_blk_nums [1, 1, 1, 28] list of integer, each",
        "nafnet-sidd-width64 115.98 M as published for denoising: width=64 middle_blk_num=12",
    ):
        assert said in shown


def test_the_card_of_a_preset_shows_what_it_sets(show: Show, cards: Cards) -> None:
    shown = show("nafnet-sidd-width32")
    assert "nafnet-sidd-width32 (preset of the backbone nafnet)" in shown
    assert "sets width=32 middle_blk_num=12 enc_blk_nums=[2,2,4,8]" in shown
    assert "middle_blk_num 12 integer" in shown
    assert "Presets" not in shown
    (card,) = cards("nafnet-sidd-width32")
    assert card["preset_of"] == "nafnet"
    assert card["measured"]["parameters"] == card["parameters"] == 29_159_715
    assert card["measured"]["macs"] == pytest.approx(16e9, rel=0.02)


def test_options_give_another_network(show: Show, cards: Cards) -> None:
    arguments = (
        "nafnet",
        "-O",
        "width=4",
        "-O",
        "enc_blk_nums=[1]",
        "--option",
        "dec_blk_nums=[1]",
    )
    shown = show(*arguments)
    assert "given width=4 enc_blk_nums=[1] dec_blk_nums=[1]" in shown
    assert "feature channels 4" in shown
    assert "declared" not in shown.replace("not declared", "")
    (card,) = cards(*arguments)
    assert card["feature_channels"] == 32
    assert card["measured"]["feature_channels"] == 4
    assert card["measured"]["parameters"] < 10_000
    assert card["given"]["enc_blk_nums"] == [1]


def test_required_options_are_asked_for(
    show: Show, cards: Cards, install: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    install(_entry())
    shown = show("net")
    assert "feature channels - " in shown
    assert "parameters not known: give -O width=... GMACs not known: give -O width=..." in shown
    assert "width required integer, > 0" in shown
    assert "A [b]test[/b]." in shown
    assert "torch.compile yes ONNX export no" in shown
    (card,) = cards("net", "-O", "width=2")
    assert card["measured"]["feature_channels"] == 2
    assert cli.main(["show", "net", "-O", "enc_blk_nums=[1]"]) == 2
    assert "needs -O width=..., too" in capsys.readouterr().err


def test_a_preset_can_give_what_is_required(show: Show, install: Callable[..., None]) -> None:
    small = {"width": 2, "enc_blk_nums": [1], "dec_blk_nums": [1], "middle_blk_num": 0}
    preset = Preset(name="net-two", description="two", options=small, parameters=77)
    install(_entry(presets=(preset,)))
    assert "Presets: name, parameters, what it sets net-two 0.00 M two: width=2" in show("net")
    shown = show("net-two")
    assert "feature channels 2" in shown
    assert re.search(r"parameters 0.00 M \([\d,]+\), and declared are 77 GMACs 0.0\d for", shown)


@pytest.mark.parametrize("factory", ["ugpnet_backbones.nowhere:Net", "json:loads"])
def test_a_backbone_that_cannot_be_built_still_has_a_card(
    factory: str, show: Show, install: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    install(_entry(factory=factory, options=NAFNetOptions, parameters=5_000_000))
    shown = show("net")
    assert "parameters 5.00 M (5,000,000) GMACs not known: " in shown
    assert cli.main(["show", "net", "-O", "width=3"]) == 1
    assert factory in capsys.readouterr().err


# --- other kinds ----------------------------------------------------------------------------------


def test_the_card_of_a_prior(cards: Cards, show: Show) -> None:
    small = ["resolution=32", "style_dim=8", "num_mlp=1", "narrow=0.0625", "base_size=8"]
    arguments = [word for pair in small for word in ("-O", pair)]
    shown = show("stylegan2", *arguments)
    assert "stylegan2 (prior)" in shown
    assert "resolution 32" in shown
    assert "8x8 pixels styles" in shown
    assert "for a result of 32x32 pixels" in shown
    (card,) = cards("stylegan2", *arguments)
    assert card["measured"]["macs"] > 0


def test_the_card_of_a_task_needs_no_network(show: Show, cards: Cards) -> None:
    shown = show("sr8")
    assert "sr8 (task)" in shown
    assert "scale 8" in shown
    assert "GMACs" not in shown
    (card,) = cards("denoise", "-O", "sigma=0.2")
    assert card["given"] == {"sigma": 0.2}


def test_the_card_of_a_model(show: Show, cards: Cards) -> None:
    shown = show("portraits-denoise")
    for said in (
        "portraits-denoise (model)",
        "task denoise resolution 256 domain faces, aligned as FFHQ's",
        "backbone nafnet width=16",
        "prior stylegan2 channel_multiplier=1",
        "SHA-256 as declared",
        "trained: fusion iterations=",
        "parameters 8.17 M (8,168,907) GMACs 12.54 for a result of 256x256 pixels",
    ):
        assert said in shown
    (card,) = cards("portraits-denoise")
    assert card["measured"]["parameters"] == card["parameters"]
    assert card["config"]["backbone"]["name"] == "nafnet"
    assert Path(card["path"]).stat().st_size == card["bytes"]


def test_a_damaged_model_still_has_a_card(show: Show, install: Callable[..., None]) -> None:
    entry = dataclasses.replace(registry().models["portraits-denoise"].entry, sha256="0" * 64)
    install(entry)
    shown = show("portraits-denoise")
    assert "is damaged; install its package again" in shown
    assert "parameters 8.17 M" in shown


def test_a_model_takes_no_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", "portraits-denoise", "-O", "width=3"]) == 2
    assert "takes no options" in capsys.readouterr().err


# --- names ----------------------------------------------------------------------------------------


def test_a_name_of_several_kinds_shows_each(
    show: Show, cards: Cards, install: Callable[..., None]
) -> None:
    task = TaskEntry(name="net", description="A task.", factory="a.b:c", options=Options)
    install(_entry(), task)
    assert [card["what"] for card in cards("net")] == ["backbone", "task"]
    assert [card["what"] for card in cards("net", "--kind", "task")] == ["task"]
    shown = show("net")
    assert "net (backbone)" in shown
    assert "net (task)" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nafnte"], "did you mean nafnet (backbone)"),
        (["stylegan3"], "did you mean stylegan2 (prior)"),
        (["nafnet-sidd-width46"], "nafnet-sidd-width64 (preset)"),
        (["denoisee"], "denoise (task)"),
        (["portrait-denoise"], "portraits-denoise (model)"),
        (["qqq-xyz"], "pip install ugpnet-backbones-qqq or ugpnet-priors-qqq-xyz"),
        (["nafnet", "--kind", "prior"], "There is no prior 'nafnet'"),
        (["nafnet", "--kind", "network"], "--kind"),
        (["nafnet", "-O", "width"], "'width' is no option"),
        (["nafnet", "-O", "widht=3"], "did you mean 'width'"),
        (["nafnet", "-O", "width=-3"], "greater than 0"),
        ([], "Missing argument"),
    ],
)
def test_wrong_usage_is_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["show", *arguments]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""


def test_what_is_broken_says_why(
    install: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    problem = Problem("broken", "acme-broken", "1.0", "import failed: OSError: gone")
    install(problems=(problem,))
    assert cli.main(["show", "broken"]) == 1
    assert "acme-broken 1.0 is broken: import failed: OSError: gone" in capsys.readouterr().err
    assert cli.main(["show", "something"]) == 2
    assert "not searched: acme-broken" in capsys.readouterr().err


def test_without_counting_nothing_is_built(capsys: pytest.CaptureFixture[str]) -> None:
    run = "import sys; from ugpnet_core.cli import main; print(main(['show', sys.argv[1]]), sorted"
    run += "({'torch', 'numpy'} & set(sys.modules)))"
    for name in ("nafnet", "stylegan2", "sr8"):
        done = subprocess.run([sys.executable, "-c", run, name], capture_output=True, text=True)
        assert done.stdout.rstrip().endswith("0 []"), done.stdout + done.stderr
    assert cli.main(["show", "portraits"]) == 0
    assert "GMACs not known: add --count" in re.sub(r"\s+", " ", capsys.readouterr().out)
