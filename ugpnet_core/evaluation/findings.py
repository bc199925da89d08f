"""What is wrong with a method although it makes images: what ``ugpnet check-backbone`` would find.

Its figures would not be the same the next time, or in another order, or are those of images in
another range.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ugpnet_core.evaluation.methods import Batch, Runner
from ugpnet_core.evaluation.photographs import Sample
from ugpnet_core.evaluation.running import SeededRuns
from ugpnet_core.testing.differences import CLOSE, SAME, difference, percent
from ugpnet_core.testing.surroundings import changed_setting, settings, untouched

# Networks may leave [0, 1] a little; those for [-1, 1] or 0 to 255 leave it further.
LOWEST, HIGHEST = -0.5, 1.5


def findings_of(runner: Runner, sample: Sample, run: SeededRuns) -> Iterator[str]:
    """Run a method five times on a photograph and its negative, and say what is wrong, a sentence
    each.

    Raises:
        Exception: what the method raises.
    """
    x = Batch.of([sample])
    negative = sample._replace(name=f"{sample.name} (negative)", degraded=1 - sample.degraded)
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
    both = run(runner, Batch.of([sample, negative]))
    last = run(runner, Batch.of([sample]))
    if (apart := _difference(last, first)) > SAME:
        yield (
            f"makes another image of the same photograph once it has seen others "
            f"({percent(apart)} apart); its figures depend on the order of the photographs."
        )
    elif (apart := _difference({name: two[:1] for name, two in both.items()}, first)) > CLOSE:
        yield (
            f"makes another image of a photograph in a batch than alone ({percent(apart)} apart); "
            "its figures depend on batch_size, which should be 1 for it."
        )


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


def _difference(images: Mapping[str, Tensor], first: Mapping[str, Tensor]) -> float:
    return difference([images[name] for name in first], list(first.values()))
