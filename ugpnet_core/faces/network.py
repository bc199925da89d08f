"""The two small networks that find faces: a detector over a photograph, a refiner over crops.

Not from a paper: the detector marks centres as CenterNet (Zhou et al., 2019) does, and the refiner
corrects a first guess as the cascade of MTCNN (Zhang et al., 2016) does, with an aligned square
in place of a box. Both are trained by ``python -m examples.faces``, whose docstring
says on what and with which rights.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

WEIGHTS = Path(__file__).with_name("weights.safetensors")
STRIDE = 8
"""Pixels between two locations of the detector."""
TYPICAL_SIDE = 45.0
"""Pixels: the side of square that the detector's third output counts from."""
CROP = 64
"""Pixels: height and width of the refiner's input."""
CROP_REACH = 1.35
"""How much wider than the guessed square the refiner's input is."""


class FaceDetector(nn.Module):
    """At each location: is this a face's centre, and where exactly does its square lie.

    RGB (N, 3, H, W) in [0, 1], H and W multiples of 8, to (N, 6, H/8, W/8): the logit of a face;
    the centre's offset from the location's middle in units of 16 pixels (x, y); log of the side
    over 45 pixels; sine and cosine of the angle. It knows squares with sides of 26 to 76 pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shrink = nn.Sequential(
            ConvBlock(3, 24, stride=2), ConvBlock(24, 40, stride=2), ConvBlock(40, 64, stride=2)
        )
        self.look_around = nn.Sequential(
            ConvBlock(64, 64),
            ConvBlock(64, 64, dilation=2),
            ConvBlock(64, 64, dilation=2),
            ConvBlock(64, 64),
        )
        self.answer = nn.Conv2d(64, 6, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Look at RGB (N, 3, H, W) in [0, 1]."""
        answer: Tensor = self.answer(self.look_around(self.shrink(image * 4 - 2)))
        return answer


class FaceRefiner(nn.Module):
    """How a guessed square has to move to be aligned, and whether it holds a face at all.

    RGB (N, 3, 64, 64) in [0, 1], the guessed square upright in the middle with 1.35 times its side
    visible, to (N, 5): the logit of a face; what the centre has to move by, in sides (x, y, along
    the guessed square's axes); log of the factor for its side; the angle to add, in radians.
    Brightness and contrast of the crop do not matter.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            ConvBlock(3, 24, stride=2),
            ConvBlock(24, 48, stride=2),
            ConvBlock(48, 48),
            ConvBlock(48, 80, stride=2),
            ConvBlock(80, 80),
            ConvBlock(80, 112, stride=2),
            ConvBlock(112, 48, size=1),
        )
        self.answer = nn.Sequential(
            nn.Flatten(), nn.Linear(48 * (CROP // 16) ** 2, 96), nn.ReLU(), nn.Linear(96, 5)
        )

    def forward(self, crop: Tensor) -> Tensor:
        """Look at RGB (N, 3, 64, 64) in [0, 1]."""
        mean = crop.mean(dim=(1, 2, 3), keepdim=True)
        spread = crop.std(dim=(1, 2, 3), keepdim=True).clamp(min=0.02)
        answer: Tensor = self.answer(self.features((crop - mean) / spread))
        return answer


class ConvBlock(nn.Module):
    """Convolution, batch normalisation (folded into it by `fold`), ReLU."""

    def __init__(
        self, inputs: int, outputs: int, *, size: int = 3, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        self.conv: nn.Conv2d = nn.Conv2d(
            inputs, outputs, size, stride, dilation * (size // 2), dilation
        )
        self.norm: nn.Module = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        return torch.relu_(self.norm(self.conv(features)))

    def fold(self) -> None:
        """Let the convolution do what the trained normalisation does."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())
            self.norm = nn.Identity()


class Networks(NamedTuple):
    """What a finder needs, ready for use."""

    detector: FaceDetector
    refiner: FaceRefiner


def save_networks(networks: Networks, path: Path, record: dict[str, str]) -> None:
    """Fold the normalisations and write both networks as float16, with `record` beside them."""
    tensors = {}
    for name, network in networks._asdict().items():
        fold(network)
        for key, tensor in network.state_dict().items():
            tensors[f"{name}.{key}"] = tensor.to(torch.float16).contiguous()
    save_file(tensors, path, record)


def load_networks(path: Path = WEIGHTS) -> Networks:
    """Read what `save_networks` wrote, as float32 on the CPU."""
    networks = Networks(FaceDetector(), FaceRefiner())
    tensors = load_file(path)
    for name, network in networks._asdict().items():
        fold(network)
        keys = network.state_dict().keys()
        network.load_state_dict({key: tensors[f"{name}.{key}"].float() for key in keys})
        network.requires_grad_(False)
    return networks


def fold(network: nn.Module) -> None:
    """Fold every normalisation of a trained network, which is then for use only."""
    network.eval()
    for module in network.modules():
        if isinstance(module, ConvBlock):
            module.fold()
