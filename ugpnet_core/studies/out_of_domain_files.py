"""What the out-of-distribution study is written as: Markdown, JSON, and a sheet of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from ugpnet_core.checkpoints.state_dict import write_whole
from ugpnet_core.evaluation.methods import REGRESSION, RESTORED, SYNTHESIS
from ugpnet_core.evaluation.results import Figure
from ugpnet_core.image import write_image
from ugpnet_core.metrics.metric import Metric
from ugpnet_core.reports.crops import comparison_sheet
from ugpnet_core.reports.files import as_json, as_record, finite, versions, with_interval
from ugpnet_core.studies.out_of_domain import Domain, OutOfDomain

DECIBELS = Metric("psnr", "PSNR (dB)", "higher", 2)
METHODS = (REGRESSION, SYNTHESIS, RESTORED)


def study_markdown(study: OutOfDomain, model: str) -> str:
    """The numbers as a table, what they say, and how they came about."""
    domains = {"in domain": study.inside, "out of domain": study.outside}
    head = ["photographs", "number", *(f"PSNR({name})" for name in METHODS)]
    pairs = [(RESTORED, SYNTHESIS), (REGRESSION, SYNTHESIS), (REGRESSION, RESTORED)]
    head += [f"{method} - {reference}" for method, reference in pairs]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name, domain in domains.items():
        figures = [domain.evaluation.method(method).figures.get("psnr") for method in METHODS]
        cells = [_shown(figure) for figure in (*figures, domain.gain, domain.behind, domain.loss)]
        rows.append([name, str(len(domain.evaluation.images)), *cells])
    rows.append(["in - out", "", *(_shown(study.drops[name]) for name in METHODS), "", "", ""])
    lines = [f"# {model}: in and out of the domain of the prior", ""]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    lines += ["", f"{conclusion(study)} PSNR in dB, with intervals of 95 %.", "", "## Protocol", ""]
    for name, domain in domains.items():
        lines += [f"{name[0].upper()}{name[1:]}:", ""]
        lines += [f"- {subject}: {words}" for subject, words in domain.evaluation.protocol.items()]
        lines.append("")
    return "\n".join(lines)


def conclusion(study: OutOfDomain) -> str:
    """The study's number, in sentences."""
    inside, outside, more = study.inside, study.outside, study.more_gain
    if more.low is None or more.high is None or more.low <= 0 <= more.high:
        said = "which these photographs cannot tell from none"
    elif more.low > 0:
        said = f"so that {RESTORED} does not follow {SYNTHESIS} where that fails"
    else:
        said = f"as there is less to gain where {SYNTHESIS} fails less"
    return (
        f"Over {SYNTHESIS}, {RESTORED} gains {_shown(inside.gain)} dB in domain and "
        f"{_shown(outside.gain)} dB out of domain, a difference of {_shown(more)} dB, {said}. "
        f"{SYNTHESIS} is {_shown(inside.behind)} dB behind {REGRESSION} in domain and "
        f"{_shown(outside.behind)} dB out of domain; {RESTORED} is {_shown(inside.loss)} dB and "
        f"{_shown(outside.loss)} dB behind it."
    )


def write_study(study: OutOfDomain, folder: Path, *, model: str, seed: int) -> list[Path]:
    """Write out-of-domain.md, .json and .png; returns the paths."""
    paths = [folder / f"out-of-domain.{suffix}" for suffix in ("md", "json", "png")]
    write_whole(paths[0], study_markdown(study, model).encode("utf-8", "surrogateescape"))
    write_whole(paths[1], as_json(_record(study, model, seed)))
    write_image(paths[2], study_sheet(study))
    return paths


def study_sheet(study: OutOfDomain) -> Tensor:
    """Pictures of both folders, one photograph a row, RGB (3, H, W) in [0, 1]."""
    titles, rows = [], []
    for name, domain in (("in domain", study.inside), ("out of domain", study.outside)):
        for file, pictures in domain.pictures.items():
            titles.append(f"{name}: {file}")
            rows.append(pictures)
    return comparison_sheet(rows, titles=titles)


def _record(study: OutOfDomain, model: str, seed: int) -> dict[str, Any]:
    return {
        "model": model,
        "task": study.inside.evaluation.title,
        "seed": seed,
        "more_gain_out_of_domain": _figure(study.more_gain),
        "psnr_in_minus_out": {name: _figure(figure) for name, figure in study.drops.items()},
        "in_domain": _domain(study.inside),
        "out_of_domain": _domain(study.outside),
        "versions": versions(),
    }


def _domain(domain: Domain) -> dict[str, Any]:
    return {
        "psnr_x_hat_minus_x_syn": _figure(domain.gain),
        "psnr_x_reg_minus_x_syn": _figure(domain.behind),
        "psnr_x_reg_minus_x_hat": _figure(domain.loss),
        **as_record(domain.evaluation),
        "images": [
            {"name": image.name}
            | {
                method: {key: finite(value) for key, value in figures.items()}
                for method, figures in image.figures.items()
            }
            for image in domain.evaluation.images
        ],
    }


def _figure(figure: Figure) -> dict[str, Any]:
    interval = None if figure.low is None else [figure.low, figure.high]
    return {"value": finite(figure.value), "interval": interval}


def _shown(figure: Figure | None) -> str:
    return with_interval(figure, DECIBELS)
