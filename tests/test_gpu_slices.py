"""Training in slices (examples/gpu_slice): packed, trained on a bare machine, unpacked, gone on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from examples.gpu_slice import wheels
from examples.gpu_slice.__main__ import main
from examples.gpu_slice.archive import MIB, Item, Limits, SliceError, read_slice, write_slice
from examples.gpu_slice.installing import install
from examples.gpu_slice.moved import steps_done
from examples.gpu_slice.planes import grow, shrink
from ugpnet_core.config import TrainConfig
from ugpnet_core.image import write_image
from ugpnet_core.training.run import train

ROOT = Path(__file__).parents[1]
EACH = 0.2  # MiB of a file that comes back
SECONDS = 60  # that a step of the rehearsal may take on a busy machine


@pytest.fixture
def home(training_settings: dict[str, Any], tmp_path: Path) -> Path:
    """A folder with photographs, and a configuration whose synthesis stage takes some seconds."""
    rng = torch.Generator().manual_seed(0)
    for index in range(3):
        noise = torch.rand(3, 48, 70 + index, generator=rng)
        write_image(tmp_path / "photos" / "inner" / f"{index}.png", noise)
    content = {
        **training_settings,
        "output": str(tmp_path / "tiny"),
        "data": {
            **training_settings["data"],
            "train": [str(tmp_path / "photos")],
            "crop": 32,
            "crops": [{"path": str(tmp_path / "photos"), "scales": [1, 0.7]}],
        },
        "synthesis": {"iterations": 60, "batch_size": 2, "augment": False},
        "checkpoint_every": 4,
        "validate_every": 1000,
    }
    del content["prior"]
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def settings(home: Path) -> TrainConfig:
    return TrainConfig.model_validate(yaml.safe_load((home / "tiny.yaml").read_text()))


def slice_command(home: Path, *words: str) -> list[str]:
    pack = str(home / "pack" / "pack.tar")
    limits = [f"--each={EACH}", f"--total={8 * EACH}", f"--work={home / 'work'}"]
    return ["-m", "examples.gpu_slice", "train", pack, f"--out={home / 'slice'}", *limits, *words]


def check_limits(home: Path) -> None:
    sizes = [path.stat().st_size for path in (home / "slice").iterdir()]
    assert 2 <= len(sizes) <= 8
    assert max(sizes) <= EACH * MIB
    assert sum(sizes) <= 8 * EACH * MIB


def test_a_training_goes_on_from_slice_to_slice(
    home: Path, fresh_environment: Callable[[], Callable[..., Any]]
) -> None:
    train(settings(home), "restoration")
    assert main(["pack", str(home / "tiny.yaml"), "-o", str(home / "pack")]) == 0

    # The first slice is ended from outside, as a batch queue does, once there is a checkpoint.
    run = fresh_environment()
    python = run("-c", "import sys; print(sys.executable)").stdout.strip()
    environment = {**os.environ, "PIP_NO_INDEX": "1"}
    environment.pop("PYTHONPATH", None)
    command = [python, *slice_command(home, "--minutes=5", "--benchmark=0")]
    child = subprocess.Popen(command, cwd=ROOT, env=environment)
    checkpoint = home / "work" / "runs" / "tiny" / "checkpoints" / "synthesis.pt"
    try:
        end = time.monotonic() + SECONDS
        while not checkpoint.exists() and child.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        child.send_signal(signal.SIGTERM)
        assert child.wait(SECONDS) == 3
    finally:
        child.kill()
    assert (home / "work" / "site" / "ugpnet_core" / "py.typed").exists()
    check_limits(home)
    assert main(["unpack", str(home / "slice")]) == 0
    kept = home / "tiny" / "checkpoints" / "synthesis.pt"
    assert steps_done(kept) >= 4

    # The second one takes the checkpoint along, and finishes.
    again = ["pack", str(home / "tiny.yaml"), "-o", str(home / "pack"), "--no-own"]
    assert main(again) == 0
    run(*slice_command(home, "--minutes=5", "--benchmark=3"), cwd=ROOT, PIP_NO_INDEX="1")
    check_limits(home)
    report = json.loads((home / "slice" / "slice.json").read_text())
    measured = {row["stage"]: row for row in report["benchmarks"]}
    assert list(measured) == ["restoration", "synthesis", "fusion"]
    for row in measured.values():
        assert row["images_per_second"] > 0
        assert 0 <= row["waiting"] < 1
    assert main(["unpack", str(home / "slice")]) == 0
    assert not kept.exists()
    (home / "tiny" / "tiny.safetensors").unlink()

    # At home nothing is trained again, and every stage is believed to be its own.
    said: list[str] = []
    assert train(settings(home), resume=True, say=said.append) is not None
    assert len([line for line in said if "is finished" in line]) == 4
    log = (home / "tiny" / "samples").glob("synthesis-*.png")
    assert [path.name for path in log] == ["synthesis-000060.png"]


def test_a_slice_of_two_trainings_side_by_side_stops_in_time(
    home: Path, fresh_environment: Callable[[], Callable[..., Any]]
) -> None:
    files = [home / "tiny.yaml", home / "other.yaml"]
    config = yaml.safe_load(files[0].read_text())
    config["restoration"]["iterations"] = 1_000_000
    files[0].write_text(yaml.safe_dump(config))
    files[1].write_text(yaml.safe_dump({**config, "name": "other", "output": str(home / "other")}))
    assert main(["pack", *map(str, files), "-o", str(home / "pack"), "--no-own"]) == 0
    started = time.monotonic()
    words = slice_command(home, "--minutes=0.25", "--reserve=1", "--benchmark=0", "--together=2")
    fresh_environment()(*words, cwd=ROOT, status=3)
    assert time.monotonic() - started < 15 + SECONDS / 2
    check_limits(home)
    report = json.loads((home / "slice" / "slice.json").read_text())
    assert {one["name"]: one["status"] for one in report["trained"]} == {"tiny": 3, "other": 3}
    assert sum(one["seconds"] for one in report["trained"]) > report["seconds"]
    assert main(["unpack", str(home / "slice")]) == 0
    for name in ("tiny", "other"):
        assert steps_done(home / name / "checkpoints" / "restoration.pt") > 0


def test_a_pack_that_is_too_large_names_its_largest_parts(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pack", str(home / "tiny.yaml"), "-o", str(home / "pack"), "--no-own"]
    assert main([*words, "--limit", "0.01"]) == 1
    said = capsys.readouterr().err
    assert "its largest parts: inputs/0-squeezenet.safetensors" in said
    assert "photographs/" in said
    assert not (home / "pack" / "pack.tar").exists()


def test_what_matters_most_comes_back_first(tmp_path: Path) -> None:
    items = []
    for name, size in (("result", 3000), ("checkpoint", 50_000), ("log", 2000)):
        (tmp_path / name).write_bytes(os.urandom(size))
        items.append(Item(name, tmp_path / name))
    limits = Limits(files=4, each=7000, total=MIB)
    left = write_slice(items, {"a": 1}, tmp_path / "out", tmp_path / "scratch", limits)
    assert [item.name for item in left] == ["checkpoint"]
    report = read_slice(tmp_path / "out", tmp_path / "in")
    assert (report["a"], report["left out"]) == (1, ["checkpoint"])
    assert len(report["parts"]) == 2
    for name in ("result", "log"):
        assert (tmp_path / "in" / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("size", [0, 3, 4, 4001])
def test_numbers_come_back_as_they_were(size: int) -> None:
    data = torch.randn(1001).numpy().tobytes()[:size].ljust(size, b"x")
    assert grow(shrink(data)) == data


def test_numbers_become_smaller() -> None:
    data = (0.02 * torch.randn(100_000)).numpy().tobytes()
    assert len(shrink(data)) < 0.9 * len(data)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"other")])
def test_a_damaged_slice_is_refused(tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    (tmp_path / "result").write_bytes(bytes(1000))
    items = [Item("result", tmp_path / "result")]
    write_slice(items, {}, tmp_path / "out", tmp_path / "scratch", Limits())
    damage(tmp_path / "out" / "slice.tar.00")
    with pytest.raises(SliceError, match=r"slice\.tar\.00 is missing or damaged"):
        read_slice(tmp_path / "out", tmp_path / "in")


def test_wheels_for_another_python_are_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "thing-1-cp27-cp27mu-linux_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("thing.py", "")
    with pytest.raises(SliceError, match="for another Python"):
        install([wheel], tmp_path / "site")


def test_only_what_is_lacking_travels(tmp_path: Path) -> None:
    there = tmp_path / "there.txt"
    names = "accelerate huggingface-hub numpy opencv-python-headless pillow pluggy PyYAML rich"
    names += " safetensors timm torch torchmetrics torchvision typer typing_extensions tqdm scipy"
    listed = [f"{name:20s} 1.0" for name in names.split()]
    there.write_text("\n".join(["Package              Version", "-" * 20, *listed]))
    lacking = wheels.missing(["ugpnet-core"], wheels.read_present(there))
    found = {one.partition("==")[0] for one in lacking}
    assert {"pydantic", "pydantic-core", "lpips"} <= found
    assert not found & {"torch", "opencv-python", "ugpnet-core", "pyyaml"}


def test_the_driver_needs_nothing_but_python(tmp_path: Path) -> None:
    code = "import examples.gpu_slice.driving, sys; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout.strip() == "set()"


def test_the_document_names_options_that_exist() -> None:
    text = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?<!-)--[a-z][a-z-]*", text))
    assert len(named) > 10
    source = (ROOT / "examples" / "gpu_slice" / "__main__.py").read_text(encoding="utf-8")
    others = {"--resume", "--seconds", "--json"}  # of ugpnet train and the benchmark
    assert {name for name in named if f'"{name}"' not in source} == others
