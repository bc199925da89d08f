"""Whole models in the key layout of the published checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ugpnet_core.config import ComponentConfig, ModelConfig, TaskConfig
from ugpnet_core.errors import WeightsError
from ugpnet_core.model_file import load_model
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.published import PREFIXES, from_published, is_published

State = dict[str, Tensor]


def close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    assert a.shape == b.shape
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


@torch.no_grad()
def test_the_published_model_computes_the_published_numbers(
    golden: Callable[[str], tuple[State, State]], tmp_path: Path
) -> None:
    weights, expected = golden("ugpnet_nafnet_deblur_512")
    save_file(weights, tmp_path / "published.safetensors")
    model = load_model(tmp_path / "published.safetensors")
    assert sum(p.numel() for p in model.parameters()) == 69_557_104
    restored = model.restoration(expected["input"])
    code = model.synthesis.encode(restored.image)
    synthesised = model.synthesis.generator.synthesize(*code)
    image = model.fusion(restored.features, synthesised.features)
    thin = slice(None, None, 16)
    for name, ours in {
        "x_reg": restored.image[..., thin, thin],
        "f_reg": restored.features[:, thin, thin, thin],
        "base_code": code.base[:, thin],
        "styles": code.styles,
        "x_syn": synthesised.image[..., thin, thin],
        "f_syn": synthesised.features[:, thin, thin, thin],
        "x_hat": image[..., thin, thin],
        "x_hat_crop": image[..., 200:232, 300:332],
    }.items():
        assert close(ours, expected[name], 1e-3), name


def config_of(
    nafnet: dict[str, Any], stylegan2: dict[str, Any], encoder_channels: list[int], **others: int
) -> ModelConfig:
    return ModelConfig(
        backbone=ComponentConfig(
            name="nafnet", options={**nafnet, "local_pooling": True, "train_size": 256}
        ),
        prior=ComponentConfig(name="stylegan2", options=stylegan2),
        task=TaskConfig(name="deblur"),
        encoder_channels=encoder_channels,
        **others,
    )


SMALL = config_of(
    {"width": 3, "middle_blk_num": 2, "enc_blk_nums": [1, 2], "dec_blk_nums": [2, 1]},
    {
        "resolution": 64,
        "style_dim": 8,
        "num_mlp": 3,
        "channel_multiplier": 1,
        "narrow": 1 / 64,
        "base_size": 16,
    },
    [4, 6, 8],
    merging_channels=5,
    map2style_channels=7,
    fusion_blocks=2,
)
SMALLER = config_of(
    {"width": 2, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1]},
    {
        "resolution": 32,
        "style_dim": 4,
        "num_mlp": 1,
        "channel_multiplier": 1,
        "narrow": 1 / 128,
        "base_size": 8,
    },
    [2, 3, 4],
    merging_channels=4,
    map2style_channels=3,
    fusion_blocks=1,
)


def published(config: ModelConfig) -> State:
    """The weights of a model in the published layout."""
    theirs = {ours: published for published, ours in PREFIXES.items()}
    state = {}
    for key, value in build_model(config).state_dict().items():
        ours = next(prefix for prefix in theirs if key.startswith(prefix))
        state[theirs[ours] + key.removeprefix(ours)] = value
    return state


@pytest.mark.parametrize("config", [SMALL, SMALLER])
def test_the_shapes_tell_the_configuration(config: ModelConfig) -> None:
    state = published(config)
    assert is_published(state)
    found, renamed = from_published(state)
    assert found == config
    assert renamed.keys() == build_model(config).state_dict().keys()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@torch.no_grad()
def test_a_published_file_is_loaded_whatever_wraps_it(suffix: str, tmp_path: Path) -> None:
    state = published(SMALLER)
    path = tmp_path / f"model{suffix}"
    wrapped = {f"module.{key}": value for key, value in state.items()}
    if suffix == ".pth":
        torch.save({"params": wrapped, "iteration": 3}, path)
    else:
        save_file(wrapped, path, metadata={"format": "pt"})
    model = load_model(path)
    assert model.config == SMALLER
    assert torch.equal(model.fusion.conv.weight, state["fusmodule.conv.weight"])
    assert model(torch.rand(2, 3, 32, 32)).image.shape == (2, 3, 32, 32)


def test_what_cannot_be_read_says_why() -> None:
    state = published(SMALLER)
    other = {key.replace("intro", "conv_first"): value for key, value in state.items()}
    with pytest.raises(WeightsError, match="other than NAFNet"):
        from_published(other)
    with pytest.raises(WeightsError, match=r"'extra\.weight'"):
        from_published({**state, "extra.weight": torch.zeros(1)})
    for part in ("synmodule.fencoder.", "synmodule.generator.", "synmodule.wmodule."):
        rest = {key: value for key, value in state.items() if not key.startswith(part)}
        with pytest.raises(WeightsError, match="incomplete"):
            from_published(rest)
    misfit = {**state, "synmodule.fencoder.conv1x1.weight": torch.zeros(9, 4, 1, 1)}
    with pytest.raises(WeightsError, match="does not fit its generator"):
        from_published(misfit)
