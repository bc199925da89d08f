"""What an evaluation is shown as: a table, a CSV file per image, a JSON summary."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ugpnet_core.checkpoints.state_dict import write_whole
from ugpnet_core.evaluation.results import Evaluation, Figure
from ugpnet_core.metrics.metric import Metric

if TYPE_CHECKING:
    from rich.table import Table

NOT_COMPUTED = "not computed"
VERSIONS_OF = ("ugpnet-core", "torch", "torchvision", "torchmetrics", "lpips", "opencv-python")


def summary_table(evaluation: Evaluation) -> Table:
    """One row per method, one column per figure that was computed, each with its interval."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("images")
    metrics = [metric for metric in evaluation.metrics if not metric.missing]
    for metric in metrics:
        table.add_column(
            f"{metric.title}, {metric.better} is better", justify="right", overflow="fold"
        )
    for method in evaluation.methods:
        cells = [with_interval(method.figures.get(metric.key), metric) for metric in metrics]
        table.add_row(method.name, *cells)
    return table


def with_interval(figure: Figure | None, metric: Metric) -> str:
    """A figure as text: "28.31 [27.90, 28.72]"."""
    if figure is None:
        return NOT_COMPUTED
    text = shown(figure.value, metric)
    if figure.low is None or figure.high is None:
        return text
    return f"{text} [{shown(figure.low, metric)}, {shown(figure.high, metric)}]"


def shown(value: float, metric: Metric) -> str:
    """A number with the metric's digits."""
    return f"{value:.{metric.digits}f}"


def write_csv(evaluation: Evaluation, path: Path) -> None:
    """Write one row per photograph: file, then METHOD_psnr, METHOD_ssim, ...; empty if missing."""
    columns = [
        (method.name, metric.key)
        for method in evaluation.methods
        for metric in evaluation.metrics
        if metric.per_image
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", *(f"{as_key(name)}_{metric}" for name, metric in columns)])
    for image in evaluation.images:
        values = (image.figures.get(name, {}).get(metric) for name, metric in columns)
        writer.writerow([image.name, *("" if v is None else f"{v:.6g}" for v in values)])
    write_whole(path, text.getvalue().encode("utf-8", "surrogateescape"))


def write_json(
    evaluation: Evaluation, path: Path, *, model: str, seed: int, more: Mapping[str, Any]
) -> None:
    """Write the summary: figures, intervals, protocol, versions, and what went wrong.

    Infinite figures (equal images) are written as null, since JSON has no infinity.

    Args:
        more: further keys.
    """
    summary = {"model": model, "task": evaluation.title, "seed": seed, **more}
    write_whole(path, as_json(summary | as_record(evaluation) | {"versions": versions()}))


def as_record(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation without its images, as JSON can hold it."""
    keys = {metric.key: None for metric in evaluation.metrics}
    return {
        "count": len(evaluation.images),
        "metrics": {metric.key: metric.title for metric in evaluation.metrics},
        "better": {metric.key: metric.better for metric in evaluation.metrics},
        "not_computed": {
            metric.key: metric.missing for metric in evaluation.metrics if metric.missing
        },
        "figures": {
            as_key(method.name): keys
            | {key: finite(figure.value) for key, figure in method.figures.items()}
            for method in evaluation.methods
        },
        "intervals": {
            as_key(method.name): keys
            | {key: _interval(figure) for key, figure in method.figures.items()}
            for method in evaluation.methods
        },
        "differences": [
            {
                "method": each.method,
                "reference": each.reference,
                "metric": each.metric,
                "value": finite(each.figure.value),
                "interval": _interval(each.figure),
            }
            for each in evaluation.differences
        ],
        "methods": [
            {
                "key": as_key(method.name),
                "name": method.name,
                "kind": method.kind,
                "group": method.group,
                "failed": method.failed,
            }
            for method in evaluation.methods
        ],
        "tuned": dict(evaluation.tuned),
        "protocol": dict(evaluation.protocol),
        "problems": [
            {"file": each.file, "reason": each.reason, "method": each.method}
            for each in evaluation.problems
        ],
    }


def as_json(content: Any) -> bytes:
    """JSON for people and programs, with a newline at its end."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def finite(value: float | None) -> float | None:
    """The number, or None where JSON cannot hold it."""
    return value if value is not None and math.isfinite(value) else None


def _interval(figure: Figure) -> list[float] | None:
    ends = [end for end in (figure.low, figure.high) if end is not None and math.isfinite(end)]
    return ends if len(ends) == 2 else None


def as_key(name: str) -> str:
    """A method's name as a key of CSV and JSON: "non-local means" is non_local_means."""
    return name.replace("-", "_").replace(" ", "_")


def versions() -> dict[str, str]:
    """The versions of the libraries that a figure depends on."""
    found = {}
    for name in VERSIONS_OF:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
