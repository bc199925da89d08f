"""How large and how costly a network is: parameters, and multiply-accumulates for one image.

Multiply-accumulates (MACs) are those of convolutions and matrix products, as torch counts them
(half of its floating-point operations); norms, activations and additions are left out, as they
are in published figures. Nothing is computed: tensors have shapes but no content.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from ugpnet_core.networks.regression import padded
from ugpnet_core.plugins.discovery import describe_error

if TYPE_CHECKING:
    from ugpnet_core.networks.ugpnet import UGPNet
    from ugpnet_core.protocols import Backbone, Prior

N = TypeVar("N")
SIDE = 256


@dataclass(frozen=True)
class Complexity(Generic[N]):
    """What :func:`complexity_of` found.

    Args:
        network: as it was made, for its attributes; its weights may have no content.
        parameters: how many numbers are trained or could be.
        macs: multiply-accumulates of one run, or None where they could not be counted.
        reason: why not; empty otherwise.
    """

    network: N
    parameters: int
    macs: int | None
    reason: str = ""


def count_parameters(network: nn.Module) -> int:
    """How many numbers the parameters of a network hold; shared ones count once."""
    return sum(parameter.numel() for parameter in network.parameters())


def complexity_of(make: Callable[[], N], count: Callable[[N], int]) -> Complexity[N]:
    """Make a network, without memory where that works, and count its multiply-accumulates.

    A network that needs real numbers while it is made or run is made once more, with memory.

    Args:
        make: makes the network, an ``nn.Module``. What it raises is raised here.
        count: one of the functions below.
    """
    with warnings.catch_warnings():
        # Loading a checkpoint into weights without content is a warning.
        warnings.simplefilter("ignore")
        try:
            with torch.device("meta"):
                network = make()
            # Tensors that a network made with a generator of its own are still real.
            cast("nn.Module", network).eval().to("meta")
            return Complexity(network, count_parameters(cast("nn.Module", network)), count(network))
        except Exception:
            network = make()
        module = cast("nn.Module", network).eval()
        try:
            return Complexity(network, count_parameters(module), count(network))
        except Exception as error:
            return Complexity(network, count_parameters(module), None, describe_error(error))


def backbone_macs(backbone: Backbone, side: int = SIDE) -> int:
    """Multiply-accumulates of a backbone R for one image (1, 3, side, side), padded to a size
    that it takes: feature map and image, without an adapter.

    Raises:
        SizeError: the backbone has a smaller ``fixed_size``.
        Exception: whatever the backbone raises for tensors without content.
    """

    def run(device: torch.device) -> object:
        x = torch.zeros(1, 3, side, side, device=device)
        return backbone.head(backbone.forward_features(padded(backbone, x)))

    return count_macs(cast("nn.Module", backbone), run)


def prior_macs(prior: Prior) -> int:
    """Multiply-accumulates of a prior G for one image, from base code and styles."""

    def run(device: torch.device) -> object:
        base = torch.zeros(1, prior.base_channels, prior.base_size, prior.base_size, device=device)
        return prior.synthesize(base, torch.zeros(1, prior.num_styles, prior.style_dim).to(base))

    return count_macs(cast("nn.Module", prior), run)


def model_macs(model: UGPNet) -> int:
    """Multiply-accumulates of a whole UGPNet for one image of its resolution."""
    side = model.resolution // model.scale
    return count_macs(model, lambda device: model(torch.zeros(1, 3, side, side, device=device)))


def count_macs(network: nn.Module, run: Callable[[torch.device], object]) -> int:
    """Multiply-accumulates of what ``run`` does with a network; nothing is computed.

    Args:
        run: makes its inputs on the device that it is given, and runs the network on them.

    Raises:
        Exception: whatever the network raises for tensors without content.
    """
    device = next((each.device for each in network.parameters()), torch.device("cpu"))
    real = device.type != "meta"
    counter = FlopCounterMode(display=False)
    # With gradients, because torch's fused transformer layers, which it uses without, count as 0.
    with (
        FakeTensorMode(allow_non_fake_inputs=True) if real else contextlib.nullcontext(),
        torch.enable_grad(),
        counter,
    ):
        run(device)
    return counter.get_total_flops() // 2
