"""Checkpoints in the layouts of Real-ESRGAN, GFP-GAN and RestoreFormer, as files of methods.

Their weights are random and their networks narrow; the keys are the published ones, which is what
spandrel knows the networks by.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

import ugpnet_core as ug
from ugpnet_core.cli import main
from ugpnet_core.evaluation import foreign
from ugpnet_core.evaluation.foreign import ForeignNetwork

SIDE = 64


def stored(network: nn.Module, path: Path, key: str) -> Path:
    """A checkpoint of a network in which nothing is zero that hides a part of it: GFP-GAN adds
    noise of strength zero before it was trained."""
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.add_(0.1 * torch.randn_like(parameter))
    torch.save({key: network.state_dict()}, path)
    return path


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """By method, its checkpoint."""
    from spandrel.architectures import GFPGAN
    from spandrel.architectures.RestoreFormer import RestoreFormer

    narrow = GFPGAN.GFPGAN

    def smaller(**arguments: Any) -> nn.Module:
        small = {"out_size": SIDE, "narrow": 1 / 32, "num_style_feat": 8}
        network: nn.Module = narrow(**{**arguments, **small})
        return network

    # Of GFP-GAN, spandrel makes the one size that was published: 330 MB.
    monkeypatch.setattr(GFPGAN, "GFPGAN", smaller)
    monkeypatch.setattr(foreign, "FACE_SIDE", SIDE)
    torch.manual_seed(0)
    networks: dict[str, Any] = {
        "Real-ESRGAN": ug.create_backbone("rrdbnet", scale=4, num_feat=8, num_block=1),
        "GFP-GAN": smaller(),
        "RestoreFormer": RestoreFormer(
            n_embed=8,
            embed_dim=32,
            ch=32,
            out_ch=3,
            ch_mult=(1,) * 6,
            num_res_blocks=1,
            attn_resolutions=(16,),
            resolution=512,
            z_channels=32,
            double_z=False,
        ),
    }
    keys = {"Real-ESRGAN": "params_ema", "GFP-GAN": "params_ema", "RestoreFormer": "params"}
    return {
        name: stored(network, tmp_path / f"{name}.pth", keys[name])
        for name, network in networks.items()
    }


def test_two_comparisons_have_the_same_figures(
    files: dict[str, Path],
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {
        "name": "published",
        "data": {"photographs": [str(photographs)], "resolution": 32, "count": 2},
        "tasks": ["denoise"],
        "metrics": ["psnr", "ssim"],
        "methods": [{"name": name, "network": str(path)} for name, path in files.items()],
        "batch_size": 2,
        "cost": None,
        "figures": None,
    }
    found = []
    for output in ("first", "second"):
        Path("compare.yaml").write_text(yaml.safe_dump({**settings, "output": output}))
        assert main(["compare", "compare.yaml"]) == 0, capsys.readouterr().err
        torch.rand(1)
        (task,) = json.loads((tmp_path / output / "results.json").read_text())["tasks"]
        assert [each["name"] for each in task["methods"]] == ["degraded", *files]
        for name, known_as in zip(files, ("ESRGAN", "GFPGAN", "RestoreFormer"), strict=True):
            assert task["protocol"][name].startswith(f"{known_as} by spandrel")
            assert not [each for each in task["findings"] if "values from" not in each["reason"]]
        found.append((tmp_path / output / "per-image.csv").read_bytes())
    assert found[0] == found[1]


@torch.no_grad()
def test_gfpgan_draws_noise_and_sees_images_as_its_own_program_does(files: dict[str, Path]) -> None:
    network = ForeignNetwork(files["GFP-GAN"])
    x = torch.rand(1, 3, SIDE, SIDE)
    torch.manual_seed(1)
    image = network(x)
    assert not torch.equal(network(x), image)
    torch.manual_seed(1)
    # GFPGANer.enhance: normalize(x, 0.5, 0.5), and tensor2img(image, min_max=(-1, 1)).
    published = (network.network((x - 0.5) / 0.5)[0].clamp(-1, 1) + 1) / 2
    torch.testing.assert_close(image.clamp(0, 1), published)
    assert published.std() > 0.01
