"""``train``: one slice of all trainings of a pack. Needs nothing but Python, until it trains."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from examples.gpu_slice.archive import Item, Limits, SliceError, digest, extract, write_slice
from examples.gpu_slice.installing import install

Say = Callable[[str], None]

ROOT = Path(__file__).parents[2]
UNFINISHED = 3  # exit status of ugpnet train that was stopped with a checkpoint
STOPPED = (UNFINISHED, 130, -signal.SIGINT, -signal.SIGTERM)
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 20.0  # for a training that was asked to stop
START_SECONDS = 60.0  # in which a benchmark has to have started
CHECKPOINT_SECONDS = 45.0  # between checkpoints, where a training can be told when to stop
PICTURES = 1  # of each stage's sample sheets, so many come back


@dataclass(frozen=True)
class Options:
    """What ``train`` is told.

    Attributes:
        seconds: of the whole slice, everything included.
        reserve: how long before its end the trainings stop; None: a tenth, 30 s at most.
        benchmark: seconds for it at most; 0: none.
        save_every: seconds between writings of ``out`` before the end, for a machine that may go
            away at any moment.
        workers: loader processes; None: all processors but two, 14 at most, where there is a GPU,
            and otherwise as configured.
        overrides: of all configurations.
        together: how many trainings run side by side: one alone seldom keeps a fast GPU busy.
    """

    seconds: float
    reserve: float | None = None
    benchmark: float = 60.0
    save_every: float = 120.0
    workers: int | None = None
    overrides: Sequence[str] = ()
    together: int = 1
    limits: Limits = field(default_factory=Limits)


@dataclass
class Slice:
    """A slice under way."""

    place: Path
    out: Path
    options: Options
    say: Say
    started: float = field(default_factory=time.monotonic)
    manifest: dict[str, Any] = field(default_factory=dict)
    trained: list[dict[str, Any]] = field(default_factory=list)
    benchmarks: list[dict[str, Any]] = field(default_factory=list)
    children: set[subprocess.Popen[bytes]] = field(default_factory=set)
    can_stop: bool = (
        False  # whether 'ugpnet train' here writes a checkpoint when it is told to stop
    )
    is_asked_to_stop: bool = False
    saved: float = field(default_factory=time.monotonic)
    writing: threading.Lock = field(default_factory=threading.Lock)

    def left(self) -> float:
        """Seconds until the trainings stop."""
        reserve = self.options.reserve
        if reserve is None:
            reserve = min(30.0, self.options.seconds / 10)
        return self.started + self.options.seconds - reserve - time.monotonic()


def train(pack: Path, out: Path, work: Path, options: Options, say: Say) -> int:
    """Train everything in a pack as far as the time goes, and leave what is new in ``out``.

    Returns:
        0 where all is finished, 3 where it goes on in another slice, 1 where a training failed or
        not all that is new had room.

    Raises:
        SliceError: the pack cannot be used here.
    """
    one = Slice(work, out, options, say)
    before = {
        number: signal.signal(number, lambda _number, _frame: _stop(one))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        extract(pack, work)
        one.manifest = json.loads((work / "manifest.json").read_text(encoding="utf-8"))
        install(sorted((work / "wheels").glob("*.whl")), work / "site")
        one.can_stop = "--minutes" in _help(one)
        if options.benchmark:
            _benchmark(one)
        with ThreadPoolExecutor(options.together) as trainings:
            for ended in [trainings.submit(_train, one, t) for t in one.manifest["trainings"]]:
                ended.result()
        left = _save(one)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for item in left:
        say(f"error: there was no room for {item.name}.")
    failed = any(result["status"] not in (0, *STOPPED) for result in one.trained)
    if failed or left:
        return 1
    return 0 if _finished(one) == len(one.manifest["trainings"]) else UNFINISHED


def _stop(one: Slice) -> None:
    one.is_asked_to_stop = True
    for child in list(one.children):
        child.send_signal(_signals(one)[0])


def _signals(one: Slice) -> tuple[signal.Signals, ...]:
    """What a process that is to end is sent, one after the other."""
    gently = (signal.SIGTERM, signal.SIGINT) if one.can_stop else (signal.SIGINT, signal.SIGTERM)
    return (*gently, signal.SIGKILL)


def environment(place: Path) -> dict[str, str]:
    """The variables of processes in which what was unpacked comes before what is installed."""
    paths = [str(place / "site"), str(ROOT)]
    # Benchmarks lie in the checkout; what is trained with comes from the pack.
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "160",
        "HF_HUB_OFFLINE": "1",
    }


def _help(one: Slice) -> str:
    command = [sys.executable, "-m", "ugpnet_core.cli", "train", "--help"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(one.place), cwd=one.place
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise SliceError(f"ugpnet does not run here: {lines[-1] if lines else done.returncode}")
    return done.stdout


def _overrides(one: Slice) -> list[str]:
    workers = one.options.workers
    if workers is None and _has_gpu():
        workers = max(1, min(14, (os.cpu_count() or 1) - 2) // one.options.together)
    return [*([] if workers is None else [f"data.workers={workers}"]), *one.options.overrides]


def _has_gpu() -> bool:
    return shutil.which("nvidia-smi") is not None


def _benchmark(one: Slice) -> None:
    """Images per second of each stage of each training, and how long it waits for data."""
    if not (ROOT / "benchmarks" / "training_speed.py").is_file():
        return
    trainings = one.manifest["trainings"]
    seconds = min(one.options.benchmark, one.left() / 4)
    end = time.monotonic() + min(seconds + START_SECONDS, one.left() / 2)
    for training in trainings:
        name = training["name"]
        table = one.place / "logs" / f"{name}-benchmark.json"
        table.parent.mkdir(exist_ok=True)
        command = [
            *(sys.executable, "-m", "benchmarks.training_speed", training["config"]),
            *(*_overrides(one), f"--seconds={seconds / len(trainings):.1f}", f"--json={table}"),
        ]
        _run(one, command, f"{name}-benchmark", end, False)
        if table.is_file():
            one.benchmarks += json.loads(table.read_text(encoding="utf-8"))["stages"]


def _train(one: Slice, training: Mapping[str, Any]) -> None:
    name, seconds = training["name"], one.left()
    if seconds <= 0 or one.is_asked_to_stop:
        return
    one.say(f"== {name}: at most {seconds / 60:.1f} minutes")
    command = [sys.executable, "-m", "ugpnet_core.cli", "train", training["config"]]
    command += [*_overrides(one), "--resume"]
    if one.can_stop:
        command += ["--minutes", f"{seconds / 60:.3f}"]
        command += _rarer_checkpoints(one, name)
    started = time.monotonic()
    # One that stops by itself is only reminded.
    end = started + seconds + (PATIENCE_SECONDS / 2 if one.can_stop else 0)
    status = _run(one, command, name, end, True)
    used = round(time.monotonic() - started, 1)
    one.trained.append({"name": name, "status": status, "seconds": used})
    one.say(f"== {name}: status {status} after {used:.0f} s")


def _rarer_checkpoints(one: Slice, name: str) -> list[str]:
    """On a fast machine, checkpoints after so many iterations would come every second or so."""
    slowest = [row["steps_per_second"] for row in one.benchmarks if row["name"] == name]
    every = int(min(slowest, default=0) * CHECKPOINT_SECONDS)
    return [f"checkpoint_every={every}"] if every > 1000 else []


def _run(one: Slice, command: Sequence[str], name: str, end: float, is_saved: bool) -> int:
    """Run a command until it ends, or is stopped at ``end``; what it prints goes to a log, too."""
    log = one.place / "logs" / f"{name}.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("ab") as file:
        child = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=one.place,
            env=environment(one.place),
            start_new_session=True,  # so that Ctrl-C comes from here, once
        )
        one.children.add(child)
        asked = 0
        while child.poll() is None:
            now = time.monotonic()
            if now >= end + asked * PATIENCE_SECONDS:
                child.send_signal(_signals(one)[min(asked, 2)])
                asked += 1
            if is_saved and now - one.saved > one.options.save_every:
                with one.writing:
                    if time.monotonic() - one.saved > one.options.save_every:
                        _save(one)
            time.sleep(POLL_SECONDS)
        one.children.discard(child)
    status = child.returncode
    if status not in (0, *STOPPED):
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
        one.say(f"error: {name} ended with status {status}: {' | '.join(tail)}")
    return status


def _save(one: Slice) -> list[Item]:
    """Write what is new; returns what had no room."""
    items = _new(one)
    report = {
        "manifest": one.manifest,
        "finished": _finished(one),
        "trained": one.trained,
        "benchmarks": one.benchmarks,
        "seconds": round(time.monotonic() - one.started, 1),
    }
    left = write_slice(items, report, one.out, one.place / "slice", one.options.limits)
    one.saved = time.monotonic()
    return left


def _finished(one: Slice) -> int:
    """How many trainings have all their stages."""
    return sum(
        all((one.place / t["output"] / f"{stage}.safetensors").exists() for stage in t["stages"])
        for t in one.manifest["trainings"]
    )


def _new(one: Slice) -> list[Item]:
    """Files that the pack did not have, in the order of what their loss would cost."""
    ranked: list[tuple[int, Item]] = []
    states = one.manifest.get("states", {})
    for training in one.manifest.get("trainings", []):
        output = one.place / training["output"]
        for path in sorted(output.rglob("*")):
            if not path.is_file() or path.name.startswith("."):
                continue
            item = Item(path.relative_to(one.place).as_posix(), path)
            rank = _rank(path, output, training["stages"], training["name"])
            if rank is not None and states.get(item.name) != digest(path):
                ranked.append((rank, item))
    logs = [Item(f"logs/{log.name}", log) for log in sorted((one.place / "logs").glob("*"))]
    ranked += [(3, log) for log in logs]
    return [item for _, item in sorted(ranked, key=lambda pair: pair[0])]


def _rank(path: Path, output: Path, stages: Sequence[str], name: str) -> int | None:
    below = path.relative_to(output)
    if below.parts[0] == "checkpoints":
        # A stage that is finished needs none.
        return None if (output / f"{path.stem}.safetensors").exists() else 1
    if below.parts[0] == "finished":
        return None  # what --extend would need: large, and for the other machine
    if below.parts[0] == "samples":
        sheets = sorted(path.parent.glob(f"{path.stem.rpartition('-')[0]}-*"))
        return 5 if path in sheets[-PICTURES:] else None
    if below.name == f"{name}.safetensors":
        return 4  # 'ugpnet train --resume' makes it from the stages
    return 0 if below.suffix == ".safetensors" and len(below.parts) == 1 else 3
