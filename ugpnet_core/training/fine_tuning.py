"""Published networks that are trained on: taken over in part, and with layers that stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from ugpnet_core.checkpoints.state_dict import fit
from ugpnet_core.errors import PluginError, TrainingError
from ugpnet_core.model_files.prior_weights import PriorWeights


def fit_part(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Load tensors that are those of a part of a network, whose other layers stay as they are.

    Raises:
        WeightsError: one of them is of no layer of this network, or of another shape.
    """
    fit(network, {**network.state_dict(), **tensors}, source)


def why_without(weights: PriorWeights | None) -> str:
    """Why the discriminator of a file is not among its weights, for the end of a sentence: " (left
    out: ...)"; nothing where its reader gives no reason."""
    said = None if weights is None else weights.facts.get("discriminator")
    return f" ({said.rstrip('.')})" if isinstance(said, str) else ""


def kept_layers(
    discriminator: nn.Module, tensors: Mapping[str, Tensor], count: int
) -> Sequence[nn.Module]:
    """The first so many layers of a discriminator that have all their weights from a file. (New
    ones, of a network that takes more pixels than that of the file, have to learn.)

    Raises:
        PluginError: the discriminator does not say which its layers are.
        TrainingError: there are not so many.
    """
    if not count:
        return ()
    layers = getattr(discriminator, "layers", None)
    if layers is None:
        raise PluginError(
            f"{type(discriminator).__name__} does not say which its first layers are (layers); set "
            "prior.freeze_d to 0."
        )
    names = {module: name for name, module in discriminator.named_modules()}
    known = [
        layer
        for layer in layers
        if all(f"{names[layer]}.{key}" in tensors for key, _ in layer.named_parameters())
    ]
    if count >= len(known):
        raise TrainingError(
            f"prior.freeze_d is {count}, and the discriminator has {len(known)} layers from the "
            "file, of which the last has to learn; keep fewer."
        )
    return known[:count]
