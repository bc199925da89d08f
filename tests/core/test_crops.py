"""Figures with restored images side by side: names, pixels and the parts that are enlarged."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ugpnet_core.errors import SizeError
from ugpnet_core.image.lettering import lettering
from ugpnet_core.image.sheet import side_by_side
from ugpnet_core.reports.crops import FRAME_COLOUR, comparison_figure, comparison_sheet
from ugpnet_core.reports.insets import Inset, choose_inset, inset_side


def _random(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(3, *size, generator=torch.Generator().manual_seed(seed))


def _contains(figure: Tensor, part: Tensor) -> bool:
    """Whether a part (3, h, w) stands somewhere in a figure, pixel by pixel."""
    height, width = part.shape[-2:]
    corners = (figure - part[:, :1, :1]).abs().amax(dim=0) < 1e-6
    return any(
        torch.allclose(figure[:, top : top + height, left : left + width], part)
        for top, left in corners.nonzero().tolist()
        if top + height <= figure.shape[-2] and left + width <= figure.shape[-1]
    )


def _enlarged(image: Tensor, factor: int) -> Tensor:
    return image.repeat_interleave(factor, -1).repeat_interleave(factor, -2)


def _framed(figure: Tensor) -> Tensor:
    return ((figure - torch.tensor(FRAME_COLOUR)[:, None, None]).abs() < 1e-6).all(dim=0)


def test_pictures_and_parts_stand_in_a_figure_pixel_by_pixel() -> None:
    images = {"x_reg": _random(13, 9), "x_hat": _random(13, 9, seed=1)}
    figure = comparison_figure(images, inset=None, scale=3)
    assert figure.dim() == 3
    assert figure.min() >= 0
    assert figure.max() <= 1
    for image in images.values():
        assert _contains(figure, _enlarged(image, 3))

    with_part = comparison_figure(images, inset=(2, 5, 3), scale=3)
    for image in images.values():
        assert _contains(with_part, _enlarged(image[:, 5:8, 2:5], 9))  # as wide as the picture


def test_a_part_that_does_not_divide_the_width_is_enlarged_by_a_whole_factor() -> None:
    image = _random(16, 16)
    figure = comparison_figure({"x": image}, inset=(1, 2, 5), scale=4)
    assert _contains(figure, _enlarged(image[:, 2:7, 1:6], 64 // 5))


@pytest.mark.parametrize("place", [(0, 0, 4), (12, 12, 4), (0, 0, 16), (5, 3, 7)])
def test_frames_surround_the_part_and_hide_none_of_it(place: tuple[int, int, int]) -> None:
    image = _random(16, 16)
    figure = comparison_figure({"x": image}, inset=place, scale=4)
    assert _framed(figure).any()
    assert not _framed(comparison_figure({"x": image}, inset=None, scale=4)).any()
    left, top, side = place
    part = image[:, top : top + side, left : left + side]
    assert _contains(figure, _enlarged(part, 4))
    # Round the figure there is white: no frame is cut off.
    border = torch.cat([figure[:, 0], figure[:, -1], figure[:, :, 0], figure[:, :, -1]], dim=-1)
    assert border.eq(1).all()


def test_small_images_are_enlarged_to_be_seen_and_large_ones_left() -> None:
    assert _contains(
        comparison_figure({"x": _random(64, 64)}), _enlarged(_random(64, 64), 4)[:, :9]
    )
    large = _random(300, 300)
    assert _contains(comparison_figure({"x": large}, inset=None), large)


def test_rows_of_a_figure_hold_as_many_pictures_as_asked_for() -> None:
    images = {f"method {index}": _random(8, 8, seed=index) for index in range(5)}
    narrow = comparison_figure(images, columns=2, scale=8)
    wide = comparison_figure(images, columns=5, scale=8)
    assert narrow.shape[-1] < wide.shape[-1] / 2
    assert narrow.shape[-2] > wide.shape[-2] * 2
    for image in images.values():
        assert _contains(narrow, _enlarged(image, 8)[:, :, :8])
    thirteen = {str(index): _random(8, 8) for index in range(13)}
    assert comparison_figure(thirteen, scale=8).shape == (
        comparison_figure(thirteen, scale=8, columns=5).shape
    )


def test_a_sheet_has_a_row_for_each_photograph_and_leaves_missing_methods_empty() -> None:
    rows = [
        {"x_reg": _random(8, 8), "x_hat": _random(8, 8, seed=1)},
        {"x_hat": _random(8, 8, seed=2)},
    ]
    sheet = comparison_sheet(rows, scale=4, insets=[None, None])
    for row in rows:
        for image in row.values():
            assert _contains(sheet, _enlarged(image, 4))
    full = comparison_sheet([rows[0], {**rows[0], **rows[1]}], scale=4, insets=[None, None])
    assert sheet.shape == full.shape
    below, left = sheet.shape[-2] * 2 // 3, slice(0, sheet.shape[-1] // 2)
    assert sheet[:, below:, left].eq(1).all()
    assert not full[:, below:, left].eq(1).all()
    titled = comparison_sheet(rows, scale=4, insets=[None, None], titles=["one", "two"])
    assert titled.shape[-2] > sheet.shape[-2]


def test_images_of_several_sizes_and_parts_outside_are_refused() -> None:
    with pytest.raises(SizeError, match="8x8, 9x8"):
        comparison_figure({"x": _random(8, 8), "y": _random(9, 8)})
    with pytest.raises(SizeError, match="none"):
        comparison_sheet([])
    for place in [(6, 0, 3), (0, -1, 3), (0, 0, 0)]:
        with pytest.raises(SizeError, match="lies outside"):
            comparison_figure({"x": _random(8, 8)}, inset=place)


@pytest.mark.parametrize("corner", [(3, 20), (25, 4), (11, 13)])
def test_the_part_is_where_methods_differ_whatever_the_noise_of_the_input(
    corner: tuple[int, int],
) -> None:
    top, left = corner
    clean = torch.full((3, 36, 36), 0.5)
    other = clean.clone()
    other[:, top : top + 8, left : left + 8] += 0.2 * torch.randn(
        8, 8, generator=torch.Generator().manual_seed(3)
    )
    noisy = _random(36, 36, seed=4)[:1].expand(3, -1, -1)
    chosen = choose_inset([noisy, clean, other, clean, clean], 8)
    # Places nearer to the middle count a little more.
    assert abs(chosen.left - left) <= 2
    assert abs(chosen.top - top) <= 2
    assert chosen.cut(clean).shape == (3, 8, 8)


def test_the_part_of_one_image_alone_has_its_highest_contrast() -> None:
    image = torch.full((3, 20, 30), 0.5)
    image[:, 8:12, 20:24] = torch.eye(4)
    assert choose_inset([image], 4) == Inset(20, 8, 4)
    assert choose_inset([image[:, :4, :4]], 4) == Inset(0, 0, 4)


@pytest.mark.parametrize(("width", "shown"), [(64, 256), (128, 256), (512, 512), (100, 300)])
def test_the_side_of_a_part_divides_the_picture(width: int, shown: int) -> None:
    side = inset_side(width, shown)
    assert shown % side == 0
    assert width / 6 <= side <= width / 3


@pytest.mark.parametrize("width", [1, 3, 7, 13])
def test_tiny_images_have_parts_too(width: int) -> None:
    assert 1 <= inset_side(width, width * 4) <= width
    comparison_figure({"x": _random(width, width), "y": _random(width, width, seed=1)})


NAMES = ["x_hat", "NAFNet (width 32, local, weights of GoPro)", "an_unbreakable_" * 9, "W" * 99]


@pytest.mark.parametrize("name", NAMES)
def test_no_letter_of_a_long_name_is_cut_off(name: str) -> None:
    ink = lettering(name, 150, 16)
    assert ink.shape[-1] == 150
    border = torch.cat([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
    assert border.eq(0).all()
    # As much ink as one long line has, up to the rounding of places.
    line = lettering(name, 9000, 16)
    assert ink.shape[0] >= line.shape[0] * 0.7
    assert float(ink.sum()) == pytest.approx(float(line.sum()), rel=0.25)


def test_letters_that_the_font_lacks_are_spelled() -> None:
    assert torch.equal(lettering("Müller, σ × 3", 300, 16), lettering("Muller, sigma x 3", 300, 16))


def test_pictures_side_by_side_have_room_for_long_names() -> None:
    pictures = {"x": _random(8, 8), "a name of many words that " * 4: _random(8, 8, seed=1)}
    sheet = side_by_side(pictures, side=64)
    for picture in pictures.values():
        assert _contains(sheet, _enlarged(picture, 8))
