"""Made-up evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ugpnet_core.evaluation.photographs import Sample
from ugpnet_core.evaluation.results import (
    Cost,
    Difference,
    Evaluation,
    Figure,
    ImageResult,
    MethodKind,
    MethodResult,
    Problem,
)
from ugpnet_core.metrics.metric import Metric
from ugpnet_core.reports.html import HtmlReport

METRICS = (
    Metric("psnr", "PSNR (dB)", "higher", 2),
    Metric("lpips", "LPIPS (a network with a long name)", "lower", 4),
    Metric("frechet", "FD", "lower", 1, per_image=False),
    Metric("fid", "FID", "lower", 1, per_image=False, missing="no weights <here>."),
)
KINDS: dict[str, MethodKind] = {
    "degraded": "degraded",
    "x_reg": "regression",
    "x_syn": "synthesis",
    "x_hat": "ugpnet",
}
# Flat colours, by which pictures are told from each other on screenshots.
COLOURS = {
    "clean": (0, 255, 0),
    "degraded": (255, 0, 0),
    "x_reg": (255, 255, 0),
    "x_syn": (255, 0, 255),
    "x_hat": (0, 0, 255),
}


@dataclass
class Made:
    """An evaluation, and the images that it is about, in the order of its photographs."""

    evaluation: Evaluation
    images: list[dict[str, Tensor]]

    def keep(self, report: HtmlReport) -> None:
        """Give all images to a report."""
        pictures = report.pictures(self.evaluation.title)
        for result, images in zip(self.evaluation.images, self.images, strict=True):
            pictures(Sample(result.name, images["clean"], images["clean"]), images)

    def write(self, folder: Path, title: str = "a model") -> Path:
        """Write a report; its first page."""
        with HtmlReport(folder, title) as report:
            self.keep(report)
            report.finish(self.evaluation)
        return folder / "index.html"


def flat(colour: Sequence[int], side: int) -> Tensor:
    return (torch.tensor(colour).float() / 255)[:, None, None].expand(3, side, side)


def make(
    names: Sequence[str],
    *,
    title: str = "denoise",
    methods: Sequence[str] = tuple(KINDS),
    side: int = 16,
    seed: int = 0,
) -> Made:
    """Random figures; pictures in flat colours."""
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.rand(len(names), len(methods), 2, generator=rng).double()
    figures = [
        {
            method: {"psnr": float(20 + 10 * drawn[i, j, 0]), "lpips": float(drawn[i, j, 1])}
            for j, method in enumerate(methods)
        }
        for i in range(len(names))
    ]
    results = []
    for method in methods:
        means = {
            key: math.fsum(row[method][key] for row in figures) / len(names)
            for key in ("psnr", "lpips")
        }
        found = {key: Figure(mean, mean - 0.5, mean + 0.5) for key, mean in means.items()}
        found["frechet"] = Figure(100.0 + len(method))
        cost = Cost(12_345_678, 45_600_000_000, 0.0123, 3 * 2**20, side)
        kind = KINDS.get(method, "network")
        results.append(MethodResult(method, kind, kind, found, cost))
    differences = [
        Difference("x_hat", "x_reg", metric, Figure(-0.5, -0.75, -0.25))
        for metric in ("psnr", "lpips")
        if {"x_hat", "x_reg"} <= set(methods)
    ]
    evaluation = Evaluation(
        title=title,
        task=title,
        methods=tuple(results),
        metrics=METRICS,
        images=tuple(ImageResult(*pair) for pair in zip(names, figures, strict=True)),
        protocol={"photographs": "made up & <small>", "PSNR": "of nothing"},
        problems=(Problem("broken <file>.png", "is damaged; replace it."),),
        differences=tuple(differences),
    )
    shown = ["clean", *methods]
    images = {name: flat(COLOURS.get(name, (90, 90, 90)), side) for name in shown}
    return Made(evaluation, [images] * len(names))


@pytest.fixture(scope="session")
def made() -> Callable[..., Made]:
    """A function that makes an evaluation of photographs of the names that it gets."""
    return make
