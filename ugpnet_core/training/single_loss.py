"""What the stages of one network and one weighted sum of losses share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ugpnet_core.config import StageConfig
from ugpnet_core.training.context import TrainingContext
from ugpnet_core.training.data import Pair
from ugpnet_core.training.processes import optimizer_step
from ugpnet_core.training.stage import Losses, Stage


class SingleLossStage(Stage):
    """A stage with one network, one optimiser, and a weighted sum of losses."""

    def __init__(self, context: TrainingContext, settings: StageConfig, network: nn.Module) -> None:
        super().__init__(context, settings)
        network.requires_grad_(True)
        self.network, optimizer = self.prepare(network, settings.learning_rate)
        self.networks = {"network": self.network}
        self.optimizers = {"network": (optimizer, settings.learning_rate)}

    @abstractmethod
    def losses(self, pair: Pair) -> dict[str, tuple[float, Tensor]]:
        """Named losses of a batch, each with its weight."""

    def losses_of_each(self, batches: Sequence[Pair]) -> Iterator[dict[str, tuple[float, Tensor]]]:
        """The losses of each batch of an update, one after the other."""
        yield from map(self.losses, batches)

    def update(self, batches: Sequence[Pair], step: int) -> Losses:
        """Add up the gradients of the batches, then make one step."""
        self.part(step)
        optimizer, _ = self.optimizers["network"]
        self.network.train()
        optimizer.zero_grad(set_to_none=True)
        values: Losses = {}
        for terms in self.losses_of_each(batches):
            total = torch.stack([weight * loss for weight, loss in terms.values()]).sum()
            self.context.accelerator.backward(total / len(batches))
            for name, (_, loss) in terms.items():
                values[name] = values.get(name, 0.0) + float(loss.detach()) / len(batches)
        optimizer_step(
            self.context.accelerator, self.network, optimizer, self.settings.clip_gradient
        )
        return values
