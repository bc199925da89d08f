"""LPIPS against the lpips package itself, with the same random trunk."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ugpnet_core.config import PerceptualConfig
from ugpnet_core.losses.perceptual import build_lpips, perceptual_config
from ugpnet_core.metrics.networks import metric_networks

FILES = {"squeeze": "squeezenet.safetensors", "vgg": "vgg16.pth", "alex": "alexnet.pth"}


def published(network: str) -> Any:
    """lpips.LPIPS with an untrained trunk and the published linear layers."""
    import lpips

    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        # The classifiers are thrown away; filling their 120 million weights takes seconds.
        patch.setattr(torch.nn.Linear, "reset_parameters", lambda _: None)
        patch.setattr(torch.nn.init, "normal_", lambda *_, **__: None)
        model = lpips.LPIPS(net=network, pnet_rand=True, verbose=False)
    return model.eval()


def trunk_of(model: Any) -> dict[str, torch.Tensor]:
    """The trunk's tensors as torchvision names them: the package numbers layers as it does."""
    return {
        f"features.{key.partition('.')[2]}": value.contiguous()
        for key, value in model.net.state_dict().items()
    }


@pytest.mark.parametrize("network", ["squeeze", "vgg", "alex"])
@torch.no_grad()
def test_lpips_is_that_of_the_package(network: Any, tmp_path: Path) -> None:
    reference = published(network)
    state = trunk_of(reference)
    if FILES[network].endswith(".pth"):
        torch.save(state, tmp_path / FILES[network])
    else:
        save_file(state, tmp_path / FILES[network])
    config = (
        perceptual_config(tmp_path)
        if network != "vgg"
        else PerceptualConfig(network="vgg", weights=tmp_path, resize=None)
    )
    assert config.network == network
    own = build_lpips(config)
    rng = torch.Generator().manual_seed(1)
    x, target = torch.rand(2, 2, 3, 64, 71, generator=rng)
    expected = reference(x, target, normalize=True).flatten()
    torch.testing.assert_close(own(x, target, reduction="none"), expected, rtol=1e-4, atol=1e-7)
    # One target for several images, as an evaluation compares the methods of a photograph.
    several = own(x, target[:1], reduction="none")
    again = reference(x, target[:1].expand_as(x), normalize=True).flatten()
    torch.testing.assert_close(several, again, rtol=1e-4, atol=1e-7)
    titles = [metric.title for metric in metric_networks(config).metrics]
    lpips = next(title for title in titles if "LPIPS" in title)
    assert {"squeeze": "SqueezeNet", "vgg": "LPIPS-VGG", "alex": "LPIPS-Alex"}[network] in lpips
