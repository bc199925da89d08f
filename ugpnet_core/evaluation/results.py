"""What an evaluation found out, as data that tables, files, figures and the HTML report show.

Nothing here computes a figure, and nothing imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ugpnet_core.metrics.metric import Metric

MethodKind = Literal["degraded", "classical", "regression", "synthesis", "ugpnet", "network"]
"""``degraded``: the input, enlarged to the photograph's size; ``classical``: without learning;
``regression``, ``synthesis``, ``ugpnet``: x_reg, x_syn, x_hat; ``network``: anyone's."""


@dataclass(frozen=True)
class Figure:
    """A mean over images (or a set's distance) and the ends of its confidence interval.

    The ends are None where none can be told (one image, infinite figures). ``value`` may be
    infinite: the PSNR of equal images.
    """

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Cost:
    """What a method costs for one image (Table 2); None where it was not or cannot be measured.

    Attributes:
        parameters: how many numbers are trained.
        macs: multiply-accumulates.
        seconds: time of one image, median.
        memory: peak bytes beyond what was held before.
        side: of the restored image that this was measured for, pixels.
        note: what the figures do not say by themselves (shared network, why one is missing).
    """

    parameters: int | None = None
    macs: int | None = None
    seconds: float | None = None
    memory: int | None = None
    side: int | None = None
    note: str = ""


@dataclass(frozen=True)
class MethodResult:
    """A row of a table.

    Attributes:
        name: what it is called: "x_hat", "NAFNet", "non-local means".
        kind: what it is.
        group: methods that are compared with each other; the best of each group is marked.
        figures: by the key of the metric; one that was not computed is absent.
        cost: where it was measured.
        failed: why the method has no figures, in one sentence; empty where it has.
    """

    name: str
    kind: MethodKind
    group: str
    figures: Mapping[str, Figure]
    cost: Cost | None = None
    failed: str = ""


@dataclass(frozen=True)
class ImageResult:
    """The figures of one photograph.

    Attributes:
        name: of the file, relative to the folder of photographs, with "/".
        figures: by method and by key of a metric that is ``per_image``. A method that failed on
            this photograph is absent.
    """

    name: str
    figures: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Difference:
    """The mean of a metric's difference ``method - reference``, image by image (paired)."""

    method: str
    reference: str
    metric: str
    figure: Figure


@dataclass(frozen=True)
class Problem:
    """A file that was left out, or a method that failed on it (``method`` is not empty then)."""

    file: str
    reason: str
    method: str = ""


@dataclass(frozen=True)
class Evaluation:
    """Methods, measured on one set of photographs and one task.

    Attributes:
        title: what this is a table of, for people: "denoise".
        task: the task's name; empty for pairs that were degraded elsewhere.
        methods: rows, in the order to show; the first is the degraded images.
        metrics: columns, in the order to show.
        images: photographs, in the order of the files.
        protocol: how it was measured, in words, by subject.
        problems: what was left out, and why.
        findings: what is wrong with methods that have figures, for instance that they are others
            at every run.
        differences: paired, to the regression.
        tuned: settings of classical methods that were the best for this set, by method.
    """

    title: str
    task: str
    methods: tuple[MethodResult, ...]
    metrics: tuple[Metric, ...]
    images: tuple[ImageResult, ...]
    protocol: Mapping[str, str]
    problems: tuple[Problem, ...] = ()
    differences: tuple[Difference, ...] = ()
    tuned: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[Problem, ...] = ()

    def method(self, name: str) -> MethodResult:
        """The row of a method; KeyError where there is none."""
        for each in self.methods:
            if each.name == name:
                return each
        raise KeyError(name)

    def value(self, method: str, metric: str) -> float | None:
        """A figure without its interval; None where it was not computed."""
        figure = self.method(method).figures.get(metric)
        return None if figure is None else figure.value

    def image_values(self, method: str, metric: str) -> list[float | None]:
        """A method's figures of all photographs, in their order; None where it has none."""
        return [image.figures.get(method, {}).get(metric) for image in self.images]


@dataclass(frozen=True)
class Domain:
    """One model on one set of photographs: means of PSNR over these, dB.

    Attributes:
        title: of the set.
        count: how many photographs there are.
        psnr: by the name of the method: x_reg, x_syn and x_hat, in this order.
        gain: of PSNR(x_hat) - PSNR(x_syn).
        behind: of PSNR(x_reg) - PSNR(x_syn): how far the synthesis is off.
        loss: of PSNR(x_reg) - PSNR(x_hat): what of that the fusion lets through.
    """

    title: str
    count: int
    psnr: Mapping[str, Figure]
    gain: Figure
    behind: Figure
    loss: Figure


@dataclass(frozen=True)
class OutOfDomain:
    """One model in and out of the domain of its prior (Fig. 7).

    Attributes:
        task: what both sets are degraded by.
        inside, outside: the two sets.
        more_gain: gain outside - gain inside, dB: above 0 where the fusion saves what the
            synthesis loses.
        drops: by method, mean PSNR inside - mean PSNR outside, dB. Photographs of two sets differ
            in how hard they are, too, so only methods can be compared here.
    """

    task: str
    inside: Domain
    outside: Domain
    more_gain: Figure
    drops: Mapping[str, Figure]


@dataclass(frozen=True)
class Comparison:
    """Methods on several tasks and sets of photographs: one evaluation each.

    Attributes:
        name: of the comparison.
        evaluations: one for each task and set, in the order of the configuration.
        settings: of the comparison as a whole, in words, by subject.
        domains: where there are several sets, what becomes of each model in the later ones.
    """

    name: str
    evaluations: tuple[Evaluation, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    domains: tuple[OutOfDomain, ...] = ()
