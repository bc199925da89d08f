"""Networks of spandrel as backbones.

spandrel (https://github.com/chaiNNer-org/spandrel, MIT) recognises the architecture and the
settings of a network in its state dict. The network it builds is wrapped at its last convolution
(:func:`ugpnet_core.wrap_backbone`). Where that layer alone does not make the image (the network
adds an enlarged input, say), the feature map carries the remainder as 3 more channels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from ugpnet_backbones.spandrel.architectures import (
    arguments_of,
    build,
    check_purpose,
    name_of,
    recognised,
    registry,
)
from ugpnet_backbones.spandrel.calls import CALLS, FIRST_OF_SEVERAL
from ugpnet_core.plugins import (
    ConfigError,
    PluginError,
    ProbeSizeError,
    WrappedBackbone,
    plain_call,
    read_tensors,
    wrap_backbone,
)

if TYPE_CHECKING:
    from spandrel import SizeRequirements


# Networks that need squares, or this many pixels at least, get images of one size.
FIXED_FROM = 256
# Where networks keep the multiples to which they pad images themselves.
SIZE_HINTS = ("window_size", "pad_size", "padder_size")


def spandrel_backbone(
    *,
    checkpoint: str | None = None,
    key: str | None = None,
    architecture: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    kind: Literal["direct", "residual"] = "direct",
    last_layer: str | None = None,
    pixel_shuffle: int = 1,
    carry_remainder: bool | None = None,
    size_multiple: int | None = None,
    fixed_size: int | None = None,
) -> WrappedBackbone:
    """Make a backbone of a network that spandrel recognises in a checkpoint, or of an untrained
    one; see ``SpandrelOptions`` for the arguments.

    Raises:
        ConfigError: not one of checkpoint and architecture; an architecture that is not there.
        WeightsError: the checkpoint is damaged, not recognised, or not of a restoring network.
        PluginError: the network cannot be used as a backbone; the message says why.
        DependencyError: spandrel is not installed.
    """
    if (checkpoint is None) == (architecture is None):
        raise ConfigError(
            "Give the backbone 'spandrel' a checkpoint=PATH, or an architecture= with arguments=."
        )
    if checkpoint is not None and arguments:
        raise ConfigError("arguments= are read from the checkpoint; leave them out.")
    chosen = size_multiple is not None or fixed_size is not None
    carrying = [False] if kind == "residual" else [False, True]
    # Where tensors have no values (device meta), running a network shows nothing.
    device = torch.empty(0).device
    with torch.device("cpu"):
        if architecture is None:
            assert checkpoint is not None
            found = recognised(read_tensors(checkpoint, key), checkpoint)
            network, name = found.model, found.architecture.id
            rules: SizeRequirements | None = found.size_requirements
        else:
            network, name = build(architecture, arguments or {}), architecture.partition(":")[0]
            # Sizes that were found once spare a second network.
            rules = None if chosen else _size_rules(name, network)
        if not chosen:
            size_multiple, fixed_size = _sizes(rules, network)
        attempt = functools.partial(
            wrap_backbone,
            network,
            last_layer,
            kind=kind,
            output=0 if name in FIRST_OF_SEVERAL else None,
            after=nn.PixelShuffle(pixel_shuffle) if pixel_shuffle > 1 else None,
            call=CALLS.get(name, plain_call),
        )
        try:
            backbone = _wrapped(
                attempt,
                carrying if carry_remainder is None else [carry_remainder],
                size_multiple or 1,
                fixed_size,
                chosen,
            )
        except PluginError as error:
            raise PluginError(f"{name} cannot be used as a {kind} backbone: {error}") from error
    return _rebuildable(backbone, name).to(device)


def _wrapped(
    attempt: Callable[..., WrappedBackbone],
    carrying: Sequence[bool],
    size_multiple: int,
    fixed_size: int | None,
    chosen: bool,
) -> WrappedBackbone:
    """Wrap a network, without and then with the remainder; where sizes were not chosen, at those
    that the probe asks for."""
    trouble: PluginError | None = None
    for carry in carrying:
        for _ in range(2):
            try:
                return attempt(
                    size_multiple=size_multiple, fixed_size=fixed_size, carry_remainder=carry
                )
            except ProbeSizeError as error:
                trouble = error
                if chosen or not (error.size_multiple or error.fixed_size):
                    break
                size_multiple, fixed_size = error.size_multiple or 1, error.fixed_size
            except PluginError as error:
                trouble = error
                break
    assert trouble is not None
    raise trouble


def _rebuildable(backbone: WrappedBackbone, name: str) -> WrappedBackbone:
    """Note the options that make a backbone again without the checkpoint, and without searching
    what its trained weights have shown."""
    if backbone.kind == "residual" and not backbone.adds_input:
        raise PluginError(
            f"{name} makes its image itself, and not by adding to x; use it with kind='direct'."
        )
    shuffle = backbone.after_last_layer
    backbone.rebuild_options = {
        "architecture": name_of(backbone.network, name),
        "arguments": arguments_of(backbone.network),
        "kind": backbone.kind,
        "last_layer": backbone.last_layer,
        "pixel_shuffle": shuffle.upscale_factor if isinstance(shuffle, nn.PixelShuffle) else 1,
        "carry_remainder": backbone.carry_remainder,
        "size_multiple": backbone.size_multiple,
        "fixed_size": backbone.fixed_size,
    }
    return backbone


def _size_rules(name: str, network: nn.Module) -> SizeRequirements | None:
    """What spandrel says of the sizes that an untrained network takes, if it can tell."""
    try:
        found = registry()[name].architecture.load(dict(network.state_dict()))
    except Exception:  # it reads values, which weights may lack before they are trained
        return None
    check_purpose(found, name)
    return found.size_requirements


def _sizes(rules: SizeRequirements | None, network: nn.Module) -> tuple[int, int | None]:
    """``size_multiple`` and ``fixed_size`` for what spandrel and the network say of sizes."""
    hints = [getattr(network, name, None) for name in SIZE_HINTS]
    multiple = math.lcm(*(hint for hint in hints if isinstance(hint, int) and hint > 0))
    minimum, square = (rules.minimum, rules.square) if rules else (0, False)
    multiple = math.lcm(multiple, rules.multiple_of if rules else 1)
    while multiple < minimum:
        multiple *= 2
    if not square and multiple < FIXED_FROM:
        return multiple, None
    return 1, multiple * math.ceil(FIXED_FROM / multiple)
