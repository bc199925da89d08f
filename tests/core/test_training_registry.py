"""The registry of stages: whatever is in it is trained, and nothing else knows a stage by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from ugpnet_core.cli.train import StageChoice
from ugpnet_core.config import ModelConfig, TrainConfig
from ugpnet_core.errors import ConfigError
from ugpnet_core.training import stages
from ugpnet_core.training.checkpoint import read_result, result_path
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.restoration import RestorationStage
from ugpnet_core.training.run import train
from ugpnet_core.training.stage import Stage
from ugpnet_core.training.stage_definition import StageDefinition

Make = Callable[..., TrainConfig]


@pytest.mark.parametrize("stage", stages.STAGES.values())
def test_a_stage_says_what_a_training_needs_to_know(stage: type[Stage]) -> None:
    assert stages.find_stage(stage.name) is stage
    section = TrainConfig.model_fields[stage.name].annotation
    assert stage.settings_class in (section, *getattr(section, "__args__", ()))
    assert stage.depends_on <= ModelConfig.model_fields.keys()
    order = list(stages.STAGES.values())
    assert all(one in order[: order.index(stage)] for one in stage.starts_from)


def test_the_command_line_offers_the_stages_in_their_order() -> None:
    assert [choice.value for choice in StageChoice] == ["all", *stages.STAGES]


def test_a_name_that_is_none_is_refused(training_config: Make) -> None:
    with pytest.raises(ConfigError, match="no stage 'sythesis'; choose one of prior, restoration,"):
        train(training_config(), "sythesis")


class Again(RestorationStage):
    """Trains R once more, with the settings of another section, and leaves a note."""

    name: ClassVar[str] = "refinement"
    starts_from: ClassVar[tuple[type[StageDefinition], ...]] = (RestorationStage,)

    @classmethod
    def is_planned(cls, config: TrainConfig) -> bool:
        return True

    @classmethod
    def settings_in(cls, config: TrainConfig) -> Any:
        return config.restoration.model_copy(update={"iterations": 1})

    @classmethod
    def from_config(cls, context: TrainingContext) -> RestorationStage:
        return cls(context, cls.settings_in(context.config))

    @classmethod
    def write_more(cls, context: TrainingContext, *_: object, is_new: bool) -> None:
        (context.config.output / "note").write_text(f"is_new={is_new}")


def test_a_stage_more_is_one_entry(
    training_config: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(stages.STAGES, Again.name, Again)
    made = training_config(prior=None)
    train(made, "restoration")
    said: list[str] = []
    for is_new in (True, False):
        train(made, "refinement", say=said.append)
        assert (made.output / "note").read_text() == f"is_new={is_new}"
    assert "Still to train: synthesis, fusion." in said
    before, after = (
        read_result(result_path(made.output, name))[0]["network"]
        for name in ("restoration", "refinement")
    )
    assert before.keys() == after.keys()
    assert any(not torch.equal(value, after[key]) for key, value in before.items())
