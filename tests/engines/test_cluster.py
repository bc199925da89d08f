"""A folder over a cluster: what is to do, a worker, the manifest, and Ray with one killed."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from ugpnet_core import cli
from ugpnet_core.engines import cluster, worker
from ugpnet_core.engines.addresses import list_place, place_at
from ugpnet_core.engines.manifest import Manifest, Record
from ugpnet_core.engines.worker import Settings, Worker
from ugpnet_core.errors import ConfigError, DependencyError, ImageError
from ugpnet_core.image import read_image, write_image


@pytest.fixture
def store() -> Iterator[Any]:
    """The file system of memory://, empty."""
    place = place_at("memory://")
    yield place.system
    for path in place.system.find("/"):
        place.system.rm_file(path)


def _done(name: str) -> Record:
    return Record(name, name, "", 0.1, 1, "host:1")


@pytest.fixture
def photos(tmp_path: Path, slopes: Tensor) -> Path:
    folder = tmp_path / "photos"
    for index in range(3):
        write_image(folder / f"{index}.png", slopes[:, :40, : 50 + index])
    return folder


def test_a_place_is_listed_by_suffix_and_says_what_it_leaves_out(store: Any) -> None:
    for name in ("b.JPG", "a.png", "in/c.heic", ".hidden.png", "x.txt", "README", "out/a.png"):
        store.pipe_file(f"/bucket/{name}", b"...")
    place, out = place_at("memory://bucket"), place_at("memory://bucket/out")
    listing = list_place(place, recursive=True, without=out)
    assert listing.names == ["a.png", "b.JPG", "in/c.heic"]
    assert listing.left_out == {".txt": 1, "without a suffix": 1}
    listing = list_place(place, recursive=False, without=out)
    assert listing.names == ["a.png", "b.JPG"]
    assert sum(listing.left_out.values()) == 3
    with pytest.raises(ImageError, match="no folder"):
        list_place(place_at("memory://nothing"), recursive=False, without=out)


@pytest.mark.parametrize("address", ["memory://b/c", "memory:/b/c", Path("memory://b/c")])
def test_an_address_may_have_been_held_for_a_path(store: Any, address: Any) -> None:
    place_at(address).write("d/e.txt", b"1")
    assert store.cat_file("/b/c/d/e.txt") == b"1"


def test_files_and_folders_are_local(tmp_path: Path) -> None:
    for address in (tmp_path, f"file://{tmp_path}", Path(f"file://{tmp_path}")):
        place = place_at(address)
        assert place.local
        place.write("in/a.txt", b"2")
        assert (tmp_path / "in" / "a.txt").read_bytes() == b"2"
        assert place.names() == {"in/a.txt"}
    with pytest.raises((ConfigError, DependencyError)):
        place_at("nosuchscheme://a/b")


@pytest.mark.parametrize("address", ["memory://results", None])
def test_a_manifest_goes_on(store: Any, address: str | None, tmp_path: Path) -> None:
    place = place_at(address or tmp_path)
    manifest = Manifest(place, {"model": "m", "digest": "1"})
    assert not manifest.exists
    manifest.add(_done("a"))
    manifest.flush()
    manifest.add(Record("b", "b", "is damaged", 0.1, 1, "host:1"))
    manifest.add(_done("c"))
    manifest.flush()
    # The run was killed here; the next one finds what was written.
    again = Manifest(place, {"model": "m", "digest": "1"})
    assert again.exists
    assert set(again.done) == {"a", "c"}
    again.add(_done("b"))
    again.finish()
    assert place.names() == {"manifest.jsonl"}
    lines = [json.loads(line) for line in place.read("manifest.jsonl").splitlines()]
    assert lines[0] == {"format": "ugpnet-manifest-1", "model": "m", "digest": "1"}
    assert [line["source"] for line in lines[1:]] == ["a", "c", "b"]
    with pytest.raises(ConfigError, match="another digest"):
        Manifest(place, {"model": "m", "digest": "2"})


def test_a_worker_tries_again_what_may_pass_and_nothing_else(
    tiny: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "letter.jpg").write_text("Dear grandmother,")
    monkeypatch.setattr(worker, "_PAUSE", 0.0)
    one = Worker(tiny.read_bytes(), "", str(photos), str(tmp_path / "out"), Settings())
    assert one({"source": "letter.jpg", "target": "letter.jpg"})["attempts"] == 1
    record = Record(**one({"source": "0.png", "target": "in/0.png"}))
    assert record.error == ""
    assert read_image(tmp_path / "out" / "in" / "0.png").pixels.shape == (3, 40, 50)
    plain = type(one.source).read
    failures = 2

    def failing(self: Any, name: str) -> bytes:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise ConnectionError("try again")
        return plain(self, name)

    monkeypatch.setattr(type(one.source), "read", failing)
    made = one({"source": "1.png", "target": "1.png"})
    assert (made["error"], made["attempts"]) == ("", 3)
    failures = 9
    made = one({"source": "1.png", "target": "1.png"})
    assert (made["error"], made["attempts"]) == ("ConnectionError: try again", 3)


def test_a_file_of_which_workers_die_is_given_up(
    tiny: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Worker(tiny.read_bytes(), "", str(photos), str(tmp_path / "out"), Settings())
    row = {"source": "0.png", "target": "0.png"}

    class Killed(BaseException):
        """As little is done after it as after SIGKILL."""

    def dying(*arguments: object) -> None:
        raise Killed

    plain = Worker._restore
    monkeypatch.setattr(Worker, "_restore", dying)
    for _ in range(worker.DEATHS):
        with pytest.raises(Killed):
            one(row)
    monkeypatch.setattr(Worker, "_restore", plain)
    assert "3 workers died of it" in one(row)["error"]
    # It was said; another run may try again.
    assert one(row)["error"] == ""
    assert not list((tmp_path / "out" / ".running").iterdir())


def test_what_the_cluster_loses_is_said(
    tiny: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_started", lambda workers: None)
    monkeypatch.setattr(cluster, "_rows", lambda *arguments: iter([asdict(_done("1.png"))]))
    records = list(cluster.run(cluster.prepare(photos, tmp_path / "out", tiny, Settings())))
    assert [(one.source, bool(one.error)) for one in records] == [
        ("1.png", False),
        ("0.png", True),
        ("2.png", True),
    ]


def test_nothing_is_replaced_unless_it_is_wanted(tiny: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_image(out / "1.png", read_image(photos / "0.png").pixels)
    with pytest.raises(ConfigError, match=r"1\.png exists"):
        cluster.prepare(photos, out, tiny, Settings())
    work = cluster.prepare(photos, out, tiny, Settings(), skip_existing=True)
    assert (set(work.jobs), work.done) == ({"0.png", "2.png"}, 1)
    assert len(cluster.prepare(photos, out, tiny, Settings(), overwrite=True).jobs) == 3
    with pytest.raises(ConfigError, match="the input itself"):
        cluster.prepare(photos, f"file://{photos}", tiny, Settings())
    with pytest.raises(ConfigError, match="do not share memory"):
        cluster.prepare(photos, "memory://out", tiny, Settings())


def test_names_of_results(tiny: Path, photos: Path, tmp_path: Path) -> None:
    for name in ("0.heic", "0.gif", "3.JPG"):
        (photos / name).write_bytes(b"...")
    jobs = cluster.prepare(photos, tmp_path / "out", tiny, Settings()).jobs
    assert jobs["3.JPG"] == "3.JPG"
    assert sorted(jobs[name] for name in ("0.gif", "0.heic", "0.png")) == [
        "0.png",
        "0_2.png",
        "0_3.png",
    ]


def test_a_worker_is_killed_and_nothing_is_lost_and_nothing_is_twice(
    tiny: Path,
    slopes: Tensor,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = pytest.importorskip("ray", reason="pip install 'ugpnet-core[ray]'")
    monkeypatch.chdir(tmp_path)
    photos, out = tmp_path / "photos", tmp_path / "out"
    for index in range(16):
        write_image(photos / f"{index:02}.png", slopes[:, :, : 50 + index])
    (photos / "letter.png").write_text("Dear grandmother,")
    plain = cluster._rows
    killed: list[int] = []

    def killing(*arguments: Any) -> Iterator[dict[str, Any]]:
        for count, row in enumerate(plain(*arguments)):
            if count == 2:
                killed.append(int(row["worker"].rpartition(":")[2]))
                os.kill(killed[0], signal.SIGKILL)
            yield row

    monkeypatch.setattr(cluster, "_rows", killing)
    words = ["restore", "photos", "-o", "out", "-m", str(tiny), "--engine=ray", "--workers=2"]
    try:
        assert cli.main(words) == 1  # of the letter alone
        shown = capsys.readouterr()
        assert "16 of 17 images restored" in shown.out
        assert "letter.png is not an image" in shown.err
        assert killed
        header, *records = map(json.loads, (out / "manifest.jsonl").read_text().splitlines())
        assert header["model"] == "tiny.safetensors"
        assert len(header["digest"]) == 64
        counts = Counter(record["source"] for record in records)
        assert counts == Counter(f"{index:02}.png" for index in range(16))
        assert len({record["worker"] for record in records}) > 1
        for index in range(16):
            assert read_image(out / f"{index:02}.png").pixels.shape == (3, 45, 50 + index)
        # Again, with one more: nothing else is done.
        (photos / "letter.png").unlink()
        write_image(photos / "new.png", slopes)
        before = (out / "00.png").stat().st_mtime_ns
        monkeypatch.setattr(cluster, "_rows", plain)
        assert cli.main(words) == 0
        assert "16 are done already; 1 to do." in capsys.readouterr().err
        assert (out / "00.png").stat().st_mtime_ns == before
        assert len((out / "manifest.jsonl").read_text().splitlines()) == 18
    finally:
        ray.shutdown()
