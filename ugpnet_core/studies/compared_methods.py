"""From the settings of methods to what runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from ugpnet_core.checkpoints.state_dict import read_tensors
from ugpnet_core.config import ComponentConfig
from ugpnet_core.errors import ConfigError
from ugpnet_core.evaluation.classical import BM3D, Bicubic, NonLocalMeans, Wiener
from ugpnet_core.evaluation.ffdnet import FFDNet, ffdnet_file, is_ffdnet
from ugpnet_core.evaluation.methods import (
    Batch,
    Degraded,
    Function,
    Method,
    PartNames,
    Runner,
    Samples,
    UGPNetRunner,
)
from ugpnet_core.evaluation.photographs import TestSet, check_scale
from ugpnet_core.evaluation.result_folders import ResultFolder
from ugpnet_core.evaluation.results import MethodKind
from ugpnet_core.evaluation.store import Store
from ugpnet_core.metrics.complexity import count_parameters
from ugpnet_core.protocols import Backbone
from ugpnet_core.studies.identity import identity_of, plugins_of
from ugpnet_core.studies.settings import MethodConfig, Part
from ugpnet_core.testing.surroundings import changed_setting, seed_all, settings, untouched

if TYPE_CHECKING:
    from ugpnet_core.networks.ugpnet import UGPNet

KIND_OF_PART: Mapping[Part, MethodKind] = {
    "regression": "regression",
    "synthesis": "synthesis",
    "ugpnet": "ugpnet",
}


class Unusable(Runner):
    """Methods that could not be made: their rows stay empty, and say why."""

    def __init__(self, methods: Sequence[Method], reason: Exception) -> None:
        self.methods = tuple(methods)
        self.reason = reason

    def tuned(self, samples: Samples, store: Store | None = None) -> Runner:
        """Say why.

        Raises:
            Exception: what was raised when the methods were to be made.
        """
        raise self.reason

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """Say why, likewise."""
        raise self.reason


def runners_for(
    methods: Sequence[MethodConfig], test_set: TestSet, device: torch.device
) -> list[Runner]:
    """Load what the methods of one task need; one that cannot be loaded is an Unusable.

    Methods that are parts of one model file are run together. The degraded images come first
    where they are no method themselves. What is drawn while networks are made is the same at every
    run.
    """
    runners: list[Runner] = []
    if not any(method.classical == "degraded" for method in methods):
        runners.append(Degraded())
    for together in _together(methods):
        try:
            runners.append(_prepared(together, test_set, device))
        except Exception as error:  # plugins may raise anything
            rows = [Method(each.name, _kind(each), each.group) for each in together]
            runners.append(Unusable(rows, error))
    return runners


def _prepared(methods: Sequence[MethodConfig], test_set: TestSet, device: torch.device) -> Runner:
    with untouched():
        before = settings()
        seed_all(0)
        runner = _runner(methods, test_set, device)
        changed = changed_setting(before)
    if changed:
        finding = f"changes torch's {changed} where it is made, for everything in this process; it"
        runner.findings += (f"{finding} was set back.",)
    if isinstance(runner, (ResultFolder, Degraded, Bicubic)):
        return runner  # made anew as fast as it is read
    runner.plugins = plugins_of(methods, runner)
    runner.identity = identity_of(methods, runner, device)
    return runner


def _together(methods: Sequence[MethodConfig]) -> list[list[MethodConfig]]:
    """Methods in groups that one runner runs; x_reg and x_syn can stand in a group once."""
    groups: list[list[MethodConfig]] = []
    for method in methods:
        for group in groups:
            parts = [each.part for each in group]
            free = method.part == "ugpnet" or method.part not in parts
            if method.model is not None and group[0].model == method.model and free:
                group.append(method)
                break
        else:
            groups.append([method])
    return groups


def _runner(methods: Sequence[MethodConfig], test_set: TestSet, device: torch.device) -> Runner:
    first = methods[0]
    if first.model is not None:
        return _parts(methods, test_set, device)
    if first.backbone is not None:
        return _backbone(first, test_set, device)
    if first.network is not None:
        return _network(first, test_set, device)
    if first.results is not None:
        return ResultFolder(first.name, first.results, test_set, first.pattern, first.group)
    if first.classical == "non-local means":
        return NonLocalMeans(first.name, first.group)
    if first.classical == "bm3d":
        return BM3D(first.name, first.group)
    if first.classical == "wiener":
        return Wiener(first.name, first.group)
    if first.classical == "degraded":
        return Degraded(first.name, first.group)
    return Bicubic(first.name, first.group)


def _parts(
    methods: Sequence[MethodConfig], test_set: TestSet, device: torch.device
) -> UGPNetRunner:
    from ugpnet_core.model_files.model import load_model

    model: UGPNet = load_model(str(methods[0].model))
    check_scale(test_set, model.scale, f"model {methods[0].model}")
    by_part = {method.part: method.name for method in methods if method.part != "ugpnet"}
    names = PartNames(
        by_part.get("regression"),
        by_part.get("synthesis"),
        {
            name: value
            for method in methods
            if method.part == "ugpnet"
            for name, value in method.fidelities().items()
        },
        {method.name: method.group for method in methods},
    )
    return UGPNetRunner(model, names, device)


def _backbone(method: MethodConfig, test_set: TestSet, device: torch.device) -> Runner:
    """A regression network as it is published: without an adapter."""
    from ugpnet_core.factory import create_backbone
    from ugpnet_core.networks.restoration import restoration_module

    assert method.backbone is not None
    # One that reads a checkpoint itself has its key among the options.
    options = {"key": method.key, **method.backbone.options}
    backbone = create_backbone(method.backbone.name, weights=method.weights, **options)
    if test_set.scale % backbone.scale:
        raise ConfigError(
            f"Backbone {method.backbone.name!r} enlarges {backbone.scale} times and task "
            f"{test_set.title!r} needs {test_set.scale}; give it scale {test_set.scale} or 1."
        )
    enlarge = test_set.scale // backbone.scale
    network = restoration_module(backbone, enlarge=enlarge, adapter="plain").eval().to(device)

    def restore(x: Tensor) -> Tensor:
        image: Tensor = network(x).image
        return image

    words = f"backbone {method.backbone.name} without an adapter"
    if enlarge > 1:
        words += f", degraded images bicubically enlarged {enlarge} times first"
    row = Method(method.name, "regression", method.group, count_parameters(network))
    runner = Function(row, restore, device, words, network)
    if method.weights is None and (drawn := _drawn(method.backbone, backbone)):
        runner.findings = (f"has new random weights ({drawn}); give it weights.",)
    return runner


def _drawn(backbone: ComponentConfig, made: Backbone) -> str:
    """Which parameters of a backbone without weights are drawn anew whenever it is made, in words;
    a plugin may carry weights of its own."""
    from ugpnet_core.factory import create_backbone

    torch.manual_seed(1)
    again = cast("nn.Module", create_backbone(backbone.name, **backbone.options))
    numbers = dict(again.named_parameters())
    names = [
        name
        for name, value in cast("nn.Module", made).named_parameters()
        if name not in numbers or not torch.equal(value.detach().cpu(), numbers[name].detach())
    ]
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else "".join(names)


def _network(method: MethodConfig, test_set: TestSet, device: torch.device) -> Runner:
    from ugpnet_core.evaluation.foreign import ForeignNetwork

    assert method.network is not None
    path = ffdnet_file(method.network)
    tensors = read_tensors(path, method.key)
    if is_ffdnet(tensors):
        return FFDNet(tensors, method.name, method.group, device)
    network = ForeignNetwork(path, method.key).to(device)
    side = test_set.resolution
    row = Method(method.name, "network", method.group, count_parameters(network))
    words = network.words(side, test_set.degraded_side)
    runner = Function(row, lambda x: network.restored(x, side), device, words, network)
    runner.one_by_one = True  # spandrel's networks take one image
    return runner


def _kind(method: MethodConfig) -> MethodKind:
    if method.model is not None:
        return KIND_OF_PART[method.part]
    if method.backbone is not None:
        return "regression"
    if method.network is not None or method.results is not None:
        return "network"
    return "degraded" if method.classical == "degraded" else "classical"
