"""The fidelity sweep: from x_hat to x_reg, distortion against perception.

    x(t) = (1 - t) x_hat + t x_reg        t in [0, 1], ``--fidelity`` of ``ugpnet restore``

Blau, Michaeli: The Perception-Distortion Tradeoff, CVPR 2018: no restoration is best in both, and
a model that can be steered draws a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ugpnet_core.errors import ConfigError
from ugpnet_core.evaluation.measure import Progress, measure_methods
from ugpnet_core.evaluation.methods import PartNames, UGPNetRunner
from ugpnet_core.evaluation.photographs import TestSet, check_scale
from ugpnet_core.evaluation.results import Evaluation, Figure
from ugpnet_core.metrics.metric import Metric

if TYPE_CHECKING:
    from ugpnet_core.metrics.networks import MetricNetworks
    from ugpnet_core.networks.ugpnet import UGPNet

TENTHS = tuple(step / 10 for step in range(11))


@dataclass(frozen=True)
class Point:
    """One fidelity, measured.

    Attributes:
        fidelity: t.
        method: what the evaluation calls x(t).
        figures: by the key of the metric.
    """

    fidelity: float
    method: str
    figures: dict[str, Figure]


@dataclass(frozen=True)
class Sweep:
    """The curve, in the order of t, and the evaluation that it is from.

    Attributes:
        evaluation: x(t) for every t, as methods, and x_reg and x_syn.
        points: of the curve.
    """

    evaluation: Evaluation
    points: tuple[Point, ...]

    def perception(self) -> tuple[Metric, ...]:
        """The metrics that stand for perception: those in which lower is better."""
        return tuple(
            metric
            for metric in self.evaluation.metrics
            if metric.better == "lower"
            and all(metric.key in point.figures for point in self.points)
        )


def fidelity_sweep(
    model: UGPNet,
    test_set: TestSet,
    *,
    fidelities: Sequence[float] = TENTHS,
    networks: MetricNetworks | None = None,
    device: str | torch.device = "cpu",
    batch_size: int = 8,
    progress: Progress | None = None,
) -> Sweep:
    """Measure x(t) for several t; the network runs once for each photograph.

    Args:
        fidelities: values of t in [0, 1].

    Raises:
        ConfigError: a fidelity lies outside or is given twice, or the set's task does not fit the
            model.
        ImageError: none of the files can be used.
    """
    if not fidelities or len(set(fidelities)) < len(fidelities):
        raise ConfigError("Give at least one fidelity, and none of them twice.")
    for value in fidelities:
        if not 0 <= value <= 1:
            raise ConfigError(f"{value:g} is no fidelity; give values from 0 (x_hat) to 1 (x_reg).")
    check_scale(test_set, model.scale, "the model")
    names = {f"fidelity {value:g}": value for value in sorted(fidelities)}
    if len(names) < len(fidelities):
        raise ConfigError("Two fidelities are the same in six digits; leave one of them out.")
    evaluation = measure_methods(
        [UGPNetRunner(model, PartNames(restored=names), device)],
        test_set,
        networks=networks,
        batch_size=batch_size,
        progress=progress,
    )
    points = tuple(
        Point(value, name, dict(evaluation.method(name).figures)) for name, value in names.items()
    )
    return Sweep(evaluation, points)
