"""torch.compile for what is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal

import torch
from torch import nn

# Of one class, so many modules are worth compiling: each size among them is compiled once.
REPEATED = 4
SIZES = 64


def compile_network(network: nn.Module, what: bool | Literal["blocks"]) -> None:
    """Compile a network, or the blocks that repeat in it, or nothing; at the first use.

    A network that repeats nothing is compiled as a whole.
    """
    if what == "blocks" and (blocks := list(repeated_blocks(network))):
        # A class is compiled for each size that its blocks work at; beyond the limit they would run
        # as they are.
        torch._dynamo.config.recompile_limit = max(SIZES, torch._dynamo.config.recompile_limit)
        for block in blocks:
            block.compile(dynamic=False)
    elif what:
        network.compile()


def repeated_blocks(network: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules of classes that occur at least ``REPEATED`` times, but for those of
    torch itself, which have nothing to gain alone."""
    counts = Counter(type(module) for module in network.modules())
    yield from _outermost(network, {kind for kind, count in counts.items() if count >= REPEATED})


def _outermost(module: nn.Module, repeated: set[type]) -> Iterator[nn.Module]:
    if type(module) in repeated and not type(module).__module__.startswith("torch."):
        yield module
        return
    for child in module.children():
        yield from _outermost(child, repeated)
