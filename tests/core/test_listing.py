"""Folders are read by content, and what is left out has a reason."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ugpnet_core.errors import ImageError
from ugpnet_core.image import list_images, listing
from ugpnet_core.image.listing import LeftOut, Reason, survey, told

PHOTO = Image.fromarray(np.zeros((3, 4, 3), np.uint8))
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40


def reasons(found: list[LeftOut]) -> dict[str, Reason | str]:
    return {path.name: reason for path, reason in found}


def test_images_are_told_by_content(tmp_path: Path) -> None:
    kinds = {"a.gif": "GIF", "b.jpe": "JPEG", "c.jfif": "JPEG", "d": "PNG", "e.txt": "WEBP"}
    for name, kind in kinds.items():
        PHOTO.save(tmp_path / name, kind)
    PHOTO.save(tmp_path / "f.jpg", "MPO", save_all=True, append_images=[PHOTO])
    (tmp_path / "letter.doc").write_text("Dear")
    (tmp_path / "page.png").write_bytes(b"%PDF-1.7\n")
    # These are called like images, so somebody will want to know that they are none.
    (tmp_path / "text.png").write_text("Dear")
    (tmp_path / "empty.jpg").touch()
    found = survey([tmp_path])
    assert [path.name for path in found.images] == sorted(
        [*kinds, "empty.jpg", "f.jpg", "text.png"]
    )
    assert reasons(found.left_out) == {
        "letter.doc": Reason.NO_IMAGE,
        "page.png": "PDF (cannot be read)",
    }


def test_a_kind_that_needs_an_extra_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.heic", "b.HEIC", "c.jpg"):
        (tmp_path / name).write_bytes(HEIC)
    monkeypatch.setattr(listing, "readable", lambda kind: "ugpnet-core[heic]")
    found = survey([tmp_path])
    assert found.images == []
    assert told(found.left_out) == "3 HEIC (pip install 'ugpnet-core[heic]')"
    monkeypatch.setattr(listing, "readable", lambda kind: None)
    assert len(survey([tmp_path]).images) == 3
    # A file that somebody named is never left out in silence: reading it says what is wrong.
    assert survey([tmp_path / "a.heic"]).images == [tmp_path / "a.heic"]


def test_links_pipes_and_what_is_hidden(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for path in (folder / "a.png", folder / "sub" / "b.png", folder / ".trash" / "c.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        PHOTO.save(path)
    PHOTO.save(folder / ".d.png")
    (folder / "linked").symlink_to(folder / "sub")
    (folder / "up").symlink_to(folder)
    (folder / "e.png").symlink_to(folder / "a.png")
    (folder / "gone.png").symlink_to("nowhere")
    (folder / "itself.png").symlink_to("itself.png")
    os.mkfifo(folder / "pipe.png")
    always = {
        ".d.png": Reason.HIDDEN,
        ".trash": Reason.HIDDEN,
        "gone.png": Reason.BROKEN_LINK,
        "itself.png": Reason.BROKEN_LINK,
        "pipe.png": Reason.NO_FILE,
    }
    found = survey([folder])
    assert [path.name for path in found.images] == ["a.png", "e.png"]
    folders = dict.fromkeys(["linked", "sub", "up"], Reason.FOLDER)
    assert reasons(found.left_out) == always | folders
    assert told(found.left_out) == (
        "3 folders (--recursive), 2 broken links, 1 pipe or device, 2 hidden"
    )
    found = survey([folder], recursive=True)
    assert [path.name for path in found.images] == ["a.png", "e.png", "b.png"]
    linked = dict.fromkeys(["linked", "up"], Reason.LINKED_FOLDER)
    assert reasons(found.left_out) == always | linked
    found = survey([folder], recursive=True, results=folder / ".." / "in" / "sub")
    assert reasons(found.left_out)["sub"] == Reason.RESULT_FOLDER


def test_unreadable_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "locked/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        PHOTO.save(tmp_path / name)
    scan = os.scandir

    def refuse(path: Path) -> object:
        if path.name == "locked":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = survey([tmp_path], recursive=True)
    assert found.images == [tmp_path / "a.png"]
    assert told(found.left_out) == "1 unreadable subfolder"
    with pytest.raises(ImageError, match=r"locked cannot be read: Permission denied"):
        survey([tmp_path / "locked"])


def test_data_sets_are_taken_by_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PHOTO.save(tmp_path / "a.png")
    PHOTO.save(tmp_path / "b.gif")
    looked = []

    def look(path: Path) -> str:
        looked.append(path.name)
        return "GIF"

    monkeypatch.setattr(listing, "identify", look)
    assert list_images([tmp_path]) == [tmp_path / "a.png", tmp_path / "b.gif"]
    assert looked == ["b.gif"]
