"""Compare methods on tasks: what ``ugpnet compare`` does, without its files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ugpnet_core.evaluation.cost import cost_words, measure_cost
from ugpnet_core.evaluation.domains import out_of_domain
from ugpnet_core.evaluation.measure import Keep, Progress, measure_methods
from ugpnet_core.evaluation.photographs import (
    Sample,
    TestSet,
    degraded_set,
    find_photographs,
    paired_set,
    real_set,
)
from ugpnet_core.evaluation.results import Comparison, Evaluation, OutOfDomain
from ugpnet_core.evaluation.store import Store
from ugpnet_core.metrics.networks import MetricNetworks
from ugpnet_core.studies.compared_methods import runners_for
from ugpnet_core.studies.settings import CompareConfig, CompareTable

KeepOf = Callable[[str, TestSet], Keep]
"""Gives what sees the images of a table, by its title and photographs."""


@dataclass(frozen=True)
class PlannedTable:
    """A table that is to be made.

    Attributes:
        table: its settings.
        test_set: the photographs.
        names: of the methods, in the order of the table.
    """

    table: CompareTable
    test_set: TestSet
    names: tuple[str, ...]


def compare(
    config: CompareConfig,
    *,
    networks: MetricNetworks | None = None,
    device: torch.device | None = None,
    keep: Sequence[KeepOf] = (),
    progress: Progress | None = None,
    store: Store | None = None,
) -> Comparison:
    """Measure methods on tasks and sets of photographs, one after the other.

    A method that cannot be loaded, or fails, has an empty row and is among the problems.

    Args:
        networks: which figures are computed; default: PSNR and SSIM.
        keep: for each table, what sees every image, in the order of the rows.
        store: what is there is not computed again, and what is computed is kept there.

    Raises:
        ImageError: photographs of a task are missing, or none can be used.
        ConfigError, PluginError: a task cannot be made.
    """
    where = device or torch.device("cpu")
    planned = [plan(config, table) for table in config.tables()]
    # All of them before anything long starts, since one may refuse its photographs.
    observers = [[each(one.table.title, one.test_set) for each in keep] for one in planned]
    evaluations = tuple(
        _evaluation(config, one, networks, where, seen_by, progress, store)
        for one, seen_by in zip(planned, observers, strict=True)
    )
    settings = {"device": str(where)}
    if config.cost is not None:
        settings = cost_words(where, config.data.resolution, config.cost.repeats)
    return Comparison(config.name, evaluations, settings, tuple(_domains(config, evaluations)))


def plan(config: CompareConfig, table: CompareTable) -> PlannedTable:
    """Find a table's photographs, before anything long starts.

    Raises:
        ImageError: there are none, or pairs lack partners.
        ConfigError, PluginError: the task cannot be made.
    """
    data, task = config.data, table.task
    if task.pairs is not None:
        pairs = task.pairs
        test_set = paired_set(
            pairs.clean,
            pairs.degraded,
            data.resolution,
            scale=pairs.scale,
            count=data.count,
            pattern=pairs.pattern,
            task=pairs.task,
        )
        test_set = replace(test_set, seed=data.seed)
    elif task.real is not None:
        real = task.real
        test_set = real_set(
            real.degraded, data.resolution, scale=real.scale, count=data.count, task=real.task
        )
        test_set = replace(test_set, seed=data.seed)
    else:
        assert task.task is not None
        folders = table.photographs
        files = [file for folder in folders for file in find_photographs(folder)]
        root = folders[0]
        if len(folders) > 1:
            root = type(root)(os.path.commonpath([folder.absolute() for folder in folders]))
            files = [file.absolute() for file in files]
        elif not root.is_dir():
            root = root.parent
        used = files[: data.count]
        test_set = degraded_set(used, root, data.resolution, task.task, data.seed)
        test_set = replace(test_set, unused=files[len(used) :])
    names = [method.name for method in config.rows_of(table)]
    if not any(method.classical == "degraded" for method in config.rows_of(table)):
        names.insert(0, "degraded")
    return PlannedTable(table, test_set, tuple(names))


def _evaluation(
    config: CompareConfig,
    planned: PlannedTable,
    networks: MetricNetworks | None,
    device: torch.device,
    observers: Sequence[Keep],
    progress: Progress | None,
    store: Store | None,
) -> Evaluation:
    title = planned.table.title

    def show(sample: Sample, images: Mapping[str, Tensor]) -> None:
        ordered = {name: images[name] for name in _ordered(images, planned.names)}
        for observer in observers:
            observer(sample, ordered)

    evaluation = measure_methods(
        runners_for(config.rows_of(planned.table), planned.test_set, device),
        planned.test_set,
        networks=networks,
        batch_size=config.batch_size,
        keep=show if observers else None,
        cost=None
        if config.cost is None
        else partial(measure_cost, device=device, repeats=config.cost.repeats),
        progress=_named(title, progress),
        store=store,
        look=True,
    )
    methods = sorted(evaluation.methods, key=lambda method: planned.names.index(method.name))
    return replace(evaluation, title=title, methods=tuple(methods))


def _domains(config: CompareConfig, evaluations: Sequence[Evaluation]) -> Iterator[OutOfDomain]:
    tables = list(zip(config.tables(), evaluations, strict=True))
    for task in config.tasks:
        sets = {table.data_set: each for table, each in tables if table.task is task}
        for parts in config.models_for(task) if len(sets) > 1 else ():
            yield from out_of_domain(task.shown_title, parts, sets, config.data.seed)


def _ordered(images: Mapping[str, Tensor], names: Sequence[str]) -> Iterator[str]:
    """What is no method, and then the methods in the order of the table."""
    yield from (name for name in images if name not in names)
    yield from (name for name in names if name in images)


def _named(title: str, progress: Progress | None) -> Progress | None:
    if progress is None:
        return None
    return lambda stage, done, total: progress(
        stage if stage == title else f"{title}: {stage}", done, total
    )
