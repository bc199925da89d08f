"""A comparison with everything that it leaves on the disk: tables, numbers, figures, a report."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import torch

from ugpnet_core.errors import ConfigError
from ugpnet_core.evaluation.measure import Keep, Progress
from ugpnet_core.evaluation.photographs import TestSet
from ugpnet_core.evaluation.results import Comparison
from ugpnet_core.metrics.networks import MetricNetworks
from ugpnet_core.reports.figure_files import figures_of
from ugpnet_core.reports.figure_settings import FiguresConfig
from ugpnet_core.reports.html import HtmlReport
from ugpnet_core.reports.table_files import write_comparison
from ugpnet_core.studies.compare import KeepOf, compare
from ugpnet_core.studies.settings import CompareConfig


def compare_into_folder(
    config: CompareConfig,
    networks: MetricNetworks,
    device: torch.device,
    *,
    report: Path | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compare, and write the output folder: table.md, table.tex, table.csv, per-image.csv,
    results.json, and figures/TASK/PHOTOGRAPH.png.

    Args:
        report: a folder for an HTML report as well.

    Raises:
        ConfigError: the output folder is a file; otherwise as :func:`compare`.
    """
    if config.output.exists() and not config.output.is_dir():
        raise ConfigError(f"output {config.output} is a file; name a folder.")
    keep: list[KeepOf] = []
    if config.figures is not None:
        keep.append(_figures(config.figures, config.output / "figures"))
    with ExitStack() as stack:
        page = (
            stack.enter_context(HtmlReport(report, config.name, _inputs(config)))
            if report
            else None
        )
        if page is not None:
            keep.append(lambda title, test_set: page.pictures(title))
        comparison = compare(config, networks=networks, device=device, keep=keep, progress=progress)
        if page is not None:
            page.finish(comparison)
    write_comparison(comparison, config.output)
    return comparison


def _inputs(config: CompareConfig) -> list[Path]:
    """The folders that nothing may be written into."""
    pairs = [task.pairs for task in config.tasks if task.pairs is not None]
    return [
        *config.data.photographs,
        *(folder for each in pairs for folder in (each.clean, each.degraded)),
    ]


def _figures(config: FiguresConfig, folder: Path) -> KeepOf:
    def figures(title: str, test_set: TestSet) -> Keep:
        return figures_of(test_set, config, folder / folder_name(title))

    return figures


def folder_name(title: str) -> str:
    """A task's title as the name of a folder."""
    return re.sub(r"[^\w.+-]+", "-", title).strip(".-") or "task"
