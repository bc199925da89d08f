"""The smallest model with all parts, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import ugpnet_core as ug


@pytest.fixture(scope="session")
def tiny(training_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file with random weights, for faces of 32 pixels."""
    content = training_settings["model"] | {"task": {"name": "deblur"}, "domain": "faces"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ug.build_model(ug.ModelConfig.model_validate(content))
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    ug.save_model(model, path)
    return path


@pytest.fixture(scope="session")
def slopes() -> Tensor:
    """A smooth picture of odd sides, (3, 45, 71)."""
    rng = torch.Generator().manual_seed(0)
    corners = 0.2 + 0.6 * torch.rand(1, 3, 3, 4, generator=rng)
    return torch.nn.functional.interpolate(corners, (45, 71), mode="bicubic")[0].clamp(0, 1)
