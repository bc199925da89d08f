"""What networks ask of whole maps, asked once for a whole photograph.

Channel attention multiplies by what the means of maps say, and instance normalisation divides by
their spread. Within a tile they would be those of the tile: a photograph would change with the size
of its tiles, and where two of them meet. So they are found in squares that are spread over the
photograph, and are the same in all tiles.

This follows the calls of torch's functions, so that it holds for networks of any origin; it changes
none of them, and no other thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ugpnet_core.devices import is_out_of_memory
from ugpnet_core.inference.rows import MirroredRows, Rows

# Pixels of a side of the squares, and which share of the photograph they are together, as far as
# their number allows.
SQUARE = 256
SHARE = 1 / 8
FEWEST, MOST = 3, 8

# Height and width of a map (N, C, H, W).
_SPATIAL = ({2, 3}, {-2, -1}, {2, -1}, {-2, 3})


class Moments(NamedTuple):
    """The means of a map and of its square, (C,) each, float32."""

    mean: Tensor
    square: Tensor


class Statistics(TorchFunctionMode):
    """Within its context, what a network asks of its maps is kept, or is what was kept before.

    Args:
        given: What the network is told, in the order in which it asks; nothing leaves it what it
            would find in its maps.

    Attributes:
        found: What it asked for.
    """

    def __init__(self, given: Sequence[Moments] = ()) -> None:
        super().__init__()
        self.given = given
        self.found: list[Moments] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """A call of a function of torch: answered here, or there."""
        kwargs = dict(kwargs or {})
        answer = _ANSWERS.get(func)
        if answer is None:
            return func(*args, **kwargs)
        if "input" in kwargs:
            args = (kwargs.pop("input"), *args)
        return answer(self, func, *args, **kwargs)

    def of(self, x: Tensor) -> Moments | None:
        """What is to be used for a map (N, C, H, W); None is its own, which is kept."""
        number = len(self.found)
        if number < len(self.given) and len(self.given[number].mean) == x.shape[1]:
            self.found.append(self.given[number])
            return self.given[number]
        values = x.detach().float()
        self.found.append(Moments(values.mean((0, 2, 3)), values.square().mean((0, 2, 3))))
        return None


def statistics_of(network: Callable[[Tensor], object], source: Rows) -> list[Moments]:
    """What a network asks of its maps in a photograph, from squares of it; nothing where it asks
    nothing, or not the same everywhere, or where there is no memory for that.

    Args:
        network: Takes (1, 3, h, w), sides multiples of 32.
        source: The photograph.
    """
    every: list[list[Moments]] = []
    for square in _squares(source):
        try:
            with Statistics() as asked:
                network(square)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return []
        if not asked.found or len(asked.found) != len((every or [asked.found])[0]):
            return []
        every.append(asked.found)
    return [
        Moments(*(torch.stack(values).mean(0) for values in zip(*moments, strict=True)))
        for moments in zip(*every, strict=True)
    ]


def _squares(source: Rows) -> Iterator[Tensor]:
    """Evenly spread, (1, 3, h, w) each."""
    padded = MirroredRows(source, 0, -source.width % 32, 0, -source.height % 32)
    height, width = min(SQUARE, padded.height), min(SQUARE, padded.width)
    wanted = math.ceil(SHARE * padded.height * padded.width / (height * width))
    count = min(max(wanted, FEWEST), MOST)
    rows = min(max(round(math.sqrt(count * padded.height / padded.width)), 1), count)
    for top in _middles(padded.height, height, rows):
        band = padded.band(top, top + height)
        for left in _middles(padded.width, width, math.ceil(count / rows)):
            yield band[None, :, :, left : left + width]


def _middles(size: int, side: int, count: int) -> list[int]:
    """Where squares begin that lie in the middles of so many equal parts, as far as they can."""
    wish = (round((number + 0.5) * size / count - side / 2) for number in range(count))
    return sorted({min(max(begin, 0), size - side) for begin in wish})


def _mean(
    asked: Statistics, func: Any, x: Tensor, dim: Any = None, keepdim: bool = False, **more: Any
) -> Any:
    whole = isinstance(dim, Sequence) and x.dim() == 4 and set(dim) in _SPATIAL
    moments = asked.of(x) if whole and not more else None
    if moments is None:
        return func(x, **({} if dim is None else {"dim": dim, "keepdim": keepdim}), **more)
    means = _expanded(moments, x)
    return means if keepdim else means[:, :, 0, 0]


def _pooled(asked: Statistics, func: Any, x: Tensor, output_size: Any) -> Any:
    moments = asked.of(x) if x.dim() == 4 and output_size in (1, (1, 1), [1, 1]) else None
    return func(x, output_size) if moments is None else _expanded(moments, x)


def _expanded(moments: Moments, x: Tensor) -> Tensor:
    return moments.mean.to(x.dtype).view(1, -1, 1, 1).expand(len(x), -1, 1, 1)


def _instance_norm(
    asked: Statistics,
    func: Any,
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    moments = asked.of(x) if use_input_stats and x.dim() == 4 else None
    if moments is None:
        running = running_mean, running_var
        return func(x, *running, weight, bias, use_input_stats, momentum, eps)
    return _normalised(x, *moments, weight, bias, eps)


def _group_norm(
    asked: Statistics,
    func: Any,
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Any:
    moments = asked.of(x) if x.dim() == 4 else None
    if moments is None:
        return func(x, num_groups, weight, bias, eps)
    size = len(moments.mean) // num_groups
    mean, square = (one.view(-1, size).mean(1).repeat_interleave(size) for one in moments)
    return _normalised(x, mean, square, weight, bias, eps)


def _normalised(
    x: Tensor, mean: Tensor, square: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    variance = (square - mean.square()).clamp(min=0)
    return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)


_ANSWERS: dict[Any, Callable[..., Any]] = {
    torch.mean: _mean,
    Tensor.mean: _mean,
    F.adaptive_avg_pool2d: _pooled,
    F.instance_norm: _instance_norm,
    F.group_norm: _group_norm,
}
