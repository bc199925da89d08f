"""Several models with one synthesis module, which lies in one file only."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.core.test_model_file import CONFIG, rewritten
from ugpnet_core.cli import main
from ugpnet_core.errors import WeightsError
from ugpnet_core.model_files.inspection import inspect
from ugpnet_core.model_files.model import load_model, read_card, save_model
from ugpnet_core.networks.ugpnet import UGPNet, build_model
from ugpnet_core.plugins import Installed, ModelEntry
from ugpnet_core.testing import check_model
from ugpnet_core.training.own_modules import read_own_module


@pytest.fixture(scope="module")
def pair() -> tuple[UGPNet, UGPNet]:
    """Two models whose restoration and fusion differ and whose synthesis is the same."""
    torch.manual_seed(1)
    one, other = build_model(CONFIG), build_model(CONFIG)
    other.synthesis.load_state_dict(one.synthesis.state_dict())
    return one.eval(), other.eval()


@pytest.fixture
def files(pair: tuple[UGPNet, UGPNet], tmp_path: Path) -> tuple[Path, Path]:
    """The files of both; the second has no synthesis module."""
    whole, part = tmp_path / "whole.safetensors", tmp_path / "part.safetensors"
    save_model(pair[0], whole, dtype=torch.float16)
    save_model(pair[1], part, dtype=torch.float16, synthesis_of=whole)
    return whole, part


def test_a_module_that_is_left_out_comes_back(
    pair: tuple[UGPNet, UGPNet], files: tuple[Path, Path], tmp_path: Path
) -> None:
    whole, part = files
    assert not any(key.startswith("synthesis.") for key in load_file(part))
    assert part.stat().st_size < 0.9 * whole.stat().st_size
    alone = tmp_path / "alone.safetensors"
    save_model(pair[1], alone, dtype=torch.float16)
    expected, loaded = load_model(alone).state_dict(), load_model(part).state_dict()
    assert expected.keys() == loaded.keys()
    assert all(torch.equal(expected[key], value) for key, value in loaded.items())


def test_training_inspecting_and_restoring_find_it(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    whole, part = files
    module, theirs = read_own_module(part, "synthesis"), read_own_module(whole, "synthesis")
    assert module is not None
    assert theirs is not None
    assert module.tensors.keys() == theirs.tensors.keys()
    assert inspect(part)["shared"] == {"synthesis": "whole.safetensors"}
    assert main(["sample", str(part), "-o", str(tmp_path / "grid.png")]) == 0
    checks = {result.name: result.status for result in check_model(part).results}
    assert (checks["file"], checks["loads"]) == ("passed", "passed")


def test_the_other_model_may_be_an_installed_one(
    pair: tuple[UGPNet, UGPNet],
    files: tuple[Path, Path],
    tmp_path: Path,
    installed_plugins: Callable[..., None],
) -> None:
    """Then its file need not lie beside: the name finds it, and a file of the same name beside
    that holds another module does not come before it."""
    whole, _ = files
    entry = ModelEntry(
        name="faces",
        description="a test",
        file=str(whole),
        sha256=hashlib.sha256(whole.read_bytes()).hexdigest(),
        task="denoise",
        resolution=16,
    )
    installed_plugins(Installed(entry, "acme", "1"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    part = elsewhere / "part.safetensors"
    save_model(pair[1], part, dtype=torch.float16, synthesis_of="faces")
    assert read_card(part).shared["synthesis"].model == "faces"
    load_model(part)
    save_model(build_model(CONFIG), elsewhere / "whole.safetensors", dtype=torch.float16)
    load_model(part)


def test_a_file_that_is_not_there_is_named(files: tuple[Path, Path]) -> None:
    whole, part = files
    whole.unlink()
    with pytest.raises(WeightsError, match=r"from whole\.safetensors, which is not there; put it"):
        load_model(part)


def test_another_module_is_not_taken_for_it(files: tuple[Path, Path]) -> None:
    whole, part = files
    save_model(build_model(CONFIG), whole, dtype=torch.float16)
    with pytest.raises(WeightsError, match="has another one; get both files"):
        load_model(part)


def test_a_module_that_differs_is_not_shared(
    pair: tuple[UGPNet, UGPNet], files: tuple[Path, Path], tmp_path: Path
) -> None:
    stranger = build_model(CONFIG)
    with pytest.raises(WeightsError, match=r"is not what .*whole\.safetensors has"):
        save_model(stranger, tmp_path / "new.safetensors", synthesis_of=files[0])
    assert not (tmp_path / "new.safetensors").exists()


def test_nothing_is_shared_at_second_hand(
    pair: tuple[UGPNet, UGPNet], files: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="no synthesis module of its own to share"):
        save_model(pair[1], tmp_path / "new.safetensors", synthesis_of=files[1])


@pytest.mark.parametrize("file", ["../whole.safetensors", "/etc/passwd", "", ".hidden"])
def test_a_strangers_file_names_no_path(files: tuple[Path, Path], file: str) -> None:
    digest = read_card(files[1]).shared["synthesis"].digest
    rewritten(files[1], shared=f'{{"synthesis": {{"file": "{file}", "digest": "{digest}"}}}}')
    with pytest.raises(WeightsError, match=r"description inside .* is damaged"):
        load_model(files[1])


def test_a_damaged_tensor_is_noticed(files: tuple[Path, Path], tmp_path: Path) -> None:
    whole, part = files
    tensors = load_file(whole)
    key = next(
        key for key, value in tensors.items() if key.startswith("synthesis.") and value.dim()
    )
    tensors[key] = tensors[key] + 1
    kept = tmp_path / "kept.safetensors"
    shutil.copy(whole, kept)
    save_file(tensors, whole)
    with pytest.raises(WeightsError, match="another one"):
        load_model(part)
    shutil.copy(kept, whole)
    load_model(part)
