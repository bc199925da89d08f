"""The folder of a report: whole or not at all, and never in the place of something else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ugpnet_core.errors import ConfigError, UGPNetError
from ugpnet_core.reports.html import HtmlReport

Make = Callable[..., Any]


def test_a_report_appears_when_it_is_finished_and_leaves_nothing_beside(
    made: Make, tmp_path: Path
) -> None:
    some = made(["a.png"])
    target = tmp_path / "new" / "report"
    with HtmlReport(target, "title") as report:
        some.keep(report)
        assert not target.exists()
        report.finish(some.evaluation)
        assert (target / "index.html").is_file()
    assert [path.name for path in target.parent.iterdir()] == ["report"]


def test_an_older_report_is_replaced_as_a_whole(made: Make, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    made(["a.png", "b.png"], title="denoise").write(folder)
    made(["c.png"], title="deblur").write(folder)
    assert not (folder / "denoise").exists()
    assert "c.png" in (folder / "deblur" / "photographs.js").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_an_evaluation_that_fails_leaves_the_older_report(made: Make, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    before = made(["a.png"]).write(folder).read_text()
    some = made(["b.png"])
    with pytest.raises(KeyError), HtmlReport(folder, "title") as report:
        report.finish(some.evaluation)  # without its pictures
    assert (folder / "index.html").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_an_empty_folder_may_be_filled(made: Make, tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    assert made(["a.png"]).write(tmp_path / "report").is_file()


def test_a_link_to_a_folder_stays_a_link(made: Make, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    made(["a.png"]).write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "index.html").is_file()


def test_a_folder_with_anything_else_is_refused_before_the_work(made: Make, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "mine.jpg").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"mine\.jpg"), HtmlReport(photos, "title"):
        pytest.fail("entered")
    assert [path.name for path in photos.iterdir()] == ["mine.jpg"]

    report = tmp_path / "report"
    made(["a.png"]).write(report)
    (report / "notes.txt").write_text("my own")
    with pytest.raises(ConfigError, match=r"notes\.txt"), HtmlReport(report, "title"):
        pytest.fail("entered")
    assert (report / "notes.txt").read_text() == "my own"

    with pytest.raises(ConfigError, match="is a file"), HtmlReport(photos / "mine.jpg", "title"):
        pytest.fail("entered")


def test_files_that_came_while_measuring_are_not_lost(made: Make, tmp_path: Path) -> None:
    some = made(["a.png"])
    with HtmlReport(tmp_path / "report", "title") as report:
        some.keep(report)
        (tmp_path / "report").mkdir()
        (tmp_path / "report" / "mine.txt").write_text("kept")
        with pytest.raises(ConfigError, match=r"mine\.txt"):
            report.finish(some.evaluation)
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["mine.txt"]


def test_a_place_where_nothing_can_be_written_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(UGPNetError, match="name another folder"),
        HtmlReport(tmp_path / "file" / "report", "title"),
    ):
        pytest.fail("entered")


@pytest.mark.parametrize("place", ["photos", "photos/inner/report"])
def test_a_place_among_the_photographs_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "photos" / "inner").mkdir(parents=True)
    inputs = [tmp_path / "others", tmp_path / "photos"]
    with (
        pytest.raises(ConfigError, match="taken for photographs"),
        HtmlReport(tmp_path / place, "title", inputs),
    ):
        pytest.fail("entered")
    with HtmlReport(tmp_path / "photos-report", "title", inputs):
        pass
