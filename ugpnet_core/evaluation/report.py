"""What an evaluation is shown as: a table, a CSV file per image, a JSON summary."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ugpnet_core.config import PerceptualConfig
from ugpnet_core.evaluation.evaluate import Evaluation, versions
from ugpnet_core.losses.perceptual import describe
from ugpnet_core.weights import write_whole

if TYPE_CHECKING:
    from rich.table import Table

NOT_COMPUTED = "not computed"
DIGITS = {"psnr": 2, "ssim": 4, "lpips": 4, "frechet": 1}
BETTER = {"psnr": "up", "ssim": "up", "lpips": "down", "frechet": "down"}


def metric_titles(perceptual: PerceptualConfig | None) -> dict[str, str]:
    """What the figures are called, by their keys."""
    names = describe(perceptual) if perceptual else None
    return {
        "psnr": "PSNR (dB)",
        "ssim": "SSIM",
        "lpips": names.lpips if names else "LPIPS",
        "frechet": names.frechet if names else "Fréchet distance",
    }


def summary_table(evaluation: Evaluation, perceptual: PerceptualConfig | None) -> Table:
    """One row per set of images, one column per figure."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("images")
    titles = metric_titles(perceptual)
    for metric, title in titles.items():
        table.add_column(
            f"{title}, {'higher' if BETTER[metric] == 'up' else 'lower'} is better",
            justify="right",
            overflow="fold",
        )
    for name, figures in evaluation.figures.items():
        cells = [_cell(figures[metric], DIGITS[metric]) for metric in titles]
        table.add_row(name, *cells)
    return table


def write_csv(evaluation: Evaluation, path: Path) -> None:
    """Write one row per photograph: file, then SET_psnr, SET_ssim, SET_lpips; empty if missing."""
    sets = list(evaluation.figures)
    metrics = list(evaluation.images[0][1][sets[0]])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", *(f"{_key(name)}_{metric}" for name in sets for metric in metrics)])
    for file, row in evaluation.images:
        values = (row[name][metric] for name in sets for metric in metrics)
        writer.writerow([file, *("" if value is None else f"{value:.6g}" for value in values)])
    write_whole(path, text.getvalue().encode("utf-8", "surrogateescape"))


def write_json(
    evaluation: Evaluation,
    path: Path,
    *,
    model: str,
    task: str,
    seed: int,
    perceptual: PerceptualConfig | None,
) -> None:
    """Write the summary: figures, protocol, versions, and what went wrong.

    Infinite figures (equal images) are written as null, since JSON has no infinity.
    """
    ratio = evaluation.frechet_ratio()
    summary: dict[str, Any] = {
        "model": model,
        "task": task,
        "seed": seed,
        "count": len(evaluation.images),
        "metrics": metric_titles(perceptual),
        "figures": {
            _key(name): {metric: _finite(value) for metric, value in figures.items()}
            for name, figures in evaluation.figures.items()
        },
        "frechet_x_hat_over_x_reg": _finite(ratio),
        "non_local_means_strength": evaluation.strength,
        "protocol": evaluation.protocol,
        "versions": versions(),
        "problems": [{"file": file, "reason": reason} for file, reason in evaluation.problems],
    }
    write_whole(path, (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode())


def _cell(value: float | None, digits: int) -> str:
    return NOT_COMPUTED if value is None else f"{value:.{digits}f}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _key(name: str) -> str:
    return name.replace("-", "_").replace(" ", "_")
