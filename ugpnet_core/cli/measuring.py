"""What the commands that measure show: how far they are, a table, and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rich.box
import rich.table
import typer
from rich.console import Console

from ugpnet_core.cli.console import plain
from ugpnet_core.metrics.metric import USUAL_METRICS

if TYPE_CHECKING:
    import torch

    from ugpnet_core.evaluation.photographs import TestSet
    from ugpnet_core.evaluation.results import Evaluation
    from ugpnet_core.metrics.networks import MetricNetworks
    from ugpnet_core.networks.ugpnet import UGPNet
    from ugpnet_core.reports.table import Table


def find_networks(
    perceptual_weights: Path | None,
    inception: str | None,
    device: torch.device,
    metrics: Sequence[str] = USUAL_METRICS,
    faces: str = "dlib",
) -> MetricNetworks:
    """Load the networks of those figures whose weights are given or found on this machine.

    Raises:
        WeightsError: weights that were given do not fit.
        ConfigError: there is no such figure.
    """
    from ugpnet_core.losses.perceptual import optional_perceptual
    from ugpnet_core.metrics.inception import optional_inception
    from ugpnet_core.metrics.networks import metric_networks

    perceptual, missing = optional_perceptual(perceptual_weights)
    path, inception_missing = optional_inception(inception)
    return metric_networks(
        perceptual,
        missing=missing,
        inception=path,
        inception_missing=inception_missing,
        device=device,
        chosen=metrics,
        faces=faces,
    )


def degraded_photographs(
    data: Path, files: Sequence[Path], model: UGPNet, task: str | None, seed: int
) -> TestSet:
    """Photographs at a model's resolution, to be degraded.

    Args:
        data: the folder they were found in, or the one file.
        task: default: the model's own. Its name alone means the model's settings of it.
    """
    from ugpnet_core.config import TaskConfig
    from ugpnet_core.evaluation.photographs import degraded_set

    own = model.config.task
    chosen = own if task in (None, own.name) else TaskConfig(name=str(task))
    root = data if data.is_dir() else data.parent
    return degraded_set(files, root, model.resolution, chosen, seed)


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print how figures came about, the table, and which figures are missing why."""
    from ugpnet_core.reports.table import methods_table, with_interval

    console.print("Protocol")
    for subject, words in evaluation.protocol.items():
        console.print(f"  {subject}: {plain(words)}", soft_wrap=True)
    console.print(_in_terminal(methods_table(evaluation)))
    metrics = {metric.key: metric for metric in evaluation.metrics}
    for each in evaluation.differences:
        metric = metrics[each.metric]
        console.print(
            f"{metric.title} of {each.method} - {each.reference}, paired: "
            f"{with_interval(each.figure, metric.digits, signed=True)}",
            soft_wrap=True,
        )
    reasons: dict[str, list[str]] = {}
    for metric in evaluation.metrics:
        if metric.missing:
            reasons.setdefault(metric.missing, []).append(metric.title)
    for reason, titles in reasons.items():
        console.print(f"{' and '.join(titles)} not computed: {plain(reason)}", soft_wrap=True)


def _in_terminal(table: Table) -> rich.table.Table:
    from ugpnet_core.reports.table import Number, with_interval

    shown = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    shown.add_column(table.head)
    for column in table.columns:
        title = f"{column.title}, {column.better} is better" if column.better else column.title
        shown.add_column(title, justify="right", overflow="fold")
    for row in table.rows:
        cells = (
            with_interval(cell.figure, cell.digits, signed=row.signed)
            if isinstance(cell, Number)
            else cell
            for cell in row.cells
        )
        shown.add_row(row.name, *cells)
    return shown


def print_problems(evaluation: Evaluation) -> None:
    """Print what was left out, and what was found in methods, on stderr.

    Raises:
        typer.Exit: with status 1, where there was something.
    """
    errors = _errors()
    for each in evaluation.findings:
        where = f" ({plain(each.file)})" if each.file else ""
        errors.print(f"{plain(each.method)} {plain(each.reason)}{where}", soft_wrap=True)
    for each in evaluation.problems:
        what = f"{each.method} on {each.file}" if each.method and each.file else ""
        what = what or each.method or each.file
        errors.print(f"left out {plain(what)}: {plain(each.reason)}", soft_wrap=True)
    if evaluation.problems:
        raise typer.Exit(1)


def _errors() -> Console:
    return Console(stderr=True, markup=False, highlight=False, emoji=False)
