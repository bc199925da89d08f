"""Small real checkpoints, changed at random: read or refused, and nothing else happens."""

from __future__ import annotations

import argparse
import codecs
import collections
import io
import pickle
import random
import sys
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ugpnet_core.checkpoints.state_dict import SHARING, read_tensors
from ugpnet_core.errors import WeightsError
from ugpnet_core.model_files.inspection import inspect

SEED, CHANGES = 0, 30  # of each file; 4,000 were tried once
# What turns a pickle into another program: instructions, and calls that would show.
PIECES = [
    *(
        bytes([code])
        for code in b"(.01NQRabcdehijqrstu}]l)\x81\x85\x86\x87\x8f\x90\x91\x92\x93\x94"
    ),
    b"cos\nsystem\nX\x09\0\0\0touch new\x85R",
    b"cbuiltins\nopen\nX\x03\0\0\0newX\x01\0\0\0w\x86R",
    b"cantigravity\ngeohash\n)R",
    b"c_codecs\nencode\n",
    b"ctorch.storage\n_load_from_bytes\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    *(b"\xff" * 4, b"\xff" * 8, b"\0" * 4, b"\x7f", b"\x80\x02", b"\x80\x04"),
]


class Callback:
    """An object beside the tensors."""

    def __init__(self) -> None:
        self.best = np.float64(0.5)


def originals(folder: Path) -> Iterator[bytes]:
    """One file of each container, a few hundred bytes to a few kilobytes."""
    weights = {"model.w": torch.arange(6.0).view(2, 3).T, "model.b": torch.ones(2).half()}
    content = {
        "state_dict": weights,
        "callbacks": {Callback: Callback()},
        "options": argparse.Namespace(lr=0.1, shape=torch.Size([1, 2])),
        "counter": collections.Counter("aab"),
        "history": np.arange(4),
    }
    path = folder / "original"
    for new in (True, False):
        torch.save(content, path, _use_new_zipfile_serialization=new)
        yield path.read_bytes()
    for protocol in (2, 4):
        yield pickle.dumps(content, protocol=protocol)
    save_file({key: value.contiguous() for key, value in weights.items()}, path)
    yield path.read_bytes()


def changed(original: bytes, rng: random.Random) -> bytes:
    """The file after one to four changes: of bytes, a cut, a piece put in, a part repeated; in an
    archive, of its pickle, which stays reachable so."""
    if original.startswith(b"PK") and rng.random() < 0.8:
        repacked = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(original)) as old, zipfile.ZipFile(repacked, "w") as file:
            for name in old.namelist():
                record = old.read(name)
                file.writestr(name, changed(record, rng) if name.endswith(".pkl") else record)
        return repacked.getvalue()
    content = bytearray(original)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(content) + 1)
        end = min(len(content), start + rng.choice((0, 1, 2, 8, 64)))
        part = content[start:end]
        new = rng.choice((
            bytes(rng.randrange(256) for _ in part),
            b"",
            rng.choice(PIECES),
            part * rng.choice((2, 3, 200)),
        ))  # fmt: skip
        content[start:end] = new
    return bytes(content)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:pickletools")
def test_whatever_a_file_holds_it_is_read_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(SEED)
    files = list(originals(tmp_path))
    path = tmp_path / "empty" / "file"
    path.parent.mkdir()
    monkeypatch.chdir(path.parent)
    for original in files:
        path.write_bytes(original)
        assert len(read_tensors(path)) == 2
        inspect(path)
    # The codecs that zipfile and pickletools fetch for themselves, whatever a file names.
    for codec in ("cp437", "raw_unicode_escape"):
        codecs.lookup(codec)
    modules = set(sys.modules)
    tracemalloc.start()
    try:
        for original in files:
            for _ in range(CHANGES):
                content = changed(original, rng)
                path.write_bytes(content)
                tracemalloc.reset_peak()
                before, _ = tracemalloc.get_traced_memory()
                with suppress(WeightsError):
                    tensors = read_tensors(path)
                    numbers = sum(value.numel() * value.itemsize for value in tensors.values())
                    assert numbers <= SHARING * len(content)
                _, peak = tracemalloc.get_traced_memory()
                assert peak - before < 500_000 + 200 * len(content)
                with suppress(WeightsError):
                    inspect(path)
    finally:
        tracemalloc.stop()
    assert set(sys.modules) == modules
    assert [each.name for each in path.parent.iterdir()] == ["file"]
