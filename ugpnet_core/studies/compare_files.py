"""A comparison with everything that it leaves on the disk: tables, numbers, figures, a report."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor

from ugpnet_core.errors import ConfigError
from ugpnet_core.evaluation.measure import Keep, Progress
from ugpnet_core.evaluation.photographs import Sample, TestSet
from ugpnet_core.evaluation.results import Comparison
from ugpnet_core.evaluation.store import Store
from ugpnet_core.metrics.networks import MetricNetworks
from ugpnet_core.reports.curve import check_curve, plot_curves
from ugpnet_core.reports.figure_files import Sheet, figures_of
from ugpnet_core.reports.figure_settings import FiguresConfig
from ugpnet_core.reports.html import HtmlReport
from ugpnet_core.reports.table_files import write_comparison
from ugpnet_core.studies.compare import KeepOf, compare
from ugpnet_core.studies.result_names import folder_name
from ugpnet_core.studies.settings import CompareConfig

UNFINISHED = "unfinished.sqlite"


def compare_into_folder(
    config: CompareConfig,
    networks: MetricNetworks,
    device: torch.device,
    *,
    report: Path | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compare, and write the output folder: table.md, table.tex, table.csv, per-image.csv,
    results.json, and figures/TASK/PHOTOGRAPH.png; figures/TASK/curve.png and .svg where methods
    have several fidelities, and figures/TASK.png where there are several sets of photographs.

    A comparison that was stopped, or in which something failed, leaves unfinished.sqlite there,
    and begins where that ends.

    Args:
        report: a folder for an HTML report as well.

    Raises:
        ConfigError: the output folder is a file, or there is no figure to draw a curve of.
        DependencyError: a curve is to be drawn without matplotlib.
        UGPNetError: otherwise as :func:`compare`.
    """
    if config.output.exists() and not config.output.is_dir():
        raise ConfigError(f"output {config.output} is a file; name a folder.")
    figures = None if config.figures is None else _Figures(config, config.figures, networks)
    keep: list[KeepOf] = [] if figures is None else [figures.of]
    with ExitStack() as stack:
        page = (
            stack.enter_context(HtmlReport(report, config.name, input_folders(config)))
            if report
            else None
        )
        if page is not None:
            keep.append(lambda title, test_set: page.pictures(title))
        store = Store(config.output / UNFINISHED)
        try:
            comparison = compare(
                config,
                networks=networks,
                device=device,
                keep=keep,
                progress=progress,
                store=store,
            )
        finally:
            store.close()
        if page is not None:
            page.finish(comparison)
    write_comparison(comparison, config.output)
    if figures is not None:
        figures.finish(comparison)
    # Where something has failed, the command is given again once that is mended.
    if not any(each.problems for each in comparison.evaluations):
        store.delete()
    return comparison


def input_folders(config: CompareConfig) -> list[Path]:
    """The folders that nothing may be written into."""
    pairs = [task.pairs for task in config.tasks if task.pairs is not None]
    return [
        *(folder for folders in config.data.sets.values() for folder in folders),
        *(folder for each in pairs for folder in (each.clean, each.degraded)),
        *(task.real.degraded for task in config.tasks if task.real is not None),
        *(folder for _, folder, _ in config.results()),
    ]


class _Figures:
    """The pictures of a comparison: photographs one by one and on a sheet, and curves.

    Raises:
        ConfigError, DependencyError: (on making) as :func:`check_curve`, where there are curves.
    """

    def __init__(
        self, config: CompareConfig, settings: FiguresConfig, networks: MetricNetworks
    ) -> None:
        if any(config.curves_for(task) for task in config.tasks):
            check_curve(networks.metrics)
        self.config = config
        self.settings = settings
        self.folder = config.output / "figures"
        self.tables = {table.title: table for table in config.tables()}
        self.sheets = {
            table.task.shown_title: Sheet(settings)
            for table in self.tables.values()
            if table.data_set
        }

    def of(self, title: str, test_set: TestSet) -> Keep:
        """What takes the images of a table."""
        table = self.tables[title]
        takers = [figures_of(test_set, self.settings, self.folder / folder_name(title))]
        if table.data_set:
            takers.append(self.sheets[table.task.shown_title].of(table.data_set, test_set))

        def take(sample: Sample, images: Mapping[str, Tensor]) -> None:
            for taker in takers:
                taker(sample, images)

        return take

    def finish(self, comparison: Comparison) -> None:
        """Write what needs more than one photograph."""
        for title, sheet in self.sheets.items():
            sheet.write(self.folder / f"{folder_name(title)}.png")
        for evaluation in comparison.evaluations:
            curves = self.config.curves_for(self.tables[evaluation.title].task)
            place = self.folder / folder_name(evaluation.title) / "curve"
            if curves:
                plot_curves(
                    evaluation, curves, [place.with_suffix(f".{k}") for k in ("png", "svg")]
                )
