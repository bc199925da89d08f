"""What several processes must do together so that they make the update of one.

An update sees ``batch_size * accumulate * processes`` images. Image number i of it belongs to batch
i modulo (accumulate * processes), and so each batch holds images from the whole update: groups of
images that a discriminator compares (StyleGAN2's minibatch standard deviation takes every n-th) are
then those of one large batch, where the batch size is a multiple of the group's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import TrainingError

# Gradients are exchanged in parts of about this many numbers, so that a copy of few is needed.
EXCHANGED = 2**23


def make_accelerator(config: TrainConfig) -> Accelerator:
    """What this process shares with the others of the training, where there are any.

    Raises:
        TrainingError: the precision cannot be had, or the processes do not know of each other.
    """
    try:
        accelerator = Accelerator(
            mixed_precision="bf16" if config.precision == "bfloat16" else "no",
            log_with=list(config.trackers) or None,
            project_dir=str(config.output),
        )
    except ValueError as error:
        raise TrainingError(
            f"accelerate refuses the precision {config.precision}: {error}"
        ) from error
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != accelerator.num_processes:
        # They would all train the same and write over each other.
        raise TrainingError(
            f"{started} processes were started and each believes to be one of "
            f"{accelerator.num_processes}; without a GPU for each, set ACCELERATE_USE_CPU=true."
        )
    return accelerator


def any_process(accelerator: Accelerator, flag: bool) -> bool:
    """Whether it is so in any process; all of them ask together."""
    if accelerator.num_processes == 1:
        return flag
    count = accelerator.reduce(torch.tensor(float(flag), device=accelerator.device), "sum")
    return float(cast(Tensor, count)) > 0


def shares(drawn: Tensor, batches: int, accelerator: Accelerator) -> list[Tensor]:
    """What belongs to this process of something drawn for every image of an update, by batch.

    Args:
        drawn: (images of the update, ...), the same in all processes.
        batches: how many batches each process has in an update.
    """
    stride = batches * accelerator.num_processes
    first = accelerator.process_index * batches
    return [drawn[first + batch :: stride] for batch in range(batches)]


def optimizer_step(
    accelerator: Accelerator, network: nn.Module, optimizer: Optimizer, norm: float | None
) -> None:
    """Average the gradients of a network over all processes, limit their norm where a limit is
    set, and make a step with them."""
    if accelerator.num_processes > 1:
        _average_gradients(accelerator, [p for p in network.parameters() if p.requires_grad])
    if norm is not None:
        accelerator.clip_grad_norm_(network.parameters(), norm)
    optimizer.step()


def mean_losses(accelerator: Accelerator, losses: Mapping[str, float]) -> dict[str, float]:
    """The mean of each loss over all processes, which have the same losses."""
    if accelerator.num_processes == 1:
        return dict(losses)
    values = torch.tensor(list(losses.values()), device=accelerator.device)
    means = cast(Tensor, accelerator.reduce(values, "mean"))
    return dict(zip(losses, means.tolist(), strict=True))


@torch.no_grad()
def broadcast_weights(accelerator: Accelerator, networks: Iterable[nn.Module]) -> None:
    """Give all processes the weights that the first one begins with."""
    if accelerator.num_processes > 1:
        for network in networks:
            for tensor in [*network.parameters(), *network.buffers()]:
                torch.distributed.broadcast(tensor, 0)


def _average_gradients(accelerator: Accelerator, parameters: Sequence[nn.Parameter]) -> None:
    """Parameters that took no part in any process keep having no gradient, as in one process."""
    used = torch.tensor([float(p.grad is not None) for p in parameters], device=accelerator.device)
    used = cast(Tensor, accelerator.reduce(used, "sum"))
    part: list[nn.Parameter] = []
    for parameter, count in zip(parameters, used.tolist(), strict=True):
        if count:
            part.append(parameter)
        if sum(p.numel() for p in part) >= EXCHANGED:
            _average_part(accelerator, part)
            part = []
    if part:
        _average_part(accelerator, part)


def _average_part(accelerator: Accelerator, part: Sequence[nn.Parameter]) -> None:
    own = [torch.zeros_like(p) if p.grad is None else p.grad for p in part]
    mean = accelerator.reduce(torch.cat([gradient.flatten() for gradient in own]), "mean")
    pieces = cast(Tensor, mean).split([p.numel() for p in part])
    for parameter, piece in zip(part, pieces, strict=True):
        # In the parameter's own memory format: optimisers in one kernel take it for granted.
        parameter.grad = torch.empty_like(parameter).copy_(piece.view_as(parameter))
