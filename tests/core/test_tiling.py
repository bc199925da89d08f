from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ugpnet_core.errors import SizeError
from ugpnet_core.inference.tiling import positions, run_tiled

TILE = 16


def identity(x: Tensor) -> tuple[Tensor, ...]:
    assert x.shape[1:] == (3, TILE, TILE)
    return x, 1 - x


def enlarge(x: Tensor) -> tuple[Tensor, ...]:
    return (x.repeat_interleave(2, -1).repeat_interleave(2, -2),)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 2), st.sampled_from([None, 3, 16]))
def test_what_the_network_leaves_alone_comes_back(
    height: int, width: int, count: int, stride: int | None
) -> None:
    images = torch.rand(count, 3, height, width)
    same, inverse = run_tiled(identity, images, tile=TILE, stride=stride, batch_size=3)
    assert same.shape == images.shape
    assert (same - images).abs().max() < 1e-5
    assert (inverse - (1 - images)).abs().max() < 1e-5


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (37, 23)])
def test_scale(size: tuple[int, int]) -> None:
    images = torch.rand(1, 3, *size)
    (large,) = run_tiled(enlarge, images, tile=TILE, scale=2)
    assert (large - enlarge(images)[0]).abs().max() < 1e-5


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 500), st.integers(1, 64), st.integers(1, 64))
def test_tiles_cover_everything(extra: int, tile: int, stride: int) -> None:
    size, stride = tile + extra, min(stride, tile)
    begins = positions(size, tile, stride)
    assert begins[0] == 0
    assert begins[-1] == size - tile
    assert all(0 < b - a <= stride for a, b in itertools.pairwise(begins))


def test_one_tile_where_one_is_enough() -> None:
    assert positions(16, 16, 12) == [0]


def test_seams_are_smooth() -> None:
    # Every tile comes out at a level of its own: blending must not jump between neighbours.
    levels = iter(torch.linspace(0, 1, 9).tolist())

    def network(x: Tensor) -> tuple[Tensor]:
        return (torch.stack([torch.full_like(one, next(levels)) for one in x]),)

    (out,) = run_tiled(network, torch.zeros(1, 3, 40, 40), tile=TILE, stride=12)
    jumps = max(float(out.diff(dim=dim).abs().max()) for dim in (-1, -2))
    assert jumps < 0.5 * 3 / 8  # hard seams would be 3/8 high


def test_tiles_do_not_depend_on_their_company() -> None:
    images = torch.rand(2, 3, 40, 25)
    one = run_tiled(identity, images, tile=TILE, batch_size=1)[0]
    many = run_tiled(identity, images, tile=TILE, batch_size=100)[0]
    alone = run_tiled(identity, images[1:], tile=TILE)[0]
    assert torch.equal(one, many)
    assert torch.equal(one[1:], alone)


def test_few_tiles_are_in_memory_at_once() -> None:
    most = 0

    def network(x: Tensor) -> tuple[Tensor]:
        nonlocal most
        most = max(most, len(x))
        return (x,)

    run_tiled(network, torch.zeros(1, 3, 200, 200), tile=TILE, batch_size=2)
    assert most == 2


def test_tiles_overlap_by_a_quarter_unless_told_otherwise() -> None:
    seen = 0

    def network(x: Tensor) -> tuple[Tensor]:
        nonlocal seen
        seen += len(x)
        return (x,)

    run_tiled(network, torch.zeros(1, 3, TILE, TILE + 2 * 3 * TILE // 4), tile=TILE)
    assert seen == 3


def test_strides_may_differ() -> None:
    x = torch.rand(1, 3, 2 * TILE, 5 * TILE)
    seen = 0

    def network(tiles: Tensor) -> tuple[Tensor]:
        nonlocal seen
        seen += len(tiles)
        return (tiles,)

    (same,) = run_tiled(network, x, tile=(TILE, 2 * TILE), stride=(TILE // 2, 3 * TILE // 2))
    assert seen == 3 * 3
    assert torch.allclose(same, x, atol=1e-6)


@pytest.mark.parametrize("stride", [0, -1, 17, (8, 17), (0, 8)])
def test_impossible_strides_are_refused(stride: int | tuple[int, int]) -> None:
    with pytest.raises(SizeError, match="stride"):
        run_tiled(identity, torch.zeros(1, 3, 8, 8), tile=TILE, stride=stride)


def test_no_pixels_are_refused() -> None:
    with pytest.raises(SizeError, match="no pixels"):
        run_tiled(identity, torch.zeros(1, 3, 0, 8), tile=TILE)
