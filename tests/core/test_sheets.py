"""Pictures laid out in rows under words."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ugpnet_core.image.sheet import Row, columns_for, compose, grid


def _flat(level: float, height: int = 3, width: int = 5) -> Tensor:
    return torch.full((3, height, width), level)


def test_cells_stand_in_rows_with_gaps_between_and_around() -> None:
    sheet = compose([Row([_flat(0.0), _flat(0.25)]), Row([None, _flat(0.5)])], gap=2)
    assert sheet.shape == (3, 2 * 3 + 3 * 2, 2 * 5 + 3 * 2)
    expected = torch.ones_like(sheet)
    expected[:, 2:5, 2:7] = 0
    expected[:, 2:5, 9:14] = 0.25
    expected[:, 7:10, 9:14] = 0.5
    assert torch.equal(sheet, expected)


def test_without_a_gap_nothing_is_added_and_levels_stay_in_range() -> None:
    sheet = compose([Row([_flat(-1.0), _flat(2.0).double()])])
    assert torch.equal(sheet, torch.cat([_flat(0.0), _flat(1.0)], dim=-1))


def test_words_stand_above_what_they_name() -> None:
    rows = [Row((), ["one", "two"]), Row([_flat(1.0, 8, 60), _flat(1.0, 8, 60)], title="a title")]
    sheet = compose(rows, gap=4)
    dark = (sheet[0] < 0.5).any(dim=-1).nonzero().flatten()
    assert dark.max() < sheet.shape[-2] - 8 - 4
    names = sheet[0, : sheet.shape[-2] // 2 - 6]
    assert (names[:, 4:64] < 0.5).any()
    assert (names[:, 68:128] < 0.5).any()
    shorter = compose([Row([_flat(1.0, 8, 60)] * 2)], gap=4)
    assert shorter.shape[-1] == sheet.shape[-1]
    assert shorter.shape[-2] < sheet.shape[-2] - 2 * 13


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, None, 1), (5, None, 3), (7, 2, 4)])
def test_a_grid_is_about_square_or_has_the_rows_asked_for(
    count: int, rows: int | None, columns: int
) -> None:
    assert columns_for(count, rows) == columns
    sheet = grid([_flat(0.0)] * count, columns)
    assert float((sheet == 0).sum()) == count * 3 * 3 * 5
    assert sheet.shape[-1] == columns * 6 + 1
