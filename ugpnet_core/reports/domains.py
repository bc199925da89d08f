"""What becomes of a model out of the domain of its prior, in words and as JSON."""

from __future__ import annotations

from typing import Any

from ugpnet_core.evaluation.results import Domain, Figure, OutOfDomain
from ugpnet_core.reports.files import finite
from ugpnet_core.reports.table import DECIBELS, with_interval


def conclusion(study: OutOfDomain) -> str:
    """How much more x_hat gains over x_syn out of the domain, in sentences."""
    inside, outside, more = study.inside, study.outside, study.more_gain
    regression, synthesis, restored = inside.psnr
    if more.low is None or more.high is None or more.low <= 0 <= more.high:
        said = "which these photographs cannot tell from none"
    elif more.low > 0:
        said = f"so that {restored} does not follow {synthesis} where that fails"
    else:
        said = f"as there is less to gain where {synthesis} fails less"

    def on_both(here: Figure, there: Figure, behind: str = "") -> str:
        words = f" behind {behind}" if behind else ""
        return (
            f"{_decibels(here)}{words} on {inside.title} and {_decibels(there)} on {outside.title}"
        )

    return (
        f"Over {synthesis}, {restored} gains {on_both(inside.gain, outside.gain)}, a difference of "
        f"{_decibels(more)}, {said}. {synthesis} is "
        f"{on_both(inside.behind, outside.behind, regression)}; {restored} is "
        f"{on_both(inside.loss, outside.loss, regression)}."
    )


def domain_record(study: OutOfDomain) -> dict[str, Any]:
    """A model on two sets, as JSON can hold it."""
    return {
        "task": study.task,
        "methods": list(study.drops),
        "inside": _domain(study.inside),
        "outside": _domain(study.outside),
        "more_gain": _figure(study.more_gain),
        "drops": {name: _figure(figure) for name, figure in study.drops.items()},
    }


def _domain(domain: Domain) -> dict[str, Any]:
    return {
        "title": domain.title,
        "count": domain.count,
        "psnr": {name: _figure(figure) for name, figure in domain.psnr.items()},
        "gain": _figure(domain.gain),
        "behind": _figure(domain.behind),
        "loss": _figure(domain.loss),
    }


def _figure(figure: Figure) -> dict[str, Any]:
    interval = None if figure.low is None else [figure.low, figure.high]
    return {"value": finite(figure.value), "interval": interval}


def _decibels(figure: Figure) -> str:
    return f"{with_interval(figure, DECIBELS)} dB"
