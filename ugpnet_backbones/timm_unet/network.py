"""A U-Net decoder over an encoder of timm.

Decoder: O. Ronneberger, P. Fischer, T. Brox: U-Net: Convolutional Networks for Biomedical Image
Segmentation, MICCAI 2015, https://arxiv.org/abs/1505.04597, section 2. Encoders: R. Wightman:
PyTorch Image Models, https://github.com/huggingface/pytorch-image-models, Apache-2.0; each model
has a paper of its own, and its weights a licence of their own. This is an independent
implementation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_backbones.timm_unet.encoder import make_encoder
from ugpnet_backbones.timm_unet.sizes import as_channels_first, centred, find_size_rule
from ugpnet_core.plugins import ConfigError, RegressionNetwork, TwoConvolutions

LAST_WIDTH, LARGEST_WIDTH = 32, 512


class TimmUNet(RegressionNetwork):
    """A direct backbone; feature_channels is the last of ``decoder_channels``.

    The decoder doubles the size of the encoder's coarsest map again and again. At each size it
    joins the encoder's maps of that size, where there are any, and at full resolution the image.
    ``size_multiple`` and ``fixed_size`` are what the encoder needs.

    Raises:
        ConfigError: ``decoder_channels`` has the wrong length; and see
            :func:`ugpnet_backbones.timm_unet.encoder.make_encoder`.
        WeightsError: as ``make_encoder``.
    """

    kind: Literal["direct", "residual"] = "direct"
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: str = "resnet18",
        pretrained: bool = False,
        checkpoint_path: str | None = None,
        out_indices: Sequence[int] | None = None,
        img_size: int | None = None,
        decoder_channels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.encoder: Any = make_encoder(
            encoder, pretrained, checkpoint_path, out_indices, img_size
        )
        described = self.encoder.pretrained_cfg
        usual_side = img_size or described["input_size"][-1]
        self.size_multiple, self.fixed_size = find_size_rule(self.encoder, encoder, usual_side)
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(described[name]).reshape(1, 3, 1, 1))
        # A model file holds the weights, so rebuilding from it must not look for them elsewhere.
        self.rebuild_options: dict[str, Any] = {
            "encoder": encoder,
            "pretrained": False,
            "out_indices": None if out_indices is None else list(out_indices),
            "img_size": img_size,
            "decoder_channels": None if decoder_channels is None else list(decoder_channels),
        }

        self.reductions: list[int] = self.encoder.feature_info.reduction()
        maps: dict[int, int] = defaultdict(int)  # channels of all maps of a reduction, joined
        for reduction, channels in zip(
            self.reductions, self.encoder.feature_info.channels(), strict=True
        ):
            maps[reduction] += channels
        self.sizes = _decoder_sizes(sorted(maps))
        widths = _widths(self.sizes, decoder_channels, encoder)
        self.feature_channels = widths[-1]
        coarsest = max(maps)
        entering = [maps.pop(coarsest), *widths[:-1]]
        maps[1] += 3
        self.decoder = nn.ModuleList(
            TwoConvolutions(below + maps[size], width)
            for below, size, width in zip(entering, self.sizes, widths, strict=True)
        )
        self.to_image = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map x (N, 3, H, W) to what enters the last convolution (N, feature_channels, H, W); H and
        W are multiples of ``size_multiple``, or ``fixed_size``."""
        height, width = x.shape[2:]
        x = (x - self.mean) / self.std
        maps = defaultdict(list)
        encoded = as_channels_first(self.encoder, self.encoder(x))
        for reduction, each in zip(self.reductions, encoded, strict=True):
            maps[reduction].append(centred(each, height // reduction, width // reduction))
        f = torch.cat(maps.pop(max(maps)), dim=1)
        maps[1].append(x)
        for size, block in zip(self.sizes, self.decoder, strict=True):
            f = F.interpolate(f, size=(height // size, width // size))
            f = block(torch.cat([f, *maps[size]], dim=1))
        return f

    def head(self, f: Tensor) -> Tensor:
        """Map the feature map (N, feature_channels, H, W) to the image (N, 3, H, W)."""
        image: Tensor = self.to_image(f)
        return image


def _decoder_sizes(reductions: Sequence[int]) -> list[int]:
    """By how much each map of the decoder is smaller than the image: from the largest reduction
    down to 1, in halves, but through every reduction that the encoder has."""
    sizes = []
    size = reductions[-1]
    while size > 1:
        finer = max((each for each in reductions if each < size), default=1)
        size = size // 2 if size % 2 == 0 and size // 2 > finer else finer
        sizes.append(size)
    return sizes or [1]


def _widths(sizes: Sequence[int], given: Sequence[int] | None, encoder: str) -> list[int]:
    if given is None:
        levels = range(len(sizes) - 1, -1, -1)
        return [min(LAST_WIDTH * 2**level, LARGEST_WIDTH) for level in levels]
    if len(given) != len(sizes):
        raise ConfigError(
            f"decoder_channels has {len(given)} widths, and the decoder of encoder {encoder!r} "
            f"makes maps of 1/{', 1/'.join(map(str, sizes))} of the image's size; give it "
            f"{len(sizes)}."
        )
    return list(given)
