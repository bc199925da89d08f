"""Measure methods on a set of photographs, file after file: the core of every table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

import torch
from torch import Tensor

from ugpnet_core.errors import ConfigError, ImageError, UGPNetError
from ugpnet_core.evaluation.measurement import CLEAN, Measurement, restored_levels
from ugpnet_core.evaluation.methods import Batch, Method, Runner
from ugpnet_core.evaluation.photographs import Sample, TestSet
from ugpnet_core.evaluation.results import Cost, Evaluation, Figure, MethodResult, Problem
from ugpnet_core.evaluation.summary import summarise
from ugpnet_core.metrics.networks import MetricNetworks, metric_networks
from ugpnet_core.plugins.discovery import describe_error

logger = logging.getLogger(__name__)

Keep = Callable[[Sample, Mapping[str, Tensor]], None]
"""Called for each photograph with all its images by name ("clean", then the methods in their
order), (3, r, r) in [0, 1], 8-bit levels. It may write them; holding on to them costs memory."""

MeasureCost = Callable[[Runner, Method, Sample], Cost]
"""What a method of a runner costs for a sample, see :mod:`ugpnet_core.evaluation.cost`."""

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, the steps done and their number."""


def measure_methods(
    runners: Sequence[Runner],
    test_set: TestSet,
    *,
    networks: MetricNetworks | None = None,
    batch_size: int = 8,
    keep: Keep | None = None,
    cost: MeasureCost | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Restore photographs with each method, and measure what came out.

    Memory does not grow with the set, but for a few numbers per image. A file that cannot be used
    is left out and reported, and a method that fails on one has no figures for it.

    Args:
        runners: in the order of the table.
        networks: which figures are computed; default: PSNR and SSIM.
        keep: sees every image.
        cost: measures what each method costs, on the first photograph; default: not measured.

    Raises:
        ConfigError: two methods have one name.
        ImageError: none of the files can be used.
    """
    methods = [method for runner in runners for method in runner.methods]
    _check_names(methods)
    seen = _Problems()

    def samples(stage: str) -> Iterator[Sample]:
        total = len(test_set.files)
        for done, sample in enumerate(test_set.samples(seen.file)):
            if progress:
                progress(stage, done, total)
            if sample is not None:
                yield sample
        if progress:
            progress(stage, total, total)

    tuned = []
    for runner in runners:
        try:
            tuned.append(runner.tuned(partial(samples, f"settings of {_names(runner)}")))
        except Exception as error:  # that method's trouble only
            seen.method(runner, "", error)
    measurement = Measurement(networks or metric_networks(), test_set.seed)
    costs: dict[str, Cost] = {}
    for batch in _batches(samples(test_set.title), batch_size):
        if cost and not costs:
            costs = _costs(tuned, cost, batch.samples[0], progress)
        restored = [_run(runner, batch, seen) for runner in tuned]
        for index, sample in enumerate(batch.samples):
            images: dict[str, Tensor] = {}
            for by_name in restored:
                images |= restored_levels(by_name[index], 0)
            measurement(sample, images)
            if keep:
                keep(sample, {CLEAN: sample.clean, **images})
    if not measurement.images:
        reason = f" ({seen.problems[0].reason})" if seen.problems else ""
        raise ImageError(f"There is no image in {test_set.root} that can be evaluated{reason}.")
    names = [method.name for method in methods]
    summary = summarise(
        measurement,
        names,
        [(each.name, each.reference) for each in methods if each.reference in names],
        (lambda done, total: progress("intervals", done, total)) if progress else None,
    )
    protocol = test_set.protocol()
    for runner in tuned:
        protocol |= runner.protocol()
    protocol |= summary.protocol
    count, total = len(measurement.images), len(test_set.files)
    protocol["images"] = f"{count} of {total} files in {test_set.root}"
    return Evaluation(
        title=test_set.title,
        task=test_set.task.name if test_set.task else "",
        methods=tuple(
            _result(method, summary.figures[method.name], costs.get(method.name), seen)
            for method in methods
        ),
        metrics=measurement.networks.metrics,
        images=tuple(measurement.images),
        protocol=protocol,
        problems=tuple(seen.problems),
        differences=summary.differences,
        tuned={name: value for runner in tuned for name, value in runner.settings().items()},
    )


class _Problems:
    """What went wrong, each once, in the order in which it showed."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def file(self, name: str, reason: str) -> None:
        self._note(Problem(name, reason))

    def method(self, runner: Runner, file: str, error: Exception) -> None:
        reason = str(error) if isinstance(error, UGPNetError) else describe_error(error)
        logger.debug("%s failed on %s", _names(runner), file, exc_info=error)
        for method in runner.methods:
            self._note(Problem(file, reason, method.name))

    def first_of(self, method: str) -> str:
        return next((each.reason for each in self.problems if each.method == method), "")

    def _note(self, problem: Problem) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def _run(runner: Runner, batch: Batch, seen: _Problems) -> list[Mapping[str, Tensor]]:
    """What a runner makes of each sample, (1, 3, r, r) by method; nothing where it fails."""
    side = batch.resolution
    # A batch that fails is tried again one by one: the others must not pay for one image.
    with suppress(Exception), torch.inference_mode():
        images = _checked(runner, runner(batch), len(batch.samples), side)
        return [
            {name: some[index : index + 1] for name, some in images.items()}
            for index in range(len(batch.samples))
        ]
    restored: list[Mapping[str, Tensor]] = []
    for sample in batch.samples:
        try:
            with torch.inference_mode():
                restored.append(_checked(runner, runner(Batch.of([sample])), 1, side))
        except Exception as error:  # whatever a network raises is that method's trouble only
            seen.method(runner, sample.name, error)
            restored.append({})
    return restored


def _checked(
    runner: Runner, images: Mapping[str, Tensor], count: int, side: int
) -> Mapping[str, Tensor]:
    """Images by method, if they are what was asked for."""
    for method in runner.methods:
        shape = tuple(images[method.name].shape)
        if shape != (count, 3, side, side):
            raise ConfigError(
                f"{method.name} made images {shape} of photographs {(count, 3, side, side)}; use a "
                "network of the task's scale."
            )
        if not images[method.name].isfinite().all():
            raise ConfigError(f"{method.name} made pixels that are not finite; check its weights.")
    return {method.name: images[method.name].float() for method in runner.methods}


def _batches(samples: Iterator[Sample], size: int) -> Iterator[Batch]:
    gathered: list[Sample] = []
    for sample in samples:
        # Pairs may differ in size; what differs cannot be stacked.
        if gathered and gathered[0].degraded.shape != sample.degraded.shape:
            yield Batch.of(gathered)
            gathered = []
        gathered.append(sample)
        if len(gathered) == size:
            yield Batch.of(gathered)
            gathered = []
    if gathered:
        yield Batch.of(gathered)


def _costs(
    runners: Sequence[Runner], cost: MeasureCost, sample: Sample, progress: Progress | None
) -> dict[str, Cost]:
    pairs = [(runner, method) for runner in runners for method in runner.methods]
    # One network blended by several fidelities costs the same.
    known: dict[tuple[Runner, str], Cost] = {}
    costs = {}
    for done, (runner, method) in enumerate(pairs):
        if progress:
            progress(f"cost of {method.name}", done, len(pairs))
        key = (runner, method.kind)
        if key not in known:
            known[key] = cost(runner, method, sample)
        costs[method.name] = known[key]
    return costs


def _result(
    method: Method, figures: Mapping[str, Figure], cost: Cost | None, seen: _Problems
) -> MethodResult:
    failed = "" if figures else seen.first_of(method.name)
    return MethodResult(method.name, method.kind, method.shown_group, figures, cost, failed)


def _names(runner: Runner) -> str:
    return ", ".join(method.name for method in runner.methods)


def _check_names(methods: Sequence[Method]) -> None:
    names = [method.name for method in methods]
    twice = sorted({name for name in names if names.count(name) > 1 or name == CLEAN})
    if twice:
        raise ConfigError(
            f"Two methods cannot be called {', '.join(twice)} (and none {CLEAN!r}); give each a "
            "name of its own."
        )
