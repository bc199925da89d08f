"""Photographs by rows, and tiles that fit into memory: the same as all at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ugpnet_core.devices import free_memory, is_out_of_memory
from ugpnet_core.errors import ImageError
from ugpnet_core.faces.alignment import Pasted, align
from ugpnet_core.faces.face import Face
from ugpnet_core.image import pad_reflect, resize
from ugpnet_core.inference.colours import SlowColours, enlarged_rows, fast, slow
from ugpnet_core.inference.memory import MAPS, bytes_per_pixel, fitting, halving
from ugpnet_core.inference.rows import (
    BAND,
    EnlargedRows,
    LevelRows,
    MirroredRows,
    Rows,
    StoredRows,
    TensorRows,
    bands,
    reduced,
    write_levels,
)
from ugpnet_core.inference.whole import square_of

Sides = st.integers(1, 3 * BAND)


def whole(rows: Rows, step: int = BAND) -> Tensor:
    """All rows, read ``step`` at a time."""
    tops = range(0, rows.height, step)
    return torch.cat([rows.band(top, min(top + step, rows.height)) for top in tops], -2)


@settings(max_examples=30, deadline=None)
@given(Sides, Sides, st.integers(0, 40), st.integers(0, 40), st.booleans(), st.integers(1, 50))
def test_mirrored(height: int, width: int, before: int, after: int, edge: bool, step: int) -> None:
    image = torch.rand(3, height, width)
    rows = MirroredRows(TensorRows(image), before, after, after, before, edge=edge)
    expected = pad_reflect(image, before, after, after, before, edge=edge)
    assert torch.equal(whole(rows, step), expected)


@settings(max_examples=20, deadline=None)
@given(Sides, Sides, st.integers(2, 4), st.integers(1, 50))
def test_enlarged(height: int, width: int, scale: int, step: int) -> None:
    image = torch.rand(3, height, width)
    rows = EnlargedRows(TensorRows(image), scale)
    expected = resize(image, (height * scale, width * scale))
    assert (whole(rows, step) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_levels_come_back(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(0, np.iinfo(dtype).max, (70, 50, 3), dtype, endpoint=True)
    made = np.zeros_like(levels)
    for top, bottom in bands(70):
        write_levels(LevelRows(levels).band(top, bottom), made[top:bottom])
    assert np.array_equal(made, levels)


@pytest.mark.parametrize(("exact", "error"), [(True, 0.0), (False, 1.2e-5)])
def test_stored(exact: bool, error: float) -> None:
    image = torch.rand(3, 80, 30) * 1.5 - 0.25
    stored = StoredRows(80, 30, exact=exact)
    for top, bottom in bands(80):
        stored.write(top, image[:, top:bottom])
    assert (whole(stored, 17) - image).abs().max() <= error


@pytest.mark.parametrize(("longest", "factor"), [(100, 1), (99, 2), (30, 4), (13, 8)])
def test_reduced_by_means(longest: int, factor: int) -> None:
    image = torch.rand(3, 100, 61)
    small, found = reduced(TensorRows(image), longest)
    assert found == factor
    assert max(small.shape[-2:]) <= longest
    cells = image[:, : 100 // factor * factor, : 61 // factor * factor]
    means = torch.nn.functional.avg_pool2d(cells, factor)
    assert (small[:, : means.shape[1], : means.shape[2]] - means).abs().max() < 1e-6


@settings(max_examples=20, deadline=None)
@given(Sides, Sides, st.sampled_from([8.0, 12.0, 32.0]), st.integers(1, 50))
def test_slow_colours(height: int, width: int, sigma: float, step: int) -> None:
    image = torch.rand(1, 3, height, width)
    collected = SlowColours((height, width), sigma)
    for top in range(0, height, step):
        collected.add(image[0, :, top : top + step])
    cells = collected.mean()
    assert (cells - slow(image, sigma)).abs().max() < 1e-6
    tops = range(0, height, step)
    rows = [enlarged_rows(cells, (height, width), t, min(t + step, height)) for t in tops]
    assert (image - torch.cat(rows, -2) - fast(image, sigma)).abs().max() < 1e-5


def test_faces_are_pasted_by_rows_as_all_at_once() -> None:
    faces = [Face(30, 40, 50, 0.3), Face(60, 50, 20, -0.2), Face(-500, 0, 30, 0)]
    patches = [torch.rand(3, 32, 32) for _ in faces]
    pasted = Pasted(patches, faces, 3, (90, 100))
    rows = torch.cat([pasted.band(top, min(top + 7, 90)) for top in range(0, 90, 7)], -2)
    assert (rows - pasted.band(0, 90)).abs().max() < 1e-6


def running_out(most: int, error: Callable[[], BaseException]) -> Callable[[int], int]:
    """What needs more memory than there is for sizes above the most."""

    def run(size: int) -> int:
        if size > most:
            raise error()
        return size

    return run


@pytest.mark.parametrize(
    "error",
    [
        MemoryError,
        lambda: torch.cuda.OutOfMemoryError("CUDA out of memory."),
        lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you ..."),
    ],
)
def test_tiles_are_halved_while_memory_runs_out(error: Callable[[], BaseException]) -> None:
    assert is_out_of_memory(error())
    assert halving(running_out(512, error), 512, 192) == 512
    assert halving(running_out(200, error), 512, 192) == 192
    with pytest.raises(ImageError, match="not enough memory"):
        halving(running_out(100, error), 512, 192)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        halving(running_out(0, lambda: RuntimeError("shapes do not fit")), 512, 192)


def test_tiles_by_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    free = free_memory(torch.device("cpu"))
    assert free is None or free > 0
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1))
    per_pixel = bytes_per_pixel(network)
    assert per_pixel == MAPS * 4 * 11  # a layer reads and writes 11 channels of 4 bytes
    assert bytes_per_pixel(nn.Flatten(0)) == MAPS * 4 * 6  # never less than image and result
    for megabytes, side in ((10_000, 512), (20, 300), (0, 192)):
        bytes_free = megabytes * 2**20
        monkeypatch.setattr(
            "ugpnet_core.inference.memory.free_memory", lambda device, given=bytes_free: given
        )
        found = fitting(512, per_pixel, torch.device("cpu"), 192)
        assert found == side or (side == 300 and 192 < found < 512)


@pytest.mark.parametrize(("side", "angle"), [(150, 0.3), (600, 0.2), (560, -0.4)])
def test_the_square_of_a_large_face_is_that_of_the_photograph_made_smaller(
    side: float, angle: float
) -> None:
    rows, columns = torch.meshgrid(torch.arange(900) / 300, torch.arange(700) / 300, indexing="ij")
    image = 0.5 + 0.4 * torch.stack([rows.sin(), columns.cos(), (rows + 2 * columns).sin()])
    face = Face(x=340, y=470, side=side, angle=angle)
    found = square_of(TensorRows(image), face, 64)
    expected = align(resize(image, (450, 350)), [replace(face, x=170, y=235, side=side / 2)], 64)[0]
    assert found.shape == (3, 64, 64)
    assert (found - expected)[:, 4:-4, 4:-4].abs().max() < 0.02
