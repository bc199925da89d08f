"""What a comparison keeps for its next run lies in a file that nothing is lost of, and that stops
nobody."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import torch

from ugpnet_core.evaluation.store import Store, digest


def test_a_store_survives_what_happens_to_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "store")
    assert store.get("a") is None
    assert not (tmp_path / "deep").exists()
    store.put("a", b"1")
    store.close()
    assert Store(store.path).get("a") == b"1"
    store.path.write_bytes(b"no database" * 100)
    damaged = Store(store.path)
    assert damaged.get("a") is None
    damaged.put("a", b"2")
    assert damaged.get("a") == b"2"
    damaged.delete()
    assert not list((tmp_path / "deep").iterdir())
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(torch.zeros(2, 3)) != digest(torch.zeros(3, 2))


def test_a_disk_that_is_full_costs_nothing_that_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path / "store")
    store.put("first", b"1" * 50_000)
    connection = store._open()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    store.put_all({"small": b"2", "second": b"2" * 50_000})
    store.put("third", b"3")
    assert store.get("first") == b"1" * 50_000
    assert store.get("small") is store.get("second") is None
    assert len([each for each in caplog.records if "full" in each.getMessage()]) == 1
    store.close()
    later = Store(store.path)
    assert later.get("first") == b"1" * 50_000
    later.put("second", b"2")
    assert later.get("second") == b"2"


def test_a_store_that_another_process_locks_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ugpnet_core.evaluation.store.BUSY_SECONDS", 0.01)
    store = Store(tmp_path / "store")
    store.put("first", b"1")
    other = sqlite3.connect(store.path)
    other.execute("BEGIN EXCLUSIVE")
    store.put("second", b"2")
    assert store.get("first") is None
    other.rollback()
    other.close()
    store.close()
    assert Store(store.path).get("first") == b"1"


@pytest.mark.parametrize("place", ["file/store", "folder"])
def test_a_store_that_cannot_be_there_stops_nothing(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    store = Store(tmp_path / place)
    for _ in range(2):
        store.put("first", b"1")
        assert store.get("first") is None
    store.close()
    assert (tmp_path / "folder").is_dir()
