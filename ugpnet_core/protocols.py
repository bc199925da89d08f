"""What the core asks of a backbone, a prior and a task, and what the networks return.

Importing this module does not import torch: it is needed for type checking only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor


class RestorationOutput(NamedTuple):
    """The regressed image x_reg (N, 3, H, W) in about [0, 1] and its feature map f_reg.

    ``intermediate`` are earlier versions of the image, which only training sees: see
    :class:`SupervisedBackbone`.
    """

    image: Tensor
    features: Tensor
    intermediate: tuple[Tensor, ...] = ()


class PriorOutput(NamedTuple):
    """What a prior makes of a code.

    Attributes:
        image: The synthesised image (N, 3, r, r) in about [0, 1], not clamped.
        features: The feature map that enters the last to-RGB layer (N, feature_channels, r, r).
    """

    image: Tensor
    features: Tensor


class LatentCode(NamedTuple):
    """The base code (N, base_channels, base_size, base_size) and the styles
    (N, num_styles, style_dim)."""

    base: Tensor
    styles: Tensor


class UGPNetOutput(NamedTuple):
    """What a UGPNet makes of degraded images; clamp before display.

    Attributes:
        image: The restored images x_hat (N, 3, H, W) in about [0, 1].
        regression: The regressed images x_reg, of the same form.
        synthesis: The synthesised images x_syn, of the same form.
    """

    image: Tensor
    regression: Tensor
    synthesis: Tensor


@runtime_checkable
class Backbone(Protocol):
    """A regression network R, an ``nn.Module``.

    ``forward(x)`` is ``head(forward_features(x))`` for the direct kind and ``x + head(...)`` for
    the residual kind. Images are RGB (N, 3, H, W) in [0, 1]; the core pads H and W to
    ``size_multiple`` (reflect) before calling, and crops image and features after.

    Attributes:
        kind: What ``head`` gives: "direct" is the clean image, "residual" what is added to x.
        feature_channels: The channels C of the feature map.
        scale: How many times the network enlarges.
        size_multiple: The number of pixels that H and W must be multiples of.

    Deriving from :class:`ugpnet_core.networks.regression.RegressionNetwork` gives ``forward``.
    Four attributes may be left out:

    - ``fixed_size`` (int or None): the one side, in pixels, that the network takes. The core pads
      what is smaller and refuses what is larger.
    - ``rebuild_options`` (dict): the options that build this network again where those it was
      made with name a file or a download; a model file keeps these instead.
    - ``translate_published_keys`` (state dict -> state dict): renames the keys of a checkpoint
      that is not in the layout of this network, and leaves all others alone.
    - ``forward_supervised``: see :class:`SupervisedBackbone`.
    """

    kind: Literal["direct", "residual"]
    feature_channels: int
    scale: int
    size_multiple: int

    def forward_features(self, x: Tensor) -> Tensor:
        """Map images to the feature map that enters the last layer.

        Args:
            x: The degraded images (N, 3, H, W), RGB in [0, 1].

        Returns:
            The feature map (N, C, H * scale, W * scale).
        """

    def head(self, f: Tensor) -> Tensor:
        """Map the feature map to an image or a residual.

        Args:
            f: The feature map (N, C, H * scale, W * scale).

        Returns:
            The image, or what is added to x, (N, 3, H * scale, W * scale).
        """


@runtime_checkable
class SupervisedBackbone(Backbone, Protocol):
    """A backbone whose own loss is also taken on images that it makes on the way (HINet's first
    stage)."""

    def forward_supervised(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Map images to what ``forward_features`` gives, and to images on the way (in training).

        Args:
            x: The degraded images (N, 3, H, W), RGB in [0, 1].

        Returns:
            The feature map, and the intermediate restored images (N, 3, H * scale, W * scale).
        """


@runtime_checkable
class Prior(Protocol):
    """A generator G, an ``nn.Module``, driven by a base code and styles (F/W+ space).

    Attributes:
        resolution: The side r of its images, in pixels.
        base_size: The side of the base code.
        base_channels: The channels of the base code.
        num_styles: The number of styles that it takes with a base code.
        style_dim: The length of a style.
        feature_channels: The channels of the feature map that it returns.
    """

    resolution: int
    base_size: int
    base_channels: int
    num_styles: int
    style_dim: int
    feature_channels: int

    def synthesize(self, base: Tensor, styles: Tensor) -> PriorOutput:
        """Generate an image, always the same of the same code.

        Args:
            base: The base code (N, base_channels, base_size, base_size).
            styles: The styles (N, num_styles, style_dim).

        Returns:
            The image (N, 3, r, r) in about [0, 1], and its feature map.
        """


@runtime_checkable
class ModulatedPrior(Prior, Protocol):
    """A prior whose features can be changed while it generates.

    Attributes:
        modulated_channels: The channels of the maps that can be changed, by their side.
    """

    modulated_channels: Mapping[int, int]

    def synthesize(
        self,
        base: Tensor,
        styles: Tensor,
        *,
        modulate: Callable[[int, Tensor], Tensor] | None = None,
    ) -> PriorOutput:
        """Generate as :meth:`Prior.synthesize` does.

        Args:
            base: The base code, as there.
            styles: The styles, as there.
            modulate: A function of the side of a map and the map (N, channels, side, side), which
                gives the map to go on with.
        """


@runtime_checkable
class TrainablePrior(Prior, Protocol):
    """A prior that also generates from random codes, as a StyleGAN2 does: what the prior stage
    trains, and ``ugpnet sample`` shows.

    Attributes:
        num_latents: The number of styles of the whole W+ space.
    """

    num_latents: int

    def __call__(
        self,
        z: Tensor | Sequence[Tensor],
        *,
        truncation: float = 1.0,
        truncation_latent: Tensor | None = None,
        mixing_index: int | None = None,
        randomize_noise: bool = False,
    ) -> PriorOutput:
        """Generate images from random codes.

        Args:
            z: The codes (N, style_dim), standard normal, or two of them for mixed styles.
            truncation: How far styles are from ``truncation_latent``, against 1 for as they are.
            truncation_latent: The style (1, style_dim) that truncation moves others towards.
            mixing_index: The layer from which on the second code is followed.
            randomize_noise: Whether the noise maps are drawn anew.

        Returns:
            The image (N, 3, r, r) in about [0, 1], and its feature map.
        """

    def map_styles(self, z: Tensor) -> Tensor:
        """Map codes to styles.

        Args:
            z: The codes (N, style_dim), standard normal.

        Returns:
            The styles w (N, style_dim).
        """

    def mean_latent(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        """The mean of the styles of random codes.

        Args:
            count: How many codes are drawn.
            rng: The generator that draws them; by default torch's own.

        Returns:
            The mean style (1, style_dim).
        """

    def generate(self, styles: Tensor, *, randomize_noise: bool = False) -> PriorOutput:
        """Generate images from styles.

        Args:
            styles: The styles (N, num_latents, style_dim), the whole W+ space.
            randomize_noise: Whether the noise maps are drawn anew.

        Returns:
            The image (N, 3, r, r) in about [0, 1], and its feature map.
        """


class Task(Protocol):
    """A degradation x = T(x_gt) with its settings.

    Settings that are stated for 512 pixels have been fitted to the resolution that the task was
    made for.

    Attributes:
        name: The name of the task.
        scale: How many times smaller the degraded image is (8 for sr8).
    """

    name: str
    scale: int

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Degrade one image.

        Args:
            image: The image x_gt, float32 RGB (3, H, W) in [0, 1].
            rng: The generator that everything random is drawn from.

        Returns:
            The degraded image x, float32 (3, ceil(H / scale), ceil(W / scale)) in [0, 1].
        """


@runtime_checkable
class PairingTask(Task, Protocol):
    """A task that also decides what is wanted back, where that is not the image as it is: of a
    photograph that was grey before it was degraded, the grey one."""

    def pair(self, image: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Make a pair of one image.

        Args:
            image: The image, float32 RGB (3, H, W) in [0, 1].
            rng: The generator that everything random is drawn from.

        Returns:
            What is wanted back, x_gt (3, H, W), and x, which is what a call with an equal ``rng``
            gives.
        """
