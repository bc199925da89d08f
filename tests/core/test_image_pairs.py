"""Folders of clean and of degraded images are matched by name."""

from __future__ import annotations

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
