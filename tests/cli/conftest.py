"""What the tests of commands that work on files share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.cli.batches import make
from ugpnet_core.config import ComponentConfig, ModelConfig
from ugpnet_core.image import write_image
from ugpnet_core.model_files.model import save_model
from ugpnet_core.networks.ugpnet import build_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of a tiny, untrained UGPNet at 32 pixels."""
    torch.manual_seed(0)
    config = ModelConfig(
        backbone=ComponentConfig(
            name="nafnet",
            options={"width": 4, "enc_blk_nums": [1], "middle_blk_num": 1, "dec_blk_nums": [1]},
        ),
        prior=ComponentConfig(
            name="stylegan2",
            options={"resolution": 32, "style_dim": 8, "num_mlp": 1, "narrow": 1 / 64},
        ),
        merging_channels=4,
        fusion_channels=4,
        fusion_blocks=1,
    )
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(build_model(config), path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    for name, size in [("a.png", (20, 30)), ("b.jpg", (45, 33)), ("sub/c.webp", (32, 32))]:
        write_image(tmp_path / "in" / name, torch.rand(3, *size, generator=generator))
    return tmp_path / "in"


@pytest.fixture
def trip(tmp_path: Path) -> Path:
    return make(tmp_path / "trip", "1.png", "2.png", "3.png")
