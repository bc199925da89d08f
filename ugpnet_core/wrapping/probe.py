"""How a wrapped network is probed: at which sizes, on which images, and what counts as equal."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from ugpnet_core.errors import PluginError
from ugpnet_core.plugins.discovery import describe_error

T = TypeVar("T")
Size = tuple[int, int]
# Tried only to say in an error which size a network would take.
MULTIPLES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64, 128)
SIDES = (16, 24, 32, 48, 64, 96, 112, 128, 192, 224, 256)


# The widest margin that is looked for, in pixels of a map.
MARGIN = 16


class ProbeSizeError(PluginError):
    """A failure that another size of the image may mend; it has the size, once that is known."""

    def __init__(
        self, message: str, size_multiple: int | None = None, fixed_size: int | None = None
    ) -> None:
        super().__init__(message)
        self.size_multiple = size_multiple
        self.fixed_size = fixed_size


def with_fitting_size(
    attempt: Callable[[Size], T], size_multiple: int, fixed_size: int | None
) -> T:
    """Attempt at the declared size.

    Raises:
        ProbeSizeError: it failed for its size; the message says at which size it would not.
    """
    try:
        return attempt(_probe_size(size_multiple, fixed_size))
    except ProbeSizeError as error:
        trouble = error
    multiples = [math.lcm(size_multiple, each) for each in MULTIPLES]
    for multiple in sorted({each for each in multiples if size_multiple < each <= 128}):
        if fixed_size is None and _succeeds(attempt, _probe_size(multiple, None)):
            advice = f"{trouble}; give size_multiple={multiple}."
            raise ProbeSizeError(advice, size_multiple=multiple) from trouble
    for side in SIDES:
        if _succeeds(attempt, (side, side)):
            advice = f"{trouble}; give fixed_size={side}."
            raise ProbeSizeError(advice, fixed_size=side) from trouble
    advice = "check size_multiple and fixed_size, or name another layer"
    raise ProbeSizeError(f"{trouble}; {advice}.") from trouble


def _succeeds(attempt: Callable[[Size], object], size: Size) -> bool:
    try:
        attempt(size)
    except PluginError:
        return False
    return True


def _probe_size(size_multiple: int, fixed_size: int | None) -> Size:
    """An odd and an even multiple of 16 pixels or more, so that a network which pads to a larger
    multiple does not pad both sides alike."""
    if fixed_size is not None:
        return fixed_size, fixed_size
    odd = math.ceil(16 / size_multiple) // 2 * 2 + 1
    return size_multiple * odd, size_multiple * (odd + 1)


def probe_images(network: nn.Module, size: Size) -> Tensor:
    """Two noise images (2, 3, H, W) where the network is, in its type."""
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, *size, generator=rng, device="cpu")
    floating = (p for p in network.parameters() if p.is_floating_point())
    first = next(floating, None)
    return x if first is None else x.to(first)


def checked_image(image: Tensor, x: Tensor) -> Tensor:
    """The image that a network made of x, if it is one.

    Raises:
        PluginError: it is none.
    """
    if image.dim() != 4 or image.shape[:2] != x.shape[:2]:
        raise PluginError(
            f"The network makes {tuple(image.shape)} of images {tuple(x.shape)}, which is no image "
            "(N, 3, H, W); a backbone gives RGB images."
        )
    return image


def check_kind(kind: str, image: Tensor, x: Tensor) -> None:
    """Refuse a residual network that enlarges.

    Raises:
        PluginError: this one does.
    """
    if kind == "residual" and image.shape != x.shape:
        raise PluginError(
            f"The network makes {pixels(image)} pixels of {pixels(x)}, so that its output is not "
            "added to x; declare kind='direct'."
        )


def ratio(large: Tensor, small: Tensor) -> int | None:
    """How many times larger in pixels, if that is a whole number and the same in both ways."""
    (height, width), (rows, columns) = large.shape[2:], small.shape[2:]
    times: int = height // max(rows, 1)
    return times if times and (rows * times, columns * times) == (height, width) else None


class Fit(NamedTuple):
    """How the map that enters the last layer lies on the image.

    The image is ``repeat`` times larger than the inner part of the map. Around that part is a
    ``margin``, which a layer without padding uses up, or to the right of it and below is a
    ``surplus``, which the network cuts off later; both in pixels of the map.
    """

    repeat: int = 1
    margin: int = 0
    surplus: int = 0

    def inner(self, f: Tensor) -> Tensor:
        """The part of a map (N, C, ...) that belongs to the image."""
        if self.surplus:
            return f[:, :, : -self.surplus, : -self.surplus]
        return _without_margin(f, self.margin) if self.margin else f

    def trimmed(self, y: Tensor, inner: Tensor) -> Tensor:
        """What a layer made of a map with a margin, less what it left of the margin."""
        left = y.shape[2] - inner.shape[2]
        return _without_margin(y, left // 2) if self.margin and 0 < left < 2 * MARGIN else y


def fit(image: Tensor, f: Tensor, y: Tensor) -> Fit | None:
    """How a map f fits on an image, if it does; y is what the layer makes of the whole of f."""
    repeat = ratio(image, f)
    if repeat:
        return Fit(repeat)
    for repeat in (1, 2, 3, 4, 8):
        beyond, *other = {f.shape[i] * repeat - image.shape[i] for i in (2, 3)}
        if other or beyond % repeat or not 0 < beyond // repeat <= 2 * MARGIN:
            continue
        more = beyond // repeat
        if ratio(y, f):
            return Fit(repeat, surplus=more)
        if more % 2 == 0:
            return Fit(repeat, margin=more // 2)
    return None


def _without_margin(f: Tensor, margin: int) -> Tensor:
    return f[:, :, margin:-margin, margin:-margin]


def close(one: Tensor, other: Tensor) -> bool:
    """Equal up to rounding; on the meta device, where there are no values, always."""
    if one.is_meta or other.is_meta:
        return True
    tolerance = 1e-4 if one.dtype in (torch.float32, torch.float64) else 5e-2
    one, other = one.detach().float(), other.detach().float()
    # Untrained weights may give infinities, which say nothing.
    finite = float(other[other.isfinite()].abs().max()) if other.isfinite().any() else 0.0
    return torch.allclose(one, other, rtol=0.0, atol=tolerance * finite, equal_nan=True)


def same(one: Tensor, other: Tensor) -> bool:
    """Equal to the last bit; on the meta device always."""
    return one.is_meta or torch.equal(one, other)


def pixels(image: Tensor) -> str:
    """The size of an image or a map in words: height x width."""
    return f"{image.shape[2]}x{image.shape[3]}"


def failure(network: nn.Module, size: Size, error: Exception) -> str:
    """Say that a network failed on images of a size, and how."""
    return (
        f"{type(network).__name__} fails on images of {size[0]}x{size[1]} pixels "
        f"({describe_error(error)})"
    )
