"""Folders of clean and of degraded images are matched by name."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from ugpnet_core.errors import ImageError
from ugpnet_core.image import MatchedPair, match_pairs


def folders(tmp_path: Path, clean: list[str], degraded: list[str]) -> tuple[Path, Path]:
    for folder, names in (("clean", clean), ("degraded", degraded)):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).touch()
    return tmp_path / "clean", tmp_path / "degraded"


def test_pairs_are_matched_by_their_path_without_the_extension(tmp_path: Path) -> None:
    clean, degraded = folders(
        tmp_path,
        ["b.png", "a/1.png", "a.b.png", "1.webp", "notes.txt"],
        ["1.png", "a.b.JPG", "b.jpeg", "a/1.bmp", ".hidden.png"],
    )
    assert match_pairs(clean, degraded) == [
        MatchedPair("1", clean / "1.webp", degraded / "1.png"),
        MatchedPair("a.b", clean / "a.b.png", degraded / "a.b.JPG"),
        MatchedPair("a/1", clean / "a" / "1.png", degraded / "a" / "1.bmp"),
        MatchedPair("b", clean / "b.png", degraded / "b.jpeg"),
    ]


def test_missing_partners_are_listed_from_both_sides(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path, ["1.png", "2.png", "4.png"], ["1.png", "3.png", "4.png"])
    with pytest.raises(ImageError) as caught:
        match_pairs(clean, degraded)
    assert str(caught.value) == (
        "2 images are without a partner of the same name in the other folder: "
        f"{clean}/2.png, {degraded}/3.png; add the partners or remove these."
    )
    (clean / "2.png").unlink()
    with pytest.raises(ImageError, match=r"^1 image is without a partner"):
        match_pairs(clean, degraded)


def test_the_first_ten_of_many_missing_partners_are_listed(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path, [f"{i:02}.png" for i in range(14)], ["01.jpg"])
    with pytest.raises(ImageError, match=r"^13 images are .*/10\.png and 3 more; ") as caught:
        match_pairs(clean, degraded)
    assert str(caught.value).count(".png") == 10


def test_names_that_are_ambiguous_are_an_error(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path, ["1.png"], ["1.jpg", "1.png"])
    with pytest.raises(ImageError, match=r"degraded/1\.jpg and 1\.png, so that .* rename"):
        match_pairs(clean, degraded)


def test_folders_must_be_there_and_hold_images(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path, ["1.png"], [])
    with pytest.raises(ImageError, match=r"There is no image in .*degraded"):
        match_pairs(clean, degraded)
    with pytest.raises(ImageError, match="There is no folder gone"):
        match_pairs(Path("gone"), degraded)
    with pytest.raises(ImageError, match=r"There is no folder .*1\.png"):
        match_pairs(clean, clean / "1.png")


# By a pattern


def names(pairs: list[MatchedPair], root: Path) -> list[tuple[str, str, str]]:
    return [
        (name, clean.relative_to(root).as_posix(), degraded.relative_to(root).as_posix())
        for name, clean, degraded in pairs
    ]


def test_a_pattern_says_how_degraded_images_are_called(tmp_path: Path) -> None:
    clean, degraded = folders(
        tmp_path,
        ["0001.png", "a/0001.png", "1[2].png"],
        ["0001x4.png", "a/0001x4.jpg", "1[2]x4.bmp"],
    )
    assert names(match_pairs(clean, degraded, "{stem}x4"), tmp_path) == [
        ("0001", "clean/0001.png", "degraded/0001x4.png"),
        ("1[2]", "clean/1[2].png", "degraded/1[2]x4.bmp"),
        ("a/0001", "clean/a/0001.png", "degraded/a/0001x4.jpg"),
    ]


@pytest.mark.parametrize(
    ("pattern", "given"),
    [
        ("lq_{stem}", "lq_1.png"),
        ("X4/{stem}x4.png", "X4/1x4.png"),
        ("{name}", "1.png.jpg"),
        ("{name}.jpg", "1.png.jpg"),
        ("*-{stem}", "any thing-1.tif"),
        ("*_{name}", "restored_1.png"),
        ("*_{name}", "restored_1.png.webp"),
        ("lq_{name}", "lq_1.png"),
        ("{stem}.*", "1.jpg"),
    ],
)
def test_kinds_of_patterns(tmp_path: Path, pattern: str, given: str) -> None:
    clean, degraded = folders(tmp_path, ["1.png"], [given])
    assert [pair.degraded for pair in match_pairs(clean, degraded, pattern)] == [degraded / given]


@pytest.mark.parametrize("pattern", ["{stem}", "{stem}x4"])
def test_accents_are_parts_of_letters_or_stand_behind_them(tmp_path: Path, pattern: str) -> None:
    composed, apart = "\u00e9.png", pattern.format(stem="e\u0301") + ".png"
    assert unicodedata.normalize("NFC", apart) != apart
    (pair,) = match_pairs(*folders(tmp_path, [composed], [apart]), pattern)
    assert pair.degraded.is_file()
    assert pair.name == "\u00e9"


def test_a_picture_may_have_several_degraded_versions(tmp_path: Path) -> None:
    clean, degraded = folders(
        tmp_path, ["1.png", "1_0.png"], ["1_a.png", "1_b.jpg", "1_0_a.png", "1_0_b.png"]
    )
    assert names(match_pairs(clean, degraded, "{stem}_*"), tmp_path) == [
        ("1", "clean/1.png", "degraded/1_a.png"),
        ("1", "clean/1.png", "degraded/1_b.jpg"),
        ("1_0", "clean/1_0.png", "degraded/1_0_a.png"),
        ("1_0", "clean/1_0.png", "degraded/1_0_b.png"),
    ]


def test_both_may_lie_in_one_folder(tmp_path: Path) -> None:
    both, _ = folders(tmp_path, ["0001.png", "0001x4.png", "2.png", "2x4.png"], [])
    assert names(match_pairs(both, both, "{stem}x4"), both) == [
        ("0001", "0001.png", "0001x4.png"),
        ("2", "2.png", "2x4.png"),
    ]
    (both / "3.png").touch()
    with pytest.raises(ImageError, match=r"1 image is without a partner by the pattern .*3\.png;"):
        match_pairs(both, both, "{stem}x4")


@pytest.mark.parametrize(
    ("pattern", "given", "listed"),
    [
        (
            "{stem}_*",
            ["paris", "paris_2", "paris_dark", "paris_2_dark", "rome", "rome_dark"],
            "paris_2.png (of paris.png);",
        ),
        ("{stem}x4", ["0001", "0001x4", "0001x4x4"], "0001x4.png (of 0001.png);"),
        ("{stem}*", ["a", "a_1", "a_12", "b", "b_1"], "a_1.png (of a.png);"),
    ],
)
def test_in_one_folder_no_image_is_clean_and_degraded(
    tmp_path: Path, pattern: str, given: list[str], listed: str
) -> None:
    both, _ = folders(tmp_path, [f"{name}.png" for name in given], [])
    with pytest.raises(ImageError, match="degraded and clean ones at once") as caught:
        match_pairs(both, both, pattern)
    assert f"at once: {listed}" in str(caught.value)


def test_one_folder_for_both_needs_a_pattern(tmp_path: Path) -> None:
    both, _ = folders(tmp_path, ["1.png", "2.png"], [])
    for pattern in ("{name}", "{stem}.png"):
        with pytest.raises(ImageError, match="2 images are without a partner by the pattern"):
            match_pairs(both, tmp_path / "degraded" / ".." / "clean", pattern)
    # Without one, each is its own partner: what is measured against itself.
    assert [pair.clean for pair in match_pairs(both, both)] == [
        pair.degraded for pair in match_pairs(both, both)
    ]


@pytest.mark.parametrize("pattern", ["{stem}", "{name}", "{stem}.png", "{stem}*"])
@pytest.mark.parametrize("extension", ["png", "PNG"])
def test_a_pattern_may_mean_the_name_of_the_clean_image(
    tmp_path: Path, pattern: str, extension: str
) -> None:
    names = [f"a.{extension}", f"sub/ab.{extension}"]
    clean, degraded = folders(tmp_path, ["a.png", "sub/ab.png"], names)
    assert [pair.name for pair in match_pairs(clean, degraded, pattern)] == ["a", "sub/ab"]


def test_an_image_that_could_be_that_of_two_is_an_error(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path, ["ab.jpeg", "bc.png", "abcd.png"], ["abc.png", "abcd.png"])
    with pytest.raises(ImageError, match=r"more than one: abc\.png to ab\.jpeg or bc\.png; rename"):
        match_pairs(clean, degraded, "*{stem}*")
    (clean / "ab.jpeg").rename(clean / "abc.jpeg")  # a longer name is stronger
    (degraded / "bcd.png").touch()
    assert names(match_pairs(clean, degraded, "*{stem}*"), tmp_path) == [
        ("abc", "clean/abc.jpeg", "degraded/abc.png"),
        ("abcd", "clean/abcd.png", "degraded/abcd.png"),
        ("bc", "clean/bc.png", "degraded/bcd.png"),
    ]


@pytest.mark.parametrize("pattern", ["{stem}", "{stem}*", "{stem}.png"])
@pytest.mark.parametrize("outer", ["clean", "degraded"])
def test_one_folder_may_lie_in_the_other(tmp_path: Path, pattern: str, outer: str) -> None:
    for name in ("HR/1.png", "HR/sub/2.png", "HR/x4/1.png", "HR/x4/sub/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    around, inside = tmp_path / "HR", tmp_path / "HR" / "sub" / ".." / "x4"
    clean, degraded = (around, inside) if outer == "clean" else (inside, around)
    matched = match_pairs(clean, degraded, pattern)
    assert [pair.name for pair in matched] == ["1", "sub/2"]
    inner = [pair.degraded if outer == "clean" else pair.clean for pair in matched]
    assert all("x4" in path.parts for path in inner)
    assert not any("x4" in path.parts for path in {*matched[0][1:], *matched[1][1:]} - {*inner})


def test_patterns_leave_nobody_alone_and_nothing_doubled(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path, ["1.png", "2.png"], ["1x4.png", "3x4.png"])
    with pytest.raises(
        ImageError, match=r"2 images are without .*clean/2\.png.*degraded/3x4\.png;"
    ):
        match_pairs(clean, degraded, "{stem}x4")
    (degraded / "3x4.png").rename(degraded / "2x4.png")
    (degraded / "2x4.jpg").touch()
    with pytest.raises(ImageError, match="The extension alone tells apart"):
        match_pairs(clean, degraded, "{stem}x4")
    with pytest.raises(ImageError, match="There is no folder"):
        match_pairs(clean, tmp_path / "gone", "{stem}x4")
