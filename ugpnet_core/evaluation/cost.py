"""What a method costs for one image (Table 2): parameters, multiply-accumulates, time, memory."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable

import torch

from ugpnet_core.evaluation.methods import Batch, Method, Runner
from ugpnet_core.evaluation.photographs import Sample
from ugpnet_core.evaluation.results import Cost
from ugpnet_core.metrics.complexity import count_macs
from ugpnet_core.metrics.peak_memory import memory_words, peak_memory
from ugpnet_core.plugins.discovery import describe_error

WARM_UP = 2
REPEATS = 9
# No method is timed for longer, but for its last run.
PATIENCE_SECONDS = 20.0


def measure_cost(
    runner: Runner, method: Method, sample: Sample, device: torch.device, repeats: int = REPEATS
) -> Cost:
    """Restore one image again and again, and note time and memory; count multiply-accumulates.

    Args:
        repeats: timed runs after the warm-up; fewer where they take long.

    Returns:
        Figures that could not be had are None, and ``note`` says why.
    """
    batch = Batch.of([sample])
    run = runner.alone(method.name)
    notes = []
    seconds = memory = None
    try:
        with torch.inference_mode():
            seconds = _seconds(lambda: run(batch), device, repeats)
            memory = peak_memory(lambda: run(batch), device)
    except Exception as error:  # reported as this method's trouble, like any other
        notes.append(f"cannot be run ({describe_error(error)})")
    macs, reason = _macs(runner, method, batch)
    if reason:
        notes.append(reason)
    return Cost(method.parameters, macs, seconds, memory, batch.resolution, "; ".join(notes))


def cost_words(device: torch.device, resolution: int, repeats: int = REPEATS) -> dict[str, str]:
    """How the figures came about, by subject."""
    return {
        "time": f"one image of {resolution}x{resolution}, median of {repeats} runs after {WARM_UP} "
        f"(fewer where they take over {PATIENCE_SECONDS:g} s), {_device_name(device)}",
        "memory": f"{memory_words(device)}, for that image",
        "GMACs": "multiply-accumulates of convolutions and matrix products for that image, 1e9",
    }


def _seconds(run: Callable[[], object], device: torch.device, repeats: int) -> float:
    begun = time.perf_counter()
    for _ in range(WARM_UP):
        run()
        if time.perf_counter() - begun > PATIENCE_SECONDS:
            break
    times: list[float] = []
    while len(times) < repeats and (not times or time.perf_counter() - begun < PATIENCE_SECONDS):
        _synchronise(device)
        start = time.perf_counter()
        run()
        _synchronise(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _macs(runner: Runner, method: Method, batch: Batch) -> tuple[int | None, str]:
    network = runner.network()
    if network is None:
        return None, ""
    run = runner.alone(method.name)
    try:
        blank = batch._replace(degraded=torch.zeros_like(batch.degraded))
        return count_macs(network, lambda device: run(_on(blank, device))), ""
    except Exception as error:  # networks that look at values cannot be run without them
        return None, f"GMACs cannot be counted ({describe_error(error)})"


def _on(batch: Batch, device: torch.device) -> Batch:
    """The batch with images of its size that have no content."""
    return batch._replace(degraded=torch.zeros(batch.degraded.shape, device=device))


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    name = platform.processor() or platform.machine()
    return f"{device.type} ({name}, {threads} thread{'s' if threads > 1 else ''})"
