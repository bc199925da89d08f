"""The perception-distortion curve: from x_hat to x_reg, one against the other.

    x(t) = (1 - t) x_hat + t x_reg        t in [0, 1], ``--fidelity`` of ``ugpnet restore``

Blau, Michaeli: The Perception-Distortion Tradeoff, CVPR 2018: no restoration is best in both, and
a model that can be steered draws a curve.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ugpnet_core.atomic import write_whole
from ugpnet_core.errors import ConfigError, DependencyError
from ugpnet_core.evaluation.results import Evaluation
from ugpnet_core.metrics.metric import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Curves = Mapping[str, Mapping[str, float]]
"""By what a model is called: t by the name of its row, in the order of t."""

_COLOURS, _ENDS = ("#1f5a91", "#15803d", "#7c3aed", "#92400e"), "#c2410c"
_ENDS_NAMED = {0.0: r"$\hat{x}$  (t = 0)", 1.0: r"$x_{reg}$  (t = 1)"}
MOST_LABELS = 5
_PANEL = (4.6, 3.9)  # inches


def check_curve(metrics: Sequence[Metric]) -> None:
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
            "'pip install ugpnet-core[figures]', or set figures to null."
        ) from error
    if not any(metric.better == "lower" and not metric.missing for metric in metrics):
        raise ConfigError(
            "The curve needs LPIPS or a Fréchet distance; give perceptual_weights or inception, or "
            "set figures to null."
        )


def plot_curves(evaluation: Evaluation, curves: Curves, paths: Sequence[Path]) -> None:
    """Draw models' curves, one panel for each metric of perception, and write them in the formats
    that the suffixes say (.png, .svg, .pdf). Nothing is written where every model failed.

    Intervals stand in the tables: they tell how photographs differ, while the curve is of the same
    photographs everywhere.

    Raises:
        DependencyError, ConfigError: as :func:`check_curve`.
    """
    check_curve(evaluation.metrics)
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    known = {
        name: rows
        for name, rows in curves.items()
        if all(evaluation.method(row).figures for row in rows)
    }
    metrics = [each for each in evaluation.metrics if each.better == "lower" and not each.missing]
    width, height = _PANEL
    # Neither the time nor random names in the file: the same numbers give the same bytes.
    with mpl.rc_context({"svg.hashsalt": "ugpnet", "svg.fonttype": "none"}):
        canvas = Canvas(figsize=(width * len(metrics), height), layout="constrained")
        panels = canvas.subplots(1, len(metrics), squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            for index, (name, rows) in enumerate(known.items()):
                _draw(axes, evaluation, rows, metric, _COLOURS[index % len(_COLOURS)], name)
            _finish(axes, metric, len(known) > 1)
        for path in paths if known else ():
            write_whole(path, _rendered(canvas, path.suffix.removeprefix(".")))


def _rendered(canvas: Canvas, format: str) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Date": None} if format == "svg" else None
    canvas.savefig(buffer, format=format, dpi=160, metadata=metadata)
    return buffer.getvalue()


def _draw(
    axes: Axes,
    evaluation: Evaluation,
    rows: Mapping[str, float],
    metric: Metric,
    colour: str,
    label: str,
) -> None:
    figures = [evaluation.method(row).figures for row in rows]
    # A set of one image may have no distance.
    points = [
        (each["psnr"].value, each[metric.key].value) for each in figures if metric.key in each
    ]
    if len(points) < len(figures):
        return
    axes.plot(
        *zip(*points, strict=True), "-o", color=colour, markersize=4, linewidth=1.5, label=label
    )
    every = -(-len(points) // MOST_LABELS)
    for index, (fidelity, point) in enumerate(zip(rows.values(), points, strict=True)):
        name = _ENDS_NAMED.get(fidelity)
        if name is not None:
            axes.plot(*point, "o", color=_ENDS, markersize=7)
        elif index % every:
            continue
        axes.annotate(
            name or f"{fidelity:g}",
            point,
            xytext=(0, 9) if fidelity == 0 else (-6, 5),
            textcoords="offset points",
            horizontalalignment="center" if fidelity == 0 else "right",
            fontsize=9 if name else 8,
            color=_ENDS if name else "#444444",
        )


def _finish(axes: Axes, metric: Metric, named: bool) -> None:
    axes.set_xlabel("PSNR (dB)\nhigher is closer to the photograph", fontsize=9)
    axes.set_ylabel(f"{metric.title}\nlower is better", fontsize=9)
    axes.margins(0.2)
    axes.grid(alpha=0.25, linewidth=0.6)
    if named:
        axes.legend(fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
