"""Statistics of batch normalisation, estimated anew once a stage has its weights.

While a network trains, its running statistics follow the last few batches, and the weights that are
kept may be an average over many steps, of which no batch has ever seen the activations.
torch.optim.swa_utils.update_bn does the same for a loader; here a stage says what its network sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

T = TypeVar("T")


def following(network: nn.Module) -> list[_BatchNorm]:
    """The batch normalisations that follow the batches of training: neither those without running
    statistics nor those that a network keeps in evaluation mode for good."""
    network.train()
    found = [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.training and module.running_mean is not None
    ]
    network.eval()
    return found


@torch.no_grad()
def estimate_statistics(
    network: nn.Module, send: Callable[[T], object], batches: Iterable[T]
) -> None:
    """Replace the running statistics by their mean over these batches, and leave the network in
    evaluation mode. Nothing but the batch normalisations behaves as in training meanwhile.

    Args:
        send: sends a batch through the network.
        batches: all of the same size, so that the running mean is that over all of their images.
            Where a network has no batch normalisation, not even the first one is asked for.
    """
    layers = following(network)
    if not layers:
        return
    before = [
        (layer.momentum, {key: value.clone() for key, value in layer.state_dict().items()})
        for layer in layers
    ]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a cumulative mean
        layer.train()
    try:
        for batch in batches:
            send(batch)
    finally:
        network.eval()
        for layer, (momentum, state) in zip(layers, before, strict=True):
            layer.momentum = momentum
            if not layer.num_batches_tracked:  # what no batch came through stays as it was
                layer.load_state_dict(state)
