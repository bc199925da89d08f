"""U-Nets over timm's encoders: several families, their sizes, and where their weights come from."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

import ugpnet_core as ug
from ugpnet_backbones.timm_unet.network import TimmUNet
from ugpnet_core.checkpoints.state_dict import load_weights
from ugpnet_core.errors import ConfigError, SizeError, WeightsError
from ugpnet_core.protocols import Backbone

THIN = [4, 4, 4, 4, 5]


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> bool:
    assert a.shape == b.shape
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


def tiny(encoder: str = "test_resnet", **options: Any) -> TimmUNet:
    """With a thin decoder, and away from initial values, of which some are zero."""
    torch.manual_seed(0)
    options = {"encoder": encoder, "decoder_channels": THIN, **options}
    network = ug.create_backbone("timm_unet", **options)
    assert isinstance(network, TimmUNet)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return network.eval()


# --- families of encoders -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoder", "options", "reductions", "multiple", "fixed"),
    [
        ("test_resnet", {}, [2, 4, 8, 16, 32], 32, None),
        ("test_convnext", {}, [4, 8, 16, 32], 32, None),
        ("test_efficientnet", {}, [2, 4, 8, 16, 32], 32, None),
        ("edgenext_xx_small", {}, [4, 8, 16, 32], 32, None),
        ("pvt_v2_b0", {}, [4, 8, 16, 32], 32, None),
        ("swin_tiny_patch4_window7_224", {"out_indices": [0, 1]}, [4, 8], 8, None),  # (N, H, W, C)
        ("test_maxvit", {"img_size": 64}, [2, 4, 8, 16, 32], 64, None),  # windows
        ("test_coatnet", {"img_size": 64}, [2, 4, 8, 16, 32], 64, 64),  # position embeddings
        ("test_vit", {}, [16, 16, 16], 16, None),  # maps of one scale
        ("sedarknet21", {"out_indices": [0, 1, 2]}, [1, 2, 4], 4, None),  # one of full size
        ("test_byobnet", {"out_indices": [2]}, [8], 8, None),
        ("inception_v3", {"out_indices": [0, 1]}, [2, 4], 24, None),  # without padding
    ],
)
def test_encoders_of_every_family(
    encoder: str, options: dict[str, Any], reductions: list[int], multiple: int, fixed: int | None
) -> None:
    widths = THIN[-(max(reductions).bit_length() - 1) :]
    network = tiny(encoder, **options, decoder_channels=widths)
    assert isinstance(network, Backbone)
    assert (network.kind, network.scale, network.feature_channels) == ("direct", 1, 5)
    assert network.reductions == reductions
    assert (network.size_multiple, network.fixed_size) == (multiple, fixed)

    x = torch.rand(2, 3, 2 * multiple - 5 if fixed is None else fixed - 5, multiple - 3)
    with torch.no_grad():
        y = network(x)
        assert y.shape == x.shape
        assert close(y[1:], network(x[1:]), 1e-4)
        assert torch.equal(y, copy.deepcopy(network)(x))

    network.train()(x).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@torch.no_grad()
def test_the_decoder_follows_its_formulas() -> None:
    network = tiny("test_convnext", decoder_channels=[6, 5, 4, 3, 2])
    sd = network.state_dict()
    x = torch.rand(2, 3, 32, 64)
    normalised = (x - 0.5) / 0.5  # as this encoder was trained
    quarter, eighth, sixteenth, f = network.encoder(normalised)
    # From 1/32 of the size; the encoder has no map of half the size.
    for index, skip in enumerate([sixteenth, eighth, quarter, None, normalised]):
        f = f.repeat_interleave(2, 2).repeat_interleave(2, 3)
        f = f if skip is None else torch.cat([f, skip], 1)
        for layer in (0, 2):
            name = f"decoder.{index}.{layer}"
            f = F.conv2d(f, sd[f"{name}.weight"], sd[f"{name}.bias"], padding=1).clamp(min=0)
    assert close(network.forward_features(x), f)
    assert close(network(x), F.conv2d(f, sd["to_image.weight"], sd["to_image.bias"], padding=1))


def test_default_widths_double_towards_the_coarse_end() -> None:
    network = TimmUNet("test_convnext")
    assert [block.get_submodule("0").out_channels for block in network.decoder] == [
        512,
        256,
        128,
        64,
        32,
    ]
    network = TimmUNet("test_convnext", out_indices=[0, 1])
    assert [block.get_submodule("0").out_channels for block in network.decoder] == [128, 64, 32]


def test_an_image_larger_than_a_fixed_size_is_refused() -> None:
    with pytest.raises(SizeError, match="64x64"):
        tiny("test_coatnet", img_size=64)(torch.rand(1, 3, 65, 64))


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "resnet_18"}, "did you mean .*resnet18"),
        ({"encoder": "~?"}, r"timm\.list_models"),
        ({"encoder": "hf-hub:timm/resnet18.a1_in1k"}, "no encoder"),
        ({"encoder": "test_resnet.wrong"}, r"choose test_resnet or test_resnet\.r160_in1k"),
        ({"encoder": "test_resnet", "out_indices": [0, 9]}, r"\[0, 9\]"),
        ({"encoder": "test_resnet", "out_indices": []}, "out_indices"),
        ({"encoder": "test_resnet", "img_size": 64}, "has no img_size"),
        ({"encoder": "test_resnet", "decoder_channels": [4, 4]}, "has 2 widths, .* give it 5"),
        ({"encoder": "test_resnet", "decoder_channels": [4, 4, 4, 4, 0]}, "decoder_channels"),
        ({"encoder": "crossvit_tiny_240", "out_indices": [7]}, "out_indices"),
        ({"encodr": "test_resnet"}, "did you mean 'encoder'"),
        ({"pretrained": True, "checkpoint_path": "a.pth"}, "choose one"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ug.create_backbone("timm_unet", **options)


# --- weights --------------------------------------------------------------------------------------


def test_without_a_network_connection_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with caplog.at_level(logging.WARNING), pytest.raises(WeightsError) as caught:
        ug.create_backbone("timm_unet", encoder="test_resnet", pretrained=True)
    for part in (
        "test_resnet",
        "timm/test_resnet.r160_in1k",
        "checkpoint_path",
        "pretrained=False",
    ):
        assert part in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    # It was said before it was tried.
    assert "timm/test_resnet.r160_in1k" in caplog.text


@pytest.mark.parametrize("error", [ConnectionError("refused"), TimeoutError("slow")])
def test_a_lost_connection_is_a_weights_error(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def lost(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(timm.models._hub, "hf_hub_download", lost)
    with pytest.raises(WeightsError, match=str(error)) as caught:
        ug.create_backbone("timm_unet", encoder="test_resnet", pretrained=True)
    assert caught.value.__cause__ is error


def test_an_encoder_without_published_weights(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigError, match="pretrained=False"):
        ug.create_backbone("timm_unet", encoder="resnet50_mlp", pretrained=True)
    assert not caplog.records


def test_pretrained_weights_are_used_and_not_fetched_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    source = timm.create_model("test_resnet")
    path = tmp_path / "model.safetensors"
    save_file(source.state_dict(), path)
    monkeypatch.setattr(timm.models._hub, "hf_hub_download", lambda *_, **__: str(path))
    network = TimmUNet("test_resnet", pretrained=True, decoder_channels=THIN)
    found = network.encoder.state_dict()
    assert all(torch.equal(found[key], source.state_dict()[key]) for key in found)
    assert network.rebuild_options["pretrained"] is False
    monkeypatch.undo()
    again = TimmUNet(**network.rebuild_options)
    again.load_state_dict(network.state_dict(), strict=True)
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(again.eval()(x), network.eval()(x))


@pytest.mark.parametrize("encoder", ["test_resnet", "test_convnext"])
def test_weights_of_an_encoder_from_a_file(encoder: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    source: Any = timm.create_model(encoder)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "encoder.pth")
    path = str(tmp_path / "encoder.pth")
    network = TimmUNet(encoder, checkpoint_path=path, decoder_channels=THIN)
    assert "checkpoint_path" not in network.rebuild_options
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = source.eval().forward_intermediates(x, intermediates_only=True)
        found = network.eval().encoder(x)
    assert all(close(a, b) for a, b in zip(found, expected[-len(found) :], strict=True))


def test_a_file_that_does_not_fit_the_encoder(tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    save_file({"middle_blks.0.conv1.weight": torch.rand(2, 2)}, path)
    with pytest.raises(WeightsError, match=r"lacks .*NAFNet"):
        TimmUNet("test_resnet", checkpoint_path=str(path))
    state = timm.create_model("test_resnet").state_dict()
    save_file({key: value for key, value in state.items() if "layer3" not in key}, path)
    with pytest.raises(WeightsError, match="layer3"):
        TimmUNet("test_resnet", checkpoint_path=str(path))
    save_file({**state, "conv1.0.weight": torch.rand(1, 3, 3, 3)}, path)
    with pytest.raises(WeightsError, match=r"conv1\.0"):
        TimmUNet("test_resnet", checkpoint_path=str(path))
    with pytest.raises(WeightsError, match="no weights file"):
        TimmUNet("test_resnet", checkpoint_path=str(tmp_path / "none.pth"))


def test_weights_of_the_whole_network_from_a_file(tmp_path: Path) -> None:
    network = tiny()
    save_file(network.state_dict(), tmp_path / "network.safetensors")
    other = TimmUNet("test_resnet", decoder_channels=THIN).eval()
    load_weights(other, tmp_path / "network.safetensors")
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(other(x), network(x))


# --- in a whole model -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resolution", "options"),
    [
        (32, {"encoder": "test_resnet", "checkpoint_path": "encoder.pth"}),
        (64, {"encoder": "test_convnext", "decoder_channels": THIN}),
    ],
)
@torch.no_grad()
def test_a_model_is_saved_and_loaded_without_the_encoders_file(
    resolution: int, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(timm.create_model("test_resnet").state_dict(), "encoder.pth")
    prior = {"resolution": resolution, "style_dim": 8, "num_mlp": 1, "narrow": 1 / 64}
    config = ug.ModelConfig.model_validate(
        {
            "backbone": {"name": "timm_unet", "options": options},
            "prior": {"name": "stylegan2", "options": prior},
            "fusion_blocks": 1,
        }
    )
    model = ug.build_model(config).eval()
    ug.save_model(model, "model.safetensors")
    Path("encoder.pth").unlink()
    loaded = ug.load_model("model.safetensors")
    x = torch.rand(1, 3, resolution, resolution)
    for found, expected in zip(loaded(x), model(x), strict=True):
        assert torch.equal(found, expected)


def test_too_small_a_fixed_size_for_the_prior_is_refused() -> None:
    backbone = {"encoder": "test_coatnet", "img_size": 32, "decoder_channels": THIN}
    prior = {"resolution": 64, "style_dim": 8, "num_mlp": 1, "narrow": 1 / 64}
    config = ug.ModelConfig.model_validate(
        {
            "backbone": {"name": "timm_unet", "options": backbone},
            "prior": {"name": "stylegan2", "options": prior},
        }
    )
    with pytest.raises(ConfigError, match="32x32"):
        ug.build_model(config)
