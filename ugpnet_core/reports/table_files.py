"""The files of a comparison: Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ugpnet_core.atomic import write_whole
from ugpnet_core.evaluation.results import Comparison, Cost, Evaluation
from ugpnet_core.reports.domains import domain_record
from ugpnet_core.reports.files import as_csv, as_json, as_key, as_record, versions
from ugpnet_core.reports.latex import latex
from ugpnet_core.reports.markdown import markdown

COST_KEYS = ("parameters", "macs", "seconds", "memory")


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """Write table.md, table.tex, table.csv, per-image.csv and results.json into a folder."""
    contents = {
        "table.md": markdown(comparison).encode(),
        "table.tex": latex(comparison).encode(),
        "table.csv": table_csv(comparison),
        "per-image.csv": per_image_csv(comparison),
        "results.json": as_json(comparison_record(comparison)),
    }
    for name, content in contents.items():
        write_whole(folder / name, content)
    return [folder / name for name in contents]


def table_csv(comparison: Comparison) -> bytes:
    """One row per task and method: every figure with the ends of its interval, and its cost."""
    keys = _metric_keys(comparison)
    head = ["task", "method", "kind", "class"]
    head += [f"{key}{end}" for key in keys for end in ("", "_low", "_high")]
    head += [*COST_KEYS, "side", "failed"]
    rows = []
    for evaluation in comparison.evaluations:
        for method in evaluation.methods:
            row: list[object] = [evaluation.title, method.name, method.kind, method.group]
            for key in keys:
                figure = method.figures.get(key)
                row += [None] * 3 if figure is None else [figure.value, figure.low, figure.high]
            cost = method.cost or Cost()
            row += [cost.parameters, cost.macs, cost.seconds, cost.memory, cost.side]
            rows.append([*row, method.failed])
    return as_csv(head, rows)


def per_image_csv(comparison: Comparison) -> bytes:
    """One row per task, photograph and method."""
    keys = _metric_keys(comparison, per_image=True)
    rows = [
        [evaluation.title, image.name, name, *(figures.get(key) for key in keys)]
        for evaluation in comparison.evaluations
        for image in evaluation.images
        for name, figures in image.figures.items()
    ]
    return as_csv(["task", "file", "method", *keys], rows)


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """A comparison without its images, as JSON can hold it."""
    return {
        "name": comparison.name,
        "settings": dict(comparison.settings),
        "tasks": [
            {"task": evaluation.title, **as_record(evaluation), "costs": _costs(evaluation)}
            for evaluation in comparison.evaluations
        ],
        "domains": [domain_record(each) for each in comparison.domains],
        "versions": versions(),
    }


def _costs(evaluation: Evaluation) -> dict[str, Any]:
    return {
        as_key(method.name): {key: getattr(method.cost, key) for key in COST_KEYS}
        | {"side": method.cost.side, "note": method.cost.note}
        for method in evaluation.methods
        if method.cost is not None
    }


def _metric_keys(comparison: Comparison, per_image: bool = False) -> list[str]:
    return list(
        dict.fromkeys(
            metric.key
            for evaluation in comparison.evaluations
            for metric in evaluation.metrics
            if metric.per_image or not per_image
        )
    )
