"""The contextual loss, and its patch-wise form L_cf (paper section 3.4, supplement S.3).

Mechrez, Talmi, Zelnik-Manor: The Contextual Loss for Image Transformation with Non-Aligned Data,
ECCV 2018, https://arxiv.org/abs/1803.02077. It compares two images as sets of features, so that
textures are taken over where structures are not aligned.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-5
# The published training code weights with a bandwidth of its own, whatever h is.
WEIGHT_BANDWIDTH = 0.5


def contextual_loss(
    x_features: Tensor,
    y_features: Tensor,
    bandwidth: float = 0.5,
    weighted: bool = False,
    centre: Tensor | None = None,
) -> Tensor:
    """-log CX(x, y), mean over the batch: equations 2 to 4 of supplement S.3.

    Features are centred with the mean of y's features over batch and positions, then compared by
    cosine distance, in float32 even under autocast. Needs memory for a few (N, h*w, h*w)
    matrices. About zero when x and y are equal; gradients reach both.

    Args:
        x_features: (N, C, h, w), usually of x_hat.
        y_features: (N, C, h', w'), usually of x_syn.
        bandwidth: h of equation 2.
        weighted: weight the best match of each feature of y by exp((1 - d) / 0.5), d its
            distance, as the published training code does; not in the paper.
        centre: (1, C, 1, 1) to centre with instead, where the batch is part of a larger one.
    """
    with torch.autocast(x_features.device.type, enabled=False):
        x, y = x_features.float(), y_features.float()
        centre = mean_feature(y) if centre is None else centre
        x = F.normalize(x - centre, dim=1).flatten(2)
        y = F.normalize(y - centre, dim=1).flatten(2)
        distance = 1 - x.transpose(1, 2) @ y  # (N, i, j)
        nearest = distance.amin(dim=2, keepdim=True)
        normalised = distance / (nearest + EPSILON)
        # softmax is equation 2: the constant 1 / h cancels, and nothing can overflow.
        similarity = torch.softmax(-normalised / bandwidth, dim=2)
        best, match = similarity.max(dim=1)  # over i: (N, j)
        if weighted:
            matched = distance.gather(1, match.unsqueeze(1)).squeeze(1)
            weight = torch.exp((1 - matched) / WEIGHT_BANDWIDTH)
            context = (best * weight).sum(dim=1) / weight.sum(dim=1)
        else:
            context = best.mean(dim=1)
        return -torch.log(context + EPSILON).mean()


def mean_feature(features: Tensor) -> Tensor:
    """The mean of (N, C, h, w) over batch and positions, (1, C, 1, 1), in float32."""
    return features.float().mean(dim=(0, 2, 3), keepdim=True)


class PatchContextualLoss(nn.Module):
    """L_cf: the contextual loss between corresponding square patches of two images.

    Patches lie side by side; where the side is no multiple of ``patch``, the last one is flush
    with the border and overlaps its neighbour. An image that is smaller is one patch. The second
    image is the target: no gradient reaches it.

    Args:
        extractor: maps images (N, 3, H, W) in [0, 1] to features (N, C, h, w), for instance
            :func:`ugpnet_core.losses.perceptual.build_contextual_features`.
        patch: side of the patches, pixels (the published training uses 128).
        bandwidth: h of equation 2.
        weighted: see :func:`contextual_loss`.
    """

    def __init__(
        self,
        extractor: Callable[[Tensor], Tensor],
        patch: int = 128,
        bandwidth: float = 0.5,
        weighted: bool = False,
    ) -> None:
        super().__init__()
        self.extractor = extractor
        self.patch = patch
        self.bandwidth = bandwidth
        self.weighted = weighted

    @torch.no_grad()
    def centre(self, target: Tensor) -> Tensor:
        """The mean feature of a target (N, 3, H, W): the centre of a batch, or, averaged over
        batches of one size, of all of them."""
        return mean_feature(self.extractor(patches(target, self.patch)))

    def forward(self, x: Tensor, target: Tensor, centre: Tensor | None = None) -> Tensor:
        """Compare x (N, 3, H, W) with target of the same shape, in [0, 1]; returns a scalar.

        Args:
            centre: see :func:`contextual_loss`; default: that of the target.
        """
        if x.shape != target.shape:
            raise ValueError(f"images differ in shape: {tuple(x.shape)}, {tuple(target.shape)}")
        x_features = self.extractor(patches(x, self.patch))
        with torch.no_grad():
            y_features = self.extractor(patches(target, self.patch))
        return contextual_loss(x_features, y_features, self.bandwidth, self.weighted, centre)


def patches(image: Tensor, side: int) -> Tensor:
    """Cut (N, C, H, W) into patches (N * count, C, min(side, H), min(side, W))."""
    height, width = image.shape[-2:]
    high, wide = min(side, height), min(side, width)
    if (high, wide) == (height, width):
        return image
    cut = [
        image[:, :, top : top + high, left : left + wide]
        for top in _starts(height, high)
        for left in _starts(width, wide)
    ]
    return torch.cat(cut)


def _starts(length: int, side: int) -> list[int]:
    starts = list(range(0, length - side + 1, side))
    if starts[-1] + side < length:
        starts.append(length - side)
    return starts
