"""How large tiles may be: by the memory that is free, and smaller when it runs out all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from ugpnet_core.devices import free_memory, is_out_of_memory
from ugpnet_core.errors import ImageError

T = TypeVar("T")

# Of the free memory, what a tile may take; a photograph that is not cut is up to two of them.
SHARE = 0.3
# Maps of the largest kind that a network holds at once: skips, and what a layer reads and writes.
MAPS = 3
_PROBE = 64


def fitting(most: int, per_pixel: float, device: torch.device, least: int) -> int:
    """The side of the largest tile, up to ``most`` and not under ``least``, that free memory allows
    where each pixel takes so many bytes."""
    free = free_memory(device)
    if free is None:
        return most
    return max(least, min(most, int((SHARE * free / per_pixel) ** 0.5)))


def halving(run: Callable[[int], T], size: int, least: int) -> T:
    """Run with a size, and with half of it, down to ``least``, while memory runs out.

    Raises:
        ImageError: it ran out with the least, too.
    """
    while True:
        try:
            return run(size)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        # Out of the handler, which holds on to everything that the error's frames do.
        if size <= least:
            raise ImageError(
                "There is not enough memory for this image; close other programs or give a smaller "
                "one."
            )
        size = max(least, size // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@torch.inference_mode()
def bytes_per_pixel(network: nn.Module) -> float:
    """About how much memory a fully convolutional network takes for each pixel of its input, from
    the largest maps that a layer of it reads and writes."""
    most = 2 * 3 * 4 * _PROBE**2  # what it takes and gives

    def look(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        nonlocal most
        maps = [each for each in (*inputs, output) if isinstance(each, Tensor)]
        most = max(most, sum(each.numel() * each.element_size() for each in maps))

    leaves = [module for module in network.modules() if not any(module.children())]
    hooks = [module.register_forward_hook(look) for module in leaves]
    try:
        device = next((each.device for each in network.parameters()), torch.device("cpu"))
        network(torch.zeros(1, 3, _PROBE, _PROBE, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    return MAPS * most / _PROBE**2
