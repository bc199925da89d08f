"""Golden numbers for every test that compares with them; tests/golden/README.md has the rules."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

FOLDER = Path(__file__).parent / "golden"


def _random_state(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))


@pytest.fixture(scope="session")
def golden() -> Callable[[str], tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """A function from the name of a golden file to the weights that it prescribes and to its
    tensors, inputs among them."""

    def read(name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        described = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        prefix = "discriminator/" if name.endswith("_discriminator") else ""
        weights = {}
        for key, entry in described["state"].items():
            drawn = _random_state(prefix + key).standard_normal(entry["shape"]).astype("float32")
            weights[key] = torch.from_numpy(entry["offset"] + entry["scale"] * drawn).float()
        tensors = load_file(FOLDER / f"{name}.safetensors")
        shapes = described["tensors"]
        shape = [1, 3, 512, 512] if "input_seed" in shapes else shapes.get("input")
        if shape and "input" not in tensors:
            drawn = _random_state(f"{name}/input").random_sample(shape).astype("float32")
            tensors["input"] = torch.from_numpy(drawn)
        return weights, tensors

    return read
