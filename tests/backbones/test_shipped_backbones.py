"""Every shipped backbone, narrow: it keeps its promises, and learns every task."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

import ugpnet_core as ug
from ugpnet_core.cli import main
from ugpnet_core.config import TrainConfig
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.plugins import registry
from ugpnet_core.testing import check_backbone

TASKS = ("blind", "deblur", "denoise", "sr8")
# The narrowest form of each backbone; {scale} is 8 for sr8 and 1 otherwise.
TINY: dict[str, dict[str, Any]] = {
    "hinet": {"wf": 4, "depth": 2, "hin_position_left": 0, "hin_position_right": 0},
    "nafnet": {"width": 4, "enc_blk_nums": [1], "middle_blk_num": 1, "dec_blk_nums": [1]},
    "rrdbnet": {"num_feat": 4, "num_block": 1, "num_grow_ch": 2, "scale": "{scale}"},
    "spandrel": {"checkpoint": "{checkpoint}"},
    "timm_unet": {"encoder": "test_convnext", "decoder_channels": [4, 4, 4, 4, 4]},
    "uformer": {"embed_dim": 4, "depths": [1] * 9, "num_heads": [1] * 9, "win_size": 4},
    "unet": {"width": 4, "depth": 2},
}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A function from a scale to a checkpoint of another program: a tiny RRDBNet."""

    def write(scale: int) -> Path:
        torch.manual_seed(0)
        # Of num_grow_ch=32, which spandrel takes for granted.
        network: Any = ug.create_backbone("rrdbnet", num_feat=4, num_block=1, scale=scale)
        path = tmp_path_factory.mktemp("checkpoint") / "network.safetensors"
        save_file(network.state_dict(), path)
        return path

    return write


def options_of(backbone: str, task: str, checkpoint: Callable[[int], Path]) -> dict[str, Any]:
    # spandrel knows no RRDBNet of scale 8: there the input is enlarged.
    values = {"{scale}": 8 if task == "sr8" else 1}
    options = {
        key: values.get(value, value) if isinstance(value, str) else value
        for key, value in TINY[backbone].items()
    }
    if "checkpoint" in options:
        options["checkpoint"] = str(checkpoint(1))
    return options


def test_every_shipped_backbone_is_here() -> None:
    own = {
        name
        for name, one in registry().backbones.items()
        if one.distribution.startswith("ugpnet-backbones-")
    }
    assert own == set(TINY)


@pytest.mark.parametrize("backbone", TINY)
def test_keeps_its_promises(
    backbone: str, checkpoint: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ugpnet_core.testing.checks.processes.HASH_SEEDS", ("1",))
    report = check_backbone(backbone, **options_of(backbone, "denoise", checkpoint))
    report.raise_if_failed()
    # What could not be run on this machine was not checked.
    assert {one.status for one in report.results} <= {"passed", "not declared"}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("backbone", TINY)
def test_trains_and_is_evaluated(
    backbone: str,
    task: str,
    training_settings: dict[str, Any],
    checkpoint: Callable[[int], Path],
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # evaluate writes its table of images there
    settings = {**training_settings, "output": str(tmp_path / "run")}
    del settings["prior"]
    for stage in ("restoration", "synthesis", "fusion"):
        settings[stage] = {"iterations": 1, "batch_size": 2}
    options = options_of(backbone, task, checkpoint)
    settings["model"] = {
        **settings["model"],
        "backbone": {"name": backbone, "options": options},
        "task": {"name": task},
    }
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(settings))
    assert main(["train", str(recipe)]) == 0, capsys.readouterr().err
    model = tmp_path / "run" / "tiny.safetensors"
    command = ["evaluate", "-m", str(model), "--data", str(photographs), "--json"]
    capsys.readouterr()
    assert main(command) == 0
    measured = json.loads(capsys.readouterr().out)
    assert (measured["task"], measured["count"]) == (task, 5)
    for row in ("x_reg", "x_syn", "x_hat"):
        assert math.isfinite(measured["figures"][row]["psnr"])


def test_rrdbnet_of_scale_8_gets_the_true_low_resolution_image(
    training_config: Callable[..., TrainConfig],
) -> None:
    config = training_config(
        model__task={"name": "sr8"},
        model__backbone={"name": "rrdbnet", "options": {**TINY["rrdbnet"], "scale": 8}},
    )
    model = build_model(config.model).eval()
    seen: list[tuple[int, ...]] = []
    model.restoration.backbone.conv_first.register_forward_pre_hook(  # type: ignore[attr-defined]
        lambda _, inputs: seen.append(tuple(inputs[0].shape))
    )
    with torch.no_grad():
        output = model(torch.rand(1, 3, 4, 4))
    assert seen == [(1, 3, 4, 4)]
    assert output.image.shape == output.regression.shape == (1, 3, 32, 32)
