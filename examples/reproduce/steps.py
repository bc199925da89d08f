"""Run calls of ``ugpnet``, some of them side by side, and keep what they say in log files."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from examples.reproduce.plan import Step


def run_side_by_side(steps: Sequence[Step], jobs: int, logs: Path) -> None:
    """Run so many steps at a time; the first that fails ends the program once all have ended."""
    with ThreadPoolExecutor(jobs) as pool:
        problems = [
            problem for problem in pool.map(lambda step: _run(step, logs), steps) if problem
        ]
    if problems:
        sys.exit("\n".join(problems))


def run_one(step: Step, logs: Path) -> None:
    """Run a step, and end the program where it fails."""
    run_side_by_side([step], 1, logs)


def _run(step: Step, logs: Path) -> str:
    """Run a step; returns what went wrong, or an empty text."""
    command = [sys.executable, "-m", "ugpnet_core.cli", *step.words]
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{step.name.replace(' ', '-').replace('/', '-')}.log"
    print(f"{step.name}: ugpnet {shlex.join(step.words)}", flush=True)
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        status = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT).returncode
    minutes = (time.monotonic() - started) / 60
    if status:
        return f"{step.name} failed with status {status}; see {log}"
    print(f"{step.name}: finished after {minutes:.1f} min", flush=True)
    return ""
