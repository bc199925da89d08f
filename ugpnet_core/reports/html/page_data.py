"""What the pages' scripts know: a file of JavaScript, since pages from disk cannot fetch JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ugpnet_core.evaluation.results import Evaluation
from ugpnet_core.reports.html.names import shown
from ugpnet_core.reports.html.pictures import PhotographFiles
from ugpnet_core.reports.table import computed, difference


@dataclass(frozen=True)
class Column:
    """A column of the list of photographs: a method's figures, or how they differ from another's.

    Attributes:
        method: whose.
        reference: what is subtracted; None: nothing.
    """

    method: str
    reference: str | None = None

    @property
    def title(self) -> str:
        """Words for its head."""
        return self.method if self.reference is None else difference(self.method, self.reference)

    @property
    def is_difference(self) -> bool:
        """Whether something is subtracted."""
        return self.reference is not None

    def value(self, figures: Mapping[str, Mapping[str, float]], metric: str) -> float | None:
        """Its figure of a photograph; None where one is missing."""
        mine = figures.get(self.method, {}).get(metric)
        if mine is None or self.reference is None:
            return mine
        other = figures.get(self.reference, {}).get(metric)
        # The difference of two infinite figures is not known.
        return None if other is None or mine == other == float("inf") else mine - other


def columns(evaluation: Evaluation) -> list[Column]:
    """Methods that have figures, then the differences that the evaluation is about."""
    methods = [Column(method.name) for method in evaluation.methods if method.figures]
    pairs = dict.fromkeys((each.method, each.reference) for each in evaluation.differences)
    return methods + [Column(method, reference) for method, reference in pairs]


def script(evaluation: Evaluation, photographs: Mapping[str, PhotographFiles]) -> str:
    """``const photographs``: metrics, columns, and each photograph with its files and figures."""
    shown_columns = columns(evaluation)
    metrics = computed(evaluation, per_image=True)
    content = {
        "metrics": [
            {
                "key": metric.key,
                "title": metric.title,
                "better": metric.better,
                "digits": metric.digits,
            }
            for metric in metrics
        ],
        "columns": [
            {"title": shown(column.title), "signed": column.reference is not None}
            for column in shown_columns
        ],
        "photographs": [
            {
                "name": shown(image.name),
                "page": photographs[image.name].page,
                "small": {
                    shown(name): file for name, file in photographs[image.name].small.items()
                },
                # One number for each column, by metric. JavaScript knows Infinity.
                "figures": {
                    metric.key: [
                        column.value(image.figures, metric.key) for column in shown_columns
                    ]
                    for metric in metrics
                },
            }
            for image in evaluation.images
        ],
    }
    return f'"use strict";\nconst photographs = {json.dumps(content)};\n'
