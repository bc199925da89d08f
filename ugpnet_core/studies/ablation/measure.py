"""Measure the trained variants of an ablation side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import torch
import yaml

from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import ConfigError
from ugpnet_core.evaluation.measure import Progress, measure_methods
from ugpnet_core.evaluation.methods import Degraded, PartNames, Runner, UGPNetRunner
from ugpnet_core.evaluation.photographs import (
    TestSet,
    check_scale,
    degraded_set,
    find_photographs,
)
from ugpnet_core.evaluation.results import Comparison, Evaluation
from ugpnet_core.metrics.networks import MetricNetworks
from ugpnet_core.model_files.model import load_model
from ugpnet_core.studies.ablation.settings import AblationConfig
from ugpnet_core.studies.ablation.variants import Variant


def photographs_of(ablation: AblationConfig, base: TrainConfig) -> TestSet:
    """The photographs that variants are measured on, with the task of the base training.

    Raises:
        ImageError: there is none.
        PluginError, ConfigError: the task is not installed, or its options cannot be right.
    """
    folders = ablation.measuring.data or [
        source for source in base.data.validation if isinstance(source, Path)
    ]
    if not folders:
        raise ConfigError(
            "data.validation of the base holds pairs of folders only; set measuring.data to "
            "folders of photographs."
        )
    files = [file for folder in folders for file in find_photographs(folder)]
    roots = [folder if folder.is_dir() else folder.parent for folder in folders]
    root = roots[0] if len(roots) == 1 else Path(os.path.commonpath([p.absolute() for p in roots]))
    return degraded_set(
        files[: ablation.measuring.count],
        root,
        base.data.resolution,
        base.model.task,
        ablation.measuring.seed,
    )


def measure_variants(
    ablation: AblationConfig,
    variants: Sequence[Variant],
    test_set: TestSet,
    *,
    networks: MetricNetworks | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Comparison:
    """Measure x_hat, x_reg and x_syn of every variant: one evaluation for each backbone.

    The method of a variant's x_hat is called by its title, and differences are taken to the last
    variant with the same backbone.

    Raises:
        WeightsError: a variant has no model.
        ConfigError: a variant enlarges by another factor than the set's task.
    """
    evaluations = []
    for backbone, group in groupby(variants, key=lambda variant: variant.backbone):
        mine = list(group)
        runners: list[Runner] = [Degraded()]
        for variant in mine:
            runners.append(_runner(variant, mine[-1], test_set, device))
        evaluation = measure_methods(runners, test_set, networks=networks, progress=progress)
        title = f"w/ {backbone}" if backbone else evaluation.title
        evaluations.append(replace(evaluation, title=title))
    return Comparison(ablation.name, tuple(evaluations), _settings(ablation, variants))


def table_of(comparison: Comparison) -> Comparison:
    """The comparison with the rows of x_hat only, as in Table 3 of the paper."""
    return replace(comparison, evaluations=tuple(map(_rows_of_variants, comparison.evaluations)))


def _rows_of_variants(evaluation: Evaluation) -> Evaluation:
    rows = tuple(method for method in evaluation.methods if method.kind == "ugpnet")
    names = {method.name for method in rows}
    differences = tuple(each for each in evaluation.differences if each.method in names)
    return replace(evaluation, methods=rows, differences=differences)


def _runner(
    variant: Variant, last: Variant, test_set: TestSet, device: str | torch.device
) -> UGPNetRunner:
    model = load_model(variant.model_file)
    check_scale(test_set, model.scale, f"variant {variant.key}")
    names = PartNames(f"{variant.title}: x_reg", f"{variant.title}: x_syn", {variant.title: 0.0})
    runner = UGPNetRunner(model, names, device)
    reference = last.title if variant is not last else None
    runner.methods = tuple(
        replace(method, reference=reference) if method.kind == "ugpnet" else method
        for method in runner.methods
    )
    return runner


def _settings(ablation: AblationConfig, variants: Sequence[Variant]) -> Mapping[str, str]:
    settings = {"base": _words(ablation.changes, str(ablation.base))}
    for title, backbone in ablation.backbones.items():
        described = backbone.model_dump(include={"name", "options"})
        settings[f"w/ {title}"] = _words({**described, **backbone.changes})
    for variant in variants:
        settings[variant.title] = _words(variant.changes) or "as the base"
    return settings


def _words(changes: Mapping[str, object], first: str = "") -> str:
    """Changes on one line: "seed: 1, model.adapter: plain"."""
    shown = [
        f"{key}: {yaml.safe_dump(value, default_flow_style=True, width=10_000).split(chr(10))[0]}"
        for key, value in changes.items()
    ]
    return ", ".join([first] * bool(first) + shown)
