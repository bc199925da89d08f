"""What a fidelity sweep is written as: CSV and JSON with every number, and the curve as a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ugpnet_core.checkpoints.state_dict import write_whole
from ugpnet_core.errors import ConfigError, DependencyError
from ugpnet_core.metrics.metric import Metric
from ugpnet_core.reports.files import as_json, as_record, finite, versions
from ugpnet_core.studies.fidelity import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_LINE, _ENDS = "#1f5a91", "#c2410c"
_ENDS_NAMED = {0.0: r"$\hat{x}$  (t = 0)", 1.0: r"$x_{reg}$  (t = 1)"}
MOST_LABELS = 5
_PANEL = (4.6, 3.9)  # inches


def write_sweep_csv(sweep: Sweep, path: Path) -> None:
    """Write one row per fidelity: t, then each figure and the ends of its interval."""
    metrics = _computed(sweep)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    parts = ("", "_low", "_high")
    writer.writerow(["fidelity", *(metric.key + part for metric in metrics for part in parts)])
    for point in sweep.points:
        row = [f"{point.fidelity:g}"]
        for metric in metrics:
            figure = point.figures.get(metric.key)
            ends = (None, None, None) if figure is None else (figure.value, figure.low, figure.high)
            row += ["" if value is None else repr(value) for value in ends]
        writer.writerow(row)
    write_whole(path, text.getvalue().encode())


def write_sweep_json(sweep: Sweep, path: Path, *, model: str, seed: int) -> None:
    """Write the curve, the whole evaluation behind it, and the versions of libraries.

    Infinite figures (equal images) are written as null, since JSON has no infinity.
    """
    content: dict[str, Any] = {
        "model": model,
        "task": sweep.evaluation.title,
        "seed": seed,
        "formula": "x(t) = (1 - t) x_hat + t x_reg, before clamping to [0, 1]",
        "curve": [
            {
                "fidelity": point.fidelity,
                "figures": {key: finite(figure.value) for key, figure in point.figures.items()},
                "intervals": {
                    key: None if figure.low is None else [figure.low, figure.high]
                    for key, figure in point.figures.items()
                },
            }
            for point in sweep.points
        ],
    }
    write_whole(path, as_json(content | as_record(sweep.evaluation) | {"versions": versions()}))


def check_plot(metrics: Sequence[Metric]) -> None:
    """Make sure that a curve of these metrics can be drawn.

    Raises:
        DependencyError: matplotlib is not installed.
        ConfigError: no metric of perception is computed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            "The curve is drawn by matplotlib, which is not installed; run "
            "'pip install ugpnet-core[figures]'."
        ) from error
    if not any(metric.better == "lower" and not metric.missing for metric in metrics):
        raise ConfigError(
            "The curve needs LPIPS or a Fréchet distance; give --perceptual-weights or --inception."
        )


def plot_sweep(sweep: Sweep, paths: list[Path]) -> None:
    """Draw the perception-distortion curve, one panel for each metric of perception, and write it
    in the formats that the suffixes say (.png, .svg, .pdf).

    Intervals stand in the other files: they tell how photographs differ, while the curve is of the
    same photographs everywhere.

    Raises:
        DependencyError, ConfigError: as :func:`check_plot`.
    """
    check_plot(sweep.evaluation.metrics)
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    metrics = sweep.perception()
    width, height = _PANEL
    # Neither the time nor random names in the file: the same numbers give the same bytes.
    with mpl.rc_context({"svg.hashsalt": "ugpnet", "svg.fonttype": "none"}):
        canvas = Canvas(figsize=(width * len(metrics), height), layout="constrained")
        panels = canvas.subplots(1, len(metrics), squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            _draw(axes, sweep, metric)
        for path in paths:
            write_whole(path, _rendered(canvas, path.suffix.removeprefix(".")))


def _rendered(canvas: Canvas, format: str) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Date": None} if format == "svg" else None
    canvas.savefig(buffer, format=format, dpi=160, metadata=metadata)
    return buffer.getvalue()


def _draw(axes: Axes, sweep: Sweep, metric: Metric) -> None:
    x = [point.figures["psnr"].value for point in sweep.points]
    y = [point.figures[metric.key].value for point in sweep.points]
    axes.plot(x, y, "-o", color=_LINE, markersize=4, linewidth=1.5)
    every = -(-len(x) // MOST_LABELS)
    for index, point in enumerate(sweep.points):
        name = _ENDS_NAMED.get(point.fidelity)
        if name is not None:
            axes.plot(x[index], y[index], "o", color=_ENDS, markersize=7)
        elif index % every:
            continue
        axes.annotate(
            name or f"{point.fidelity:g}",
            (x[index], y[index]),
            xytext=(0, 9) if point.fidelity == 0 else (-6, 5),
            textcoords="offset points",
            horizontalalignment="center" if point.fidelity == 0 else "right",
            fontsize=9 if name else 8,
            color=_ENDS if name else "#444444",
        )
    axes.set_xlabel("PSNR (dB)\nhigher is closer to the photograph", fontsize=9)
    axes.set_ylabel(f"{metric.title}\nlower is better", fontsize=9)
    axes.margins(0.2)
    axes.grid(alpha=0.25, linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _computed(sweep: Sweep) -> list[Metric]:
    return [
        metric
        for metric in sweep.evaluation.metrics
        if any(metric.key in point.figures for point in sweep.points)
    ]
