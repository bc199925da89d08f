"""UGPNet: restoration, synthesis and fusion modules as one network (paper Fig. 2).

H. Lee, K. Kang, H. Lee, S.-H. Baek, S. Cho: UGPNet: Universal Generative Prior for Image
Restoration, WACV 2024.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ugpnet_core.config import ModelConfig
from ugpnet_core.errors import ConfigError, SizeError
from ugpnet_core.factory import create_backbone, create_task_at, make_prior
from ugpnet_core.networks.feature_modulated import FeatureModulatedSynthesis
from ugpnet_core.networks.fusion import FusionModule
from ugpnet_core.networks.generator_only import NoFusion, NoRegression
from ugpnet_core.networks.restoration import Adapter, DirectAdapter, restoration_module
from ugpnet_core.networks.synthesis import SynthesisModule
from ugpnet_core.protocols import Backbone, Prior, PriorOutput, RestorationOutput, UGPNetOutput


class UGPNet(nn.Module):
    """The whole model, built for the prior's one resolution r.

    ``scale`` is how many times larger the output is than the degraded image; the degraded image
    has r / scale pixels a side. A backbone of scale 1 in a super-resolution task gets the
    bicubically enlarged input.

    With ``config.baseline`` it is one of the two generative baselines
    (:mod:`ugpnet_core.networks.generator_only`, :mod:`ugpnet_core.networks.feature_modulated`).

    Args:
        config: What the parts were made by, and how wide the networks around them are.
        backbone: The regression network R.
        prior: The generator G, whose resolution is the model's.
        scale: How many times larger the output is than the degraded image, as the task has it.

    Raises:
        ConfigError: The parts do not fit each other.
    """

    def __init__(self, config: ModelConfig, backbone: Backbone, prior: Prior, scale: int) -> None:
        super().__init__()
        if backbone.scale not in (1, scale):
            raise ConfigError(
                f"Backbone {config.backbone.name!r} enlarges {backbone.scale} times and task "
                f"{config.task.name!r} needs {scale}; give the backbone scale {scale} or 1."
            )
        if prior.resolution % scale:
            raise ConfigError(
                f"The prior's resolution {prior.resolution} is no multiple of the scale {scale} "
                f"of task {config.task.name!r}; choose another prior."
            )
        side = prior.resolution // backbone.scale
        fixed = getattr(backbone, "fixed_size", None)
        if fixed is not None and fixed < side:
            raise ConfigError(
                f"Backbone {config.backbone.name!r} takes {fixed}x{fixed} pixels only and would "
                f"get {side}x{side}; choose a prior of resolution {fixed * backbone.scale}."
            )
        self.config = config
        self.scale = scale
        self.resolution = prior.resolution
        self.restoration: Adapter
        self.synthesis: SynthesisModule
        self.fusion: Any  # a FusionModule, or NoFusion in its place
        if config.baseline:
            self.restoration = DirectAdapter(NoRegression(), scale)
            self.synthesis = (
                FeatureModulatedSynthesis(backbone, prior, config)
                if config.baseline == "feature-modulated"
                else _synthesis(prior, config)
            )
            self.fusion = NoFusion()
            return
        self.restoration = restoration_module(
            backbone, config.merging_channels, scale // backbone.scale, config.adapter
        )
        self.synthesis = _synthesis(prior, config)
        width = config.fusion_channels or self.restoration.feature_channels
        inputs = (
            (3, 3)
            if config.fusion_inputs == "images"
            else (self.restoration.feature_channels, self.synthesis.feature_channels)
        )
        correction = config.fusion_output == "correction"
        self.fusion = FusionModule(*inputs, width, config.fusion_blocks, correction)

    def forward(self, x: Tensor) -> UGPNetOutput:
        """Restore degraded images of the model's one size.

        Args:
            x: The degraded images (N, 3, r / scale, r / scale), RGB in [0, 1].

        Returns:
            The images x_hat, x_reg and x_syn (N, 3, r, r), which may leave [0, 1] a little.

        Raises:
            SizeError: The images have another size; :class:`ugpnet_core.Restorer` takes any.
        """
        side = self.resolution // self.scale
        if x.dim() != 4 or tuple(x.shape[1:]) != (3, side, side):
            raise SizeError(
                f"This model takes images (N, 3, {side}, {side}), not {tuple(x.shape)}; "
                "ugpnet_core.Restorer tiles and pads images of any size."
            )
        regression = self.restoration(x)
        synthesis = self.synthesis(regression.image)
        image = self.fusion(*self.fusion_inputs(regression, synthesis))
        return UGPNetOutput(image, regression.image, synthesis.image)

    def fusion_inputs(
        self, regression: RestorationOutput, synthesis: PriorOutput
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Choose what the fusion module joins.

        Args:
            regression: The restoration module's output.
            synthesis: The synthesis module's output.

        Returns:
            The feature maps f_reg and f_syn, or the images in their place where the configuration
            says so, (N, C, r, r) each; and x_reg.
        """
        if self.config.baseline or self.config.fusion_inputs == "images":
            return regression.image, synthesis.image, regression.image
        return regression.features, synthesis.features, regression.image


def _synthesis(prior: Prior, config: ModelConfig) -> SynthesisModule:
    return SynthesisModule(
        prior, config.encoder_channels, config.map2style_channels, config.encoder_norm
    )


def build_model(config: ModelConfig) -> UGPNet:
    """Build an untrained UGPNet from its configuration.

    Args:
        config: The backbone, prior and task by name, and the form of what joins them.

    Returns:
        The model on the CPU, in training mode, with new random weights.

    Raises:
        PluginError: A backbone, prior or task is not installed, or it is broken.
        ConfigError: An option is unknown, or the parts do not fit each other.

    Examples:
        >>> import torch
        >>> import ugpnet_core as ug
        >>> narrow = {"resolution": 32, "style_dim": 8, "num_mlp": 1, "narrow": 0.0625}
        >>> config = ug.ModelConfig(
        ...     backbone={"name": "unet", "options": {"width": 4}},
        ...     prior={"name": "stylegan2", "options": narrow},
        ...     fusion_blocks=1,
        ... )
        >>> model = ug.build_model(config).eval()
        >>> x_hat, x_reg, x_syn = model(torch.rand(1, 3, 32, 32))
        >>> x_hat.shape
        torch.Size([1, 3, 32, 32])
    """
    # Numbers of its own: neither the prior's first weights nor those of the restoration module
    # depend on the other's settings, so that trainings which share one of them begin alike.
    seed = int(torch.randint(2**62, (), device="cpu"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        prior = make_prior(config.prior.name, **config.prior.options)
    backbone: Backbone = (
        NoRegression()
        if config.baseline == "generator-only"
        else create_backbone(config.backbone.name, **config.backbone.options)
    )
    # What names a file or a download would not be found where the model is loaded.
    rebuild: dict[str, Any] | None = getattr(backbone, "rebuild_options", None)
    if rebuild is not None:
        component = config.backbone.model_copy(update={"options": rebuild})
        config = config.model_copy(update={"backbone": component})
    task = create_task_at(config.task, prior.resolution)
    return UGPNet(config, backbone, prior, task.scale)
