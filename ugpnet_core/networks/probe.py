"""How a wrapped network is probed: at which sizes, on which images, and what counts as equal."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from ugpnet_core.errors import PluginError
from ugpnet_core.plugins.discovery import describe_error

T = TypeVar("T")
Size = tuple[int, int]
# Tried only to say in an error which size a network would take.
MULTIPLES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64, 128)
SIDES = (16, 24, 32, 48, 64, 96, 112, 128, 192, 224, 256)


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
    """Odd multiples, of different sides, of at least 16 pixels."""
    if fixed_size is not None:
        return fixed_size, fixed_size
    odd = math.ceil(16 / size_multiple) // 2 * 2 + 1
    return size_multiple * odd, size_multiple * (odd + 2)


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


def ratio(large: Tensor, small: Tensor) -> int | None:
    """How many times larger in pixels, if that is a whole number and the same in both ways."""
    (height, width), (rows, columns) = large.shape[2:], small.shape[2:]
    times: int = height // max(rows, 1)
    return times if times and (rows * times, columns * times) == (height, width) else None


def fit(image: Tensor, f: Tensor) -> tuple[int, int] | None:
    """How many times larger an image is than a map within its margin, and the width of the margin
    (for a padding that the next layer uses up), in pixels of the map; None if it does not fit."""
    times = ratio(image, f)
    if times:
        return times, 0
    for times in (1, 2, 3, 4, 8):
        sizes = [(f.shape[i] - image.shape[i] / times) / 2 for i in (2, 3)]
        if sizes[0] == sizes[1] and sizes[0].is_integer() and 0 < sizes[0] <= 8:
            return times, int(sizes[0])
    return None


def without_margin(f: Tensor, margin: int) -> Tensor:
    """The inner part of a map (N, C, H, W)."""
    return f[:, :, margin:-margin, margin:-margin] if margin else f


def trimmed(y: Tensor, f: Tensor) -> Tensor:
    """What a layer made of a map with a margin, less what it left of the margin around f."""
    left = {y.shape[i] - f.shape[i] for i in (2, 3)}
    rest = left.pop()
    return y if left or rest % 2 or not 0 < rest <= 16 else without_margin(y, rest // 2)


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
