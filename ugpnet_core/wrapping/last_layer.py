"""Find the layer of a network that makes its image, by running it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from ugpnet_core.errors import PluginError
from ugpnet_core.wrapping.capture import Call, image_of, plain_call, run_through, undisturbed
from ugpnet_core.wrapping.probe import (
    ProbeSizeError,
    Size,
    check_kind,
    checked_image,
    close,
    failure,
    fit,
    probe_images,
    ratio,
    with_fitting_size,
)

Kind = Literal["direct", "residual"]


def find_last_layer(
    network: nn.Module,
    *,
    kind: Kind = "direct",
    output: int | str | None = None,
    call: Call = plain_call,
    size_multiple: int = 1,
    fixed_size: int | None = None,
    carry_remainder: bool = False,
) -> tuple[str, nn.Module | None]:
    """Find the layer that gives the image (or the residual), by running the network.

    Arguments are those of :func:`ugpnet_core.wrap_backbone`.

    Returns:
        Its dotted name, and the pixel shuffle that follows it outside the layer, if one does.

    Raises:
        PluginError: the network fails, or no layer qualifies.
    """

    def search(size: Size) -> list[Candidate]:
        found = candidates(network, size, kind, output, call)
        if not found:
            raise ProbeSizeError(f"No layer of {type(network).__name__} gives an image")
        return found

    if any(parameter.is_meta for parameter in network.parameters()):
        raise PluginError(
            "The last layer of a network without weights cannot be found (device 'meta'); name it "
            "with last_layer=."
        )
    with undisturbed(network):
        found = with_fitting_size(search, size_multiple, fixed_size)
    chosen = [each for each in found if each.exact or carry_remainder]
    if not chosen:
        what, otherwise = (
            ("image", "give carry_remainder=True")
            if kind == "direct"
            else ("residual", "use kind='direct'")
        )
        raise PluginError(
            f"No layer of {type(network).__name__} gives its {what} by itself; name the last one "
            f"with last_layer= and what follows it with after=, or {otherwise}."
        )
    return chosen[0].name, chosen[0].after


@dataclass(frozen=True)
class Candidate:
    """A layer that may be the last; ``rank`` sorts the likeliest first."""

    name: str
    after: nn.Module | None
    exact: bool
    thin: bool
    rank: tuple[bool, bool, bool, int, int]


def candidates(
    network: nn.Module, size: Size, kind: Kind, output: int | str | None, call: Call
) -> list[Candidate]:
    """Layers with weights whose output has the image's shape, perhaps after a pixel shuffle; the
    likeliest first: those that give the image exactly, single layers, the last ones."""
    x = probe_images(network, size)
    try:
        noted, returned = run_through(network, x.clone(), call)
    except Exception as error:
        raise ProbeSizeError(failure(network, size, error)) from error
    image = checked_image(image_of(returned, output), x)
    check_kind(kind, image, x)
    found = []
    for order, (name, (given, gave)) in enumerate(noted.items()):
        layer = network.get_submodule(name)
        convolutions = sum(weight.dim() == 4 for weight in layer.parameters())
        is_input = given.shape == x.shape and close(given, x)
        fitting = fit(image, given, gave)
        if convolutions != 1 or is_input or fitting is None:
            continue
        inner = fitting.inner(given)
        if fitting.surplus:
            times = gave.shape[2] // given.shape[2]
            gave = gave[:, :, : inner.shape[2] * times, : inner.shape[3] * times]
        gave = fitting.trimmed(gave, inner)
        after = _pixel_shuffle(gave, image)
        image_of_layer = gave if after is None else after(gave)
        if image_of_layer.shape != image.shape:
            continue
        exact = relation(kind, x, image, image_of_layer) is not None
        container = any(True for _ in layer.children())
        size_of_it = sum(p.numel() for p in layer.parameters()) if container else 0
        rank = (not exact, after is not None, container, size_of_it, -order)
        thin = given.shape[1] <= image.shape[1]
        found.append(Candidate(name, after, exact, thin, rank))
    # A map with no more channels than the image holds nothing that the image does not.
    thick = [each for each in found if not each.thin]
    return sorted(thick or found, key=lambda each: each.rank)


def relation(kind: Kind, x: Tensor, image: Tensor, y: Tensor) -> str | None:
    """How a network's image is made of what a layer gives, where that is right for the kind."""
    if kind == "residual" and x.shape == y.shape and close(image, x + y):
        return "x + y"
    return "y" if close(image, y) else None


def _pixel_shuffle(gave: Tensor, image: Tensor) -> nn.PixelShuffle | None:
    times = ratio(image, gave)
    if times is None or times == 1 or gave.shape[1] != image.shape[1] * times**2:
        return None
    return nn.PixelShuffle(times)
