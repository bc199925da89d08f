"""DISTS: structure and texture of two images, compared in the features of VGG16.

K. Ding, K. Ma, S. Wang, E. P. Simoncelli: Image Quality Assessment: Unifying Structure and Texture
Similarity, TPAMI 2020. The weights of the channels are the authors', as torchmetrics carries them
(MIT); the trunk is the one that the toolkit finds, where torchmetrics' own code would download one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_core.checkpoints.state_dict import read_tensors
from ugpnet_core.config import PerceptualConfig
from ugpnet_core.losses.perceptual_weights import empty_trunk, read_trunk
from ugpnet_core.metrics.judged import ImageMetric, Judged, weights_identity
from ugpnet_core.metrics.metric import ALL_METRICS
from ugpnet_core.metrics.package_files import package_file

CHANNELS = (3, 64, 128, 256, 512, 512)
# Layers of VGG16's features: where a stage ends, and what L2 pooling takes the place of.
ENDS = (3, 8, 15, 22, 29)
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STABLE = 1e-6


def dists_metric(config: PerceptualConfig, device: str | torch.device) -> ImageMetric:
    """DISTS against the photograph.

    Raises:
        WeightsError: there is no VGG16.
        DependencyError: torchmetrics is not installed.
    """
    network = DISTS(config).to(device)

    def measure(judged: Judged) -> list[float]:
        assert judged.clean is not None
        found: list[float] = network(judged.images.to(device), judged.clean.to(device)).tolist()
        return found

    return ImageMetric(
        ALL_METRICS["dists"],
        measure,
        "VGG16, weights of its authors, images as they are; mean over images",
        frozenset({"clean"}),
        weights_identity(network),
    )


class DISTS(nn.Module):
    """The distance of images (N, 3, H, W) in [0, 1] to others, (N,); 0 at equality.

    Raises:
        WeightsError: there is no VGG16.
        DependencyError: torchmetrics is not installed.
    """

    mean: Tensor
    deviation: Tensor
    alpha: Tensor
    beta: Tensor

    def __init__(self, config: PerceptualConfig) -> None:
        super().__init__()
        trunk = empty_trunk("vgg16").to_empty(device="cpu")
        trunk.load_state_dict(dict(read_trunk(config, "vgg16")))
        self.layers = nn.ModuleList(_copying(layer) for layer in trunk[: ENDS[-1] + 1])
        path = package_file(
            "torchmetrics",
            "functional/image/dists_models/weights.pt",
            "DISTS",
            "'ugpnet-core[metrics]'",
        )
        weights = read_tensors(path)
        self.register_buffer("alpha", weights["alpha"].float())
        self.register_buffer("beta", weights["beta"].float())
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION).view(1, 3, 1, 1))
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """1 - the weighted similarity of means (texture) and of covariances (structure), eq. 5."""
        total = self.alpha.sum() + self.beta.sum()
        alphas = (self.alpha / total).split(CHANNELS, dim=1)
        betas = (self.beta / total).split(CHANNELS, dim=1)
        similarity = torch.zeros((len(x), 1, 1, 1), device=x.device)
        for f, g, alpha, beta in zip(
            self.features(x), self.features(target), alphas, betas, strict=True
        ):
            f_mean, g_mean = (each.mean((2, 3), keepdim=True) for each in (f, g))
            f_variance = (f - f_mean).square().mean((2, 3), keepdim=True)
            g_variance = (g - g_mean).square().mean((2, 3), keepdim=True)
            covariance = (f * g).mean((2, 3), keepdim=True) - f_mean * g_mean
            texture = (2 * f_mean * g_mean + STABLE) / (f_mean**2 + g_mean**2 + STABLE)
            structure = (2 * covariance + STABLE) / (f_variance + g_variance + STABLE)
            similarity = similarity + (alpha * texture + beta * structure).sum(1, keepdim=True)
        return 1 - similarity.flatten()

    def features(self, x: Tensor) -> list[Tensor]:
        """The image and the feature map at the end of each stage."""
        found, f = [x], (x - self.mean) / self.deviation
        for index, layer in enumerate(self.layers):
            f = l2_pool(f) if isinstance(layer, nn.MaxPool2d) else layer(f)
            if index in ENDS:
                found.append(f)
        return found


def l2_pool(f: Tensor) -> Tensor:
    """The root of blurred squares, half as large: pooling that does not alias (eq. 2)."""
    side = torch.hann_window(5, periodic=False, device=f.device)[1:-1]
    window = side.outer(side)
    window = (window / window.sum()).expand(f.shape[1], 1, 3, 3)
    squares = F.conv2d(f.square(), window, stride=2, padding=1, groups=f.shape[1])
    return (squares + 1e-12).sqrt()


def _copying(layer: nn.Module) -> nn.Module:
    """The layer, without overwriting its input, which is still compared."""
    return nn.ReLU() if isinstance(layer, nn.ReLU) else layer
