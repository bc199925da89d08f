"""What networks ask of whole maps is the same in all tiles of a photograph."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_core.inference import whole
from ugpnet_core.inference.rows import TensorRows
from ugpnet_core.inference.statistics import SQUARE, Statistics, statistics_of

Network = Callable[[Tensor], Tensor]
NORM = nn.InstanceNorm2d(3, affine=True)
GROUPS = nn.GroupNorm(1, 3)
nn.init.uniform_(NORM.weight)
nn.init.uniform_(GROUPS.weight)

ASKING: dict[str, Network] = {
    "pooling": lambda x: x * nn.AdaptiveAvgPool2d(1)(x),
    "pooling to a pair": lambda x: x * F.adaptive_avg_pool2d(x, (1, 1)),
    "mean": lambda x: x * x.mean((2, 3), keepdim=True),
    "mean from behind": lambda x: x * x.mean(dim=[-1, -2])[:, :, None, None],
    "by name": lambda x: x * F.adaptive_avg_pool2d(input=x, output_size=1),
    "torch.mean": lambda x: x * torch.mean(x, (3, 2), True),
    "instance normalisation": NORM,
    "without weights": lambda x: F.instance_norm(x),
    "group normalisation": GROUPS,
    "groups": lambda x: F.group_norm(x, 3),
}
ASKING_NOTHING: dict[str, Network] = {
    "mean over channels": lambda x: x - x.mean(1, keepdim=True),
    "mean of all": lambda x: x - x.mean(),
    "mean of rows": lambda x: x - x.mean(3, keepdim=True),
    "smaller map": lambda x: F.adaptive_avg_pool2d(x, 2),
    "running statistics": nn.InstanceNorm2d(3, track_running_stats=True).eval(),
    "tokens": lambda x: x.flatten(2).mean((1, 2)),
}


def photograph(height: int, width: int) -> Tensor:
    """Dark at its left, bright and rough at its right."""
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    return noise * torch.linspace(0, 1, width) * 0.5 + torch.linspace(0.1, 0.5, width)


@pytest.mark.parametrize("case", ASKING)
def test_what_was_found_is_given_again(case: str) -> None:
    network, x = ASKING[case], photograph(24, 40)
    with Statistics() as asked:
        expected = network(x)
    assert torch.equal(expected, network(x))
    assert len(asked.found) == 1
    with Statistics(asked.found):
        assert torch.allclose(network(x), expected, atol=1e-5)
    with Statistics(asked.found):
        part = network(x[..., 3:20])
    assert torch.allclose(part, expected[..., 3:20], atol=1e-5)
    assert not torch.allclose(network(x[..., 3:20]), part, atol=1e-2)


@pytest.mark.parametrize("case", ASKING_NOTHING)
def test_other_means_are_left_alone(case: str) -> None:
    network, x = ASKING_NOTHING[case], photograph(24, 40)
    with Statistics() as asked:
        assert torch.equal(network(x), ASKING_NOTHING[case](x))
    assert not asked.found


def test_other_threads_find_their_own() -> None:
    network, x = ASKING["mean"], photograph(24, 40)
    with Statistics() as asked:
        network(x)
    with Statistics(asked.found), ThreadPoolExecutor(1) as pool:
        other = pool.submit(network, x[..., :8]).result()
    assert torch.equal(other, network(x[..., :8]))


def test_a_network_that_asks_nothing_sees_one_square() -> None:
    seen: list[Tensor] = []
    assert statistics_of(seen.append, TensorRows(photograph(600, 900)[0])) == []
    assert [tuple(square.shape) for square in seen] == [(1, 3, SQUARE, SQUARE)]


def test_a_network_that_does_not_always_ask_the_same_finds_its_own() -> None:
    def network(x: Tensor) -> Tensor:
        return x.mean((2, 3)) if x.mean() > 0.4 else x

    assert statistics_of(network, TensorRows(photograph(600, 900)[0])) == []


def test_without_memory_for_squares_tiles_find_their_own() -> None:
    def network(x: Tensor) -> Tensor:
        raise MemoryError

    assert statistics_of(network, TensorRows(photograph(600, 900)[0])) == []


@pytest.mark.parametrize("size", [(600, 900), (33, 1700), (1700, 33), (1, 700), (257, 2000)])
def test_squares_are_spread_over_a_photograph(size: tuple[int, int]) -> None:
    seen: list[Tensor] = []

    def network(x: Tensor) -> Tensor:
        seen.append(x)
        return x.mean((2, 3))

    x = photograph(*size)
    (found,) = statistics_of(network, TensorRows(x[0]))
    assert 3 <= len(seen) <= 9
    assert all(side % 32 == 0 and side <= SQUARE for each in seen for side in each.shape[2:])
    assert torch.allclose(found.mean, x.mean((0, 2, 3)), atol=0.02)
    assert torch.allclose(found.square, x.square().mean((0, 2, 3)), atol=0.02)


class Brightening(nn.Module):
    """Stands in for a restoration module: adds some of what its map is in the mean."""

    backbone = None

    def forward(self, x: Tensor) -> SimpleNamespace:
        return SimpleNamespace(image=x + 0.2 * x.mean((2, 3), keepdim=True))


def test_a_photograph_does_not_change_with_its_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = SimpleNamespace(restoration=Brightening(), scale=1)
    x = photograph(300, 900)

    def difference(tile: int) -> float:
        one, other = (whole.regressed(model, x, torch.device("cpu"), t) for t in (tile, 2048))
        return float((one - other).abs().max()) * 255

    assert max(map(difference, (96, 160, 512))) < 2
    assert difference(2048) == 0
    monkeypatch.setattr(whole, "statistics_of", lambda network, source: [])
    assert difference(160) > 10


@pytest.mark.parametrize(
    ("size", "tile", "expected"),
    [
        ((512, 768), 512, [(576, 832)]),  # not cut
        ((512, 1000), 512, [(320, 416)] * 6),  # no more tiles than their sides ask for
        ((30, 2000), 256, [(96, 256)] * 11),
    ],
)
def test_tiles_are_as_few_as_can_be(
    size: tuple[int, int], tile: int, expected: list[tuple[int, int]]
) -> None:
    seen: list[tuple[int, int]] = []

    def restoration(x: Tensor) -> SimpleNamespace:
        seen.append((x.shape[-2], x.shape[-1]))
        return SimpleNamespace(image=x)

    model: Any = SimpleNamespace(restoration=restoration, scale=1)
    restoration.backbone = None  # type: ignore[attr-defined]
    x = photograph(*size)
    same = whole.regressed(model, x, torch.device("cpu"), tile)
    assert torch.allclose(same, x, atol=1e-6)
    assert seen[-len(expected) :] == expected
    assert len(seen) == len(expected) + (len(expected) > 1)  # and a square
