"""What is wrong with a method although it makes images: what ``ugpnet check-backbone`` would find.

Its figures would not be the same the next time, or in another order, or on another machine, or are
those of images in another range.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

import torch
from torch import Tensor

from ugpnet_core.evaluation.methods import Batch, Runner
from ugpnet_core.evaluation.photographs import Sample
from ugpnet_core.evaluation.running import SeededRuns
from ugpnet_core.testing.differences import CLOSE, SAME, difference, percent
from ugpnet_core.testing.meter import Meter
from ugpnet_core.testing.surroundings import (
    changed_setting,
    settings,
    settings_kept,
    untouched,
)

# Networks may leave [0, 1] a little; those for [-1, 1] or 0 to 255 leave it further.
LOWEST, HIGHEST = -0.5, 1.5


def findings_of(runner: Runner, sample: Sample, run: SeededRuns, batch_size: int) -> Iterator[str]:
    """Run a method on a photograph six times, on its negative once, and where the table has batches
    on two of these; and say what is wrong, a sentence each.

    Args:
        batch_size: of the table; methods may treat some counts in another way.

    Raises:
        Exception: what the method raises.
    """
    yield from runner.findings
    x = Batch.of([sample])
    kept = x.degraded.clone()
    yield from _changed_setting(runner, x, run)
    if not torch.equal(x.degraded, kept):
        yield "changes the image that it is given; let it work on a copy."
    first, again = run(runner, Batch.of([sample])), run(runner, Batch.of([sample]))
    apart = _difference(again, first)
    if apart > SAME:
        yield (
            f"makes another image of the same photograph the next time ({percent(apart)} apart), "
            "with the generators of torch, numpy and random seeded alike; its figures cannot be "
            "made again."
        )
        return
    yield from _halves(runner, sample)
    yield from _threads(runner, sample, run, first)
    yield from _among_others(runner, sample, run, batch_size, first)


def range_finding(lowest: float, highest: float) -> str:
    """What is wrong with values between these; empty where nothing is."""
    if lowest >= LOWEST and highest <= HIGHEST:
        return ""
    return (
        f"made values from {lowest:.3g} to {highest:.3g}, which were clamped, and images are RGB "
        "in [0, 1]; scale what it makes."
    )


def _changed_setting(runner: Runner, x: Batch, run: SeededRuns) -> Iterator[str]:
    with untouched(), torch.inference_mode():
        run.seed_for(x.samples[0])
        before = settings()
        runner(x)
        changed = changed_setting(before)
    if changed:
        yield f"changes torch's {changed}, for everything in this process; it was set back."


def _halves(runner: Runner, sample: Sample) -> Iterator[str]:
    meter = Meter()
    # What cannot be watched has been run without, and is not accused. Inference mode would show
    # operations that consist of others as one.
    with suppress(Exception), untouched(), torch.no_grad(), meter:
        runner(Batch.of([sample]))
    if meter.halves:
        yield (
            f"computes in 16 bits what is of float32 ({min(meter.halves)}); its figures are not "
            "those of its weights in float32, as the others' are."
        )


def _threads(
    runner: Runner, sample: Sample, run: SeededRuns, first: Mapping[str, Tensor]
) -> Iterator[str]:
    if torch.device(getattr(runner, "device", "cpu")).type != "cpu":
        return  # whose threads decide nothing
    threads = 1 if torch.get_num_threads() > 1 else 2
    with settings_kept():
        torch.set_num_threads(threads)
        apart = _difference(run(runner, Batch.of([sample])), first)
    if apart > CLOSE:
        yield (
            f"makes another image of the same photograph where torch has {threads} "
            f"thread{'s' * (threads > 1)} ({percent(apart)} apart); its figures depend on the "
            "machine."
        )


def _among_others(
    runner: Runner, sample: Sample, run: SeededRuns, batch_size: int, first: Mapping[str, Tensor]
) -> Iterator[str]:
    """What other photographs change, before it and in one batch with it."""
    negative = sample._replace(name=f"{sample.name} (negative)", degraded=1 - sample.degraded)
    # The last of a batch is not the photograph, which a method may remember.
    pair = [negative, sample]
    alone = [run(runner, Batch.of([negative])), first]
    worst = 0.0
    counts = {2, batch_size} if batch_size > 1 and not run.goes_alone(runner) else ()
    for count in counts:
        which = [place % 2 for place in reversed(range(count))]
        made = run(runner, Batch.of([pair[one] for one in which]))
        for place, one in enumerate(which):
            image = {name: images[place : place + 1] for name, images in made.items()}
            worst = max(worst, _difference(image, alone[one]))
    last = run(runner, Batch.of([sample]))
    if (apart := _difference(last, first)) > SAME:
        yield (
            f"makes another image of the same photograph once it has seen others "
            f"({percent(apart)} apart); its figures depend on the order of the photographs."
        )
    elif worst > CLOSE:
        yield (
            f"makes another image of a photograph in a batch than alone ({percent(worst)} apart); "
            "its figures depend on batch_size, which should be 1 for it."
        )


def _difference(images: Mapping[str, Tensor], first: Mapping[str, Tensor]) -> float:
    return difference([images[name] for name in first], list(first.values()))
