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
    """A synthesised image (N, 3, r, r) in about [0, 1], not clamped, and the feature map that
    enters the last to-RGB layer (N, feature_channels, r, r)."""

    image: Tensor
    features: Tensor


class LatentCode(NamedTuple):
    """The base code (N, base_channels, base_size, base_size) and the styles
    (N, num_styles, style_dim)."""

    base: Tensor
    styles: Tensor


class UGPNetOutput(NamedTuple):
    """x_hat, x_reg and x_syn, each (N, 3, H, W) in about [0, 1]; clamp before display."""

    image: Tensor
    regression: Tensor
    synthesis: Tensor


@runtime_checkable
class Backbone(Protocol):
    """A regression network R, an ``nn.Module``.

    ``forward(x)`` is ``head(forward_features(x))`` for the direct kind and ``x + head(...)`` for
    the residual kind. Images are RGB (N, 3, H, W) in [0, 1]; the core pads H and W to
    ``size_multiple`` (reflect) before calling, and crops image and features after.

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
        """Map x (N, 3, H, W) to the last-layer feature map (N, C, H * scale, W * scale)."""

    def head(self, f: Tensor) -> Tensor:
        """Map the feature map to an image or a residual (N, 3, H * scale, W * scale)."""


@runtime_checkable
class SupervisedBackbone(Backbone, Protocol):
    """A backbone whose own loss is also taken on images that it makes on the way (HINet's first
    stage)."""

    def forward_supervised(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Map x to what ``forward_features`` gives, and to the intermediate restored images
        (N, 3, H * scale, W * scale). Used in training only."""


@runtime_checkable
class Prior(Protocol):
    """A generator G, an ``nn.Module``, driven by a base code and styles (F/W+ space)."""

    resolution: int
    base_size: int
    base_channels: int
    num_styles: int
    style_dim: int
    feature_channels: int

    def synthesize(self, base: Tensor, styles: Tensor) -> PriorOutput:
        """Generate from a base code (N, base_channels, base_size, base_size) and styles
        (N, num_styles, style_dim); deterministic."""


@runtime_checkable
class ModulatedPrior(Prior, Protocol):
    """A prior whose features can be changed while it generates.

    ``modulated_channels`` are the channels of the maps that are, by their side.
    """

    modulated_channels: Mapping[int, int]

    def synthesize(
        self,
        base: Tensor,
        styles: Tensor,
        *,
        modulate: Callable[[int, Tensor], Tensor] | None = None,
    ) -> PriorOutput:
        """As :meth:`Prior.synthesize`; ``modulate`` takes the side of a map and the map
        (N, channels, side, side), and gives what is to be gone on with."""


@runtime_checkable
class TrainablePrior(Prior, Protocol):
    """A prior that also generates from random codes, as a StyleGAN2 does: what the prior stage
    trains, and ``ugpnet sample`` shows."""

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
        """Generate from codes z (N, style_dim); of two, layers from ``mixing_index`` on follow
        the second. Truncation moves styles towards ``truncation_latent`` (1, style_dim)."""

    def map_styles(self, z: Tensor) -> Tensor:
        """Map codes z (N, style_dim), standard normal, to styles w (N, style_dim)."""

    def mean_latent(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        """The mean of w over ``count`` drawn codes, (1, style_dim)."""

    def generate(self, styles: Tensor, *, randomize_noise: bool = False) -> PriorOutput:
        """Generate from styles (N, num_latents, style_dim), the whole W+ space."""


class Task(Protocol):
    """A degradation x = T(x_gt) with its settings.

    ``scale`` is how many times smaller the degraded image is (8 for sr8). Settings that are
    stated for 512 pixels have been fitted to the resolution the task was made for.
    """

    name: str
    scale: int

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Degrade one image, float32 RGB (3, H, W) in [0, 1], drawing from ``rng`` only;
        returns float32 (3, ceil(H / scale), ceil(W / scale)) in [0, 1]."""


@runtime_checkable
class PairingTask(Task, Protocol):
    """A task that also decides what is wanted back, where that is not the image as it is: of a
    photograph that was grey before it was degraded, the grey one."""

    def pair(self, image: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """x_gt (3, H, W) and x of one image; x is what a call with an equal ``rng`` gives."""
