"""What a training needs to know of a stage before it is made.

It stands on the class of the stage, so that :mod:`ugpnet_core.training.run` and its neighbours know
no stage by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from ugpnet_core.config import ModelConfig, StageConfig, StartedStageConfig, TrainConfig
from ugpnet_core.errors import ConfigError
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.training.context import TrainingContext

States = Mapping[str, Mapping[str, Tensor]]

WHOLE = "whole module"


class StageDefinition(ABC):
    """The class-level part of a stage.

    Attributes:
        name: of the stage, of its section of the configuration, and of its files.
        settings_class: of that section.
        starts_from: the stages whose results it starts from, where a training has them.
        begins_as: those of them whose results its networks only begin as: once it is under way,
            another result changes nothing.
        depends_on: the fields of the model's configuration that decide its result.
        is_perceptual: whether the choice of perceptual networks decides its result.
        takes_crops: whether it learns from ``data.crops``, where these are given.
    """

    name: ClassVar[str]
    settings_class: ClassVar[type[StageConfig]]
    starts_from: ClassVar[tuple[type[StageDefinition], ...]] = ()
    begins_as: ClassVar[tuple[type[StageDefinition], ...]] = ()
    depends_on: ClassVar[frozenset[str]] = frozenset()
    is_perceptual: ClassVar[bool] = False
    takes_crops: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def module_in(cls, model: UGPNet) -> nn.Module:
        """The part of the model that its result is for."""

    @classmethod
    def is_planned(cls, config: TrainConfig) -> bool:
        """Whether a training has this stage."""
        return getattr(config, cls.name) is not None

    @classmethod
    def settings_in(cls, config: TrainConfig) -> StageConfig:
        """Its section of the configuration.

        Raises:
            ConfigError: there is none.
        """
        settings: StageConfig | None = getattr(config, cls.name)
        if settings is None:
            raise ConfigError(
                f"The configuration has no section {cls.name!r}; add one to train a {cls.name}."
            )
        return settings

    @classmethod
    def model_config_in(cls, config: TrainConfig) -> ModelConfig:
        """The configuration of the model, as far as its result depends on it."""
        given = config.model.model_dump(mode="json", include=set(cls.depends_on))
        return ModelConfig.model_validate(given)

    @classmethod
    def check_settings(cls, config: TrainConfig) -> None:
        """Refuse settings that contradict each other or what is installed.

        Raises:
            ConfigError, PluginError: they do.
        """
        del config

    @classmethod
    def check_files(cls, config: TrainConfig) -> None:
        """Read what the stage would read later, to find now what is wrong with it.

        Raises:
            ConfigError, PluginError, WeightsError: something is.
        """
        del config

    @classmethod
    def perceptual_networks(cls, config: TrainConfig) -> frozenset[str]:
        """Which of "lpips", "contextual" and "frechet" it needs."""
        return frozenset()

    @classmethod
    def has_discriminator(cls, config: TrainConfig) -> bool:
        """Whether it learns against a discriminator."""
        return False

    @classmethod
    def weights_in(cls, config: TrainConfig) -> Path | None:
        """The file with the weights that it starts from, where the settings name one."""
        settings = cls.settings_in(config)
        return settings.weights if isinstance(settings, StartedStageConfig) else None

    @classmethod
    def key_in(cls, config: TrainConfig) -> str | None:
        """Which network of that file, where the settings say it."""
        settings = cls.settings_in(config)
        return settings.key if isinstance(settings, StartedStageConfig) else None

    @classmethod
    def load_pretrained(
        cls,
        model: UGPNet,
        path: Path,
        prior: PriorWeights | None = None,
        key: str | None = None,
    ) -> str:
        """Put the weights that it starts from into its part of the model.

        Args:
            prior: what the file holds, where it is one of a prior.
            key: which network of a file that holds several.

        Returns:
            what was taken: :data:`WHOLE`, or the name of a part.

        Raises:
            WeightsError: the file is missing or damaged, or does not fit.
        """
        raise NotImplementedError(f"Stage {cls.name} starts from no weights.")

    @classmethod
    def more_files(cls, config: TrainConfig) -> Mapping[str, Path]:
        """Files whose content it starts from, besides earlier stages, weights, and what the task
        names.

        Raises:
            WeightsError: one of them is missing or damaged.
        """
        return {}

    @classmethod
    def keeps_weights(cls, context: TrainingContext) -> bool:
        """Whether it is finished before it starts: it has weights and no iterations."""
        settings = cls.settings_in(context.config)
        return cls.weights_in(context.config) is not None and settings.iterations == 0

    @classmethod
    def kept_states(cls, context: TrainingContext) -> States:
        """Its result where it :meth:`keeps_weights`, by network."""
        return {"network": cls.module_in(context.model).state_dict()}

    @classmethod
    def write_more(
        cls, context: TrainingContext, states: States, record: Mapping[str, Any], *, is_new: bool
    ) -> None:
        """Write what the finished stage leaves besides its result; in the main process only.

        Args:
            is_new: whether it was finished just now, and not by an earlier run.

        Raises:
            TrainingError: the disk refuses.
        """
        del context, states, record, is_new
