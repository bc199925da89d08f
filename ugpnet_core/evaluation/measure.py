"""Measure methods on a set of photographs, file after file: the core of every table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from ugpnet_core.errors import ConfigError, ImageError
from ugpnet_core.evaluation.looking import look_at
from ugpnet_core.evaluation.measurement import Measurement
from ugpnet_core.evaluation.methods import Batch, Method, Runner
from ugpnet_core.evaluation.photographs import Sample, TestSet
from ugpnet_core.evaluation.restoring import Restoring
from ugpnet_core.evaluation.results import Cost, Evaluation, Figure, MethodResult
from ugpnet_core.evaluation.running import SeededRuns
from ugpnet_core.evaluation.store import Store
from ugpnet_core.evaluation.summary import summarise
from ugpnet_core.evaluation.trouble import Trouble, names_of
from ugpnet_core.metrics.metric import ALL_METRICS, Metric
from ugpnet_core.metrics.networks import MetricNetworks, metric_networks
from ugpnet_core.metrics.set_distances import CLEAN

Keep = Callable[[Sample, Mapping[str, Tensor]], None]
"""Called for each photograph with all its images by name ("clean", then the methods in their
order), (3, r, r) in [0, 1], 8-bit levels. It may write them; holding on to them costs memory."""

MeasureCost = Callable[[Runner, Method, Sample], Cost]
"""What a method of a runner costs for a sample, see :mod:`ugpnet_core.evaluation.cost`."""

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, the steps done and their number."""

DRAWING = "draws random numbers, from a seed of each photograph's own"


def measure_methods(
    runners: Sequence[Runner],
    test_set: TestSet,
    *,
    networks: MetricNetworks | None = None,
    batch_size: int = 8,
    keep: Keep | None = None,
    cost: MeasureCost | None = None,
    progress: Progress | None = None,
    store: Store | None = None,
    look: bool = False,
) -> Evaluation:
    """Restore photographs with each method, and measure what came out.

    Memory does not grow with the set, but for a few numbers per image. A file that cannot be used
    is left out and reported, and a method that fails on one has no figures for it.

    Args:
        runners: in the order of the table.
        networks: which figures are computed; default: PSNR and SSIM.
        keep: sees every image.
        cost: measures what each method costs, on the first photograph; default: not measured.
        store: what is found there is not computed again, and what is computed is kept there, for
            runners that have an identity.
        look: first find out whether a method's figures can be trusted, see
            :func:`ugpnet_core.evaluation.looking.look_at`.

    Raises:
        ConfigError: two methods have one name.
        ImageError: none of the files can be used.
    """
    methods = [method for runner in runners for method in runner.methods]
    _check_names(methods)
    seen = Trouble()

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
            tuned.append(runner.tuned(partial(samples, f"settings of {names_of(runner)}"), store))
        except Exception as error:  # that method's trouble only
            seen.method(runner, "", error)
    regression = next((each.posterior_mean for each in runners if each.posterior_mean), None)
    measurement = Measurement(
        networks or metric_networks(), test_set.seed, store, regression, test_set.protocol()
    )
    run = SeededRuns(test_set.seed)
    restore = Restoring(run, seen, batch_size, store)
    costs: dict[str, Cost] = {}
    for number, batch in enumerate(_batches(samples(test_set.title), batch_size)):
        if number == 0:
            if look:
                size = min(batch_size, max(len(test_set.files), 3))
                look_at(tuned, batch.samples[0], run, size, seen, store)
            costs = _costs(tuned, cost, batch.samples[0], progress) if cost else {}
        restored = [restore(runner, batch) for runner in tuned]
        for index, sample in enumerate(batch.samples):
            images: dict[str, Tensor] = {}
            for by_name in restored:
                images |= by_name[index]
            measurement(sample, images)
            if keep:
                keep(sample, {CLEAN: sample.clean, **images} if sample.has_truth else images)
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
        protocol |= _how_run(runner, run)
    protocol |= summary.protocol
    title = ALL_METRICS["indrmse"].title
    if regression is not None and title in protocol:
        protocol[title] += f"; x_reg is the row {regression}"
    count, total = len(measurement.images), len(test_set.files)
    protocol["images"] = f"{count} of {total} files in {test_set.root}"
    return Evaluation(
        title=test_set.title,
        task=test_set.task.name if test_set.task else "",
        methods=tuple(
            _result(method, summary.figures[method.name], costs.get(method.name), seen)
            for method in methods
        ),
        metrics=_shown(measurement, regression),
        images=tuple(measurement.images),
        protocol=protocol,
        problems=tuple(seen.problems),
        differences=summary.differences,
        tuned={name: value for runner in tuned for name, value in runner.settings().items()},
        findings=tuple(seen.findings),
    )


def _how_run(runner: Runner, run: SeededRuns) -> dict[str, str]:
    protocol = runner.protocol()
    if run.draws(runner):
        for method in runner.methods:
            said = [protocol[method.name]] if method.name in protocol else []
            protocol[method.name] = "; ".join([*said, DRAWING])
    return protocol


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
    pairs = [(runner, method) for runner in runners if runner.is_timed for method in runner.methods]
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
    method: Method, figures: Mapping[str, Figure], cost: Cost | None, seen: Trouble
) -> MethodResult:
    failed = "" if figures else seen.first_of(method.name)
    return MethodResult(method.name, method.kind, method.shown_group, figures, cost, failed)


def _shown(measurement: Measurement, regression: str | None) -> tuple[Metric, ...]:
    """The columns; one that no image has a figure for says why."""
    networks = measurement.networks
    known = {key for each in measurement.images for mine in each.figures.values() for key in mine}
    reasons = {
        each.metric.key: "it needs "
        + ", ".join(
            {"clean": "photographs", "regression": "a row of x_reg", "task": "a known task"}[need]
            for need in sorted(each.needs)
        )
        if each.needs - {"clean"} or not measurement.has_truth
        else f"no photograph has what it needs ({each.words})"
        for each in networks.image_metrics
        if each.metric.key not in known
    } | {key: said for key, said in measurement.failures.items() if key not in known}
    if not measurement.has_truth:
        reasons |= {each.metric.key: "it needs photographs" for each in networks.distances}
    return tuple(
        replace(each, missing=f"{reasons[each.key]}.") if each.key in reasons else each
        for each in networks.metrics
    )


def _check_names(methods: Sequence[Method]) -> None:
    names = [method.name for method in methods]
    twice = sorted({name for name in names if names.count(name) > 1 or name == CLEAN})
    if twice:
        raise ConfigError(
            f"Two methods cannot be called {', '.join(twice)} (and none {CLEAN!r}); give each a "
            "name of its own."
        )
