"""What an evaluation is for programs: a CSV file per image, a JSON summary."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ugpnet_core.atomic import write_whole
from ugpnet_core.evaluation.results import Evaluation, Figure

VERSIONS_OF = ("ugpnet-core", "torch", "torchvision", "lpips", "opencv-python")


def write_csv(evaluation: Evaluation, path: Path) -> None:
    """Write one row per photograph: file, then METHOD_psnr, METHOD_ssim, ...; empty if missing."""
    columns = [
        (method.name, metric.key)
        for method in evaluation.methods
        for metric in evaluation.metrics
        if metric.per_image
    ]
    rows = [
        [image.name, *(image.figures.get(name, {}).get(metric) for name, metric in columns)]
        for image in evaluation.images
    ]
    head = ["file", *(f"{as_key(name)}_{metric}" for name, metric in columns)]
    write_whole(path, as_csv(head, rows, digits=6))


def summary_of(
    evaluation: Evaluation, *, model: str, seed: int, more: Mapping[str, Any]
) -> dict[str, Any]:
    """Figures, intervals, protocol, versions, and what went wrong, as JSON can hold them.

    Infinite figures (equal images) are None, since JSON has no infinity.

    Args:
        more: further keys.
    """
    summary = {"model": model, "task": evaluation.title, "seed": seed, **more}
    return summary | as_record(evaluation) | {"versions": versions()}


def write_json(record: Mapping[str, Any], path: Path) -> None:
    """Write a record as JSON."""
    write_whole(path, as_json(record))


def as_csv(head: Sequence[str], rows: Iterable[Sequence[object]], digits: int = 8) -> bytes:
    """CSV whose numbers have so many significant digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        writer.writerow([f"{v:.{digits}g}" if isinstance(v, float) else v for v in row])
    return text.getvalue().encode("utf-8", "surrogateescape")


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
        "findings": [
            {"file": each.file, "finding": each.reason, "method": each.method}
            for each in evaluation.findings
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
