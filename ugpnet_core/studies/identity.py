"""What decides what a method makes of an image: settings, weights, code, versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ugpnet_core.evaluation.methods import Runner, UGPNetRunner
from ugpnet_core.evaluation.store import digest
from ugpnet_core.metrics.judged import weights_identity
from ugpnet_core.plugins import BackboneEntry, Installed, PriorEntry, find, resolve
from ugpnet_core.studies.code import code_digest, library_versions
from ugpnet_core.studies.settings import MethodConfig
from ugpnet_core.testing.checks.processes import homes_of
from ugpnet_core.testing.subject import Subject, subject_of


def identity_of(methods: Sequence[MethodConfig], runner: Runner, device: torch.device) -> str:
    """A name for everything that decides what a runner makes of an image; empty where that is not
    known, since a network keeps something that cannot be read."""
    network = runner.network()
    try:
        weights = "" if network is None else weights_identity(network)
        code = "" if network is None else code_digest(homes_of(type(network), network))
    except Exception:  # a plugin's own methods say what its state is
        return ""
    return digest(
        *(method.model_dump_json(exclude={"tasks", "group"}) for method in methods),
        *(_content(path) for method in methods for path in _files(method)),
        weights,
        code,
        *runner.plugins,
        json.dumps(runner.protocol()),
        str(device),
        json.dumps(library_versions()),
    )


def plugins_of(methods: Sequence[MethodConfig], runner: Runner) -> Mapping[str, Subject]:
    """The networks of plugins in a runner as conformance checks make them, by what stands for
    their options, code and versions."""
    found = {}
    for installed, options in _plugins(methods, runner):
        entry = installed.entry
        subject = subject_of(
            entry.name, "prior" if isinstance(entry, PriorEntry) else "backbone", **options
        )
        name = digest(
            json.dumps([subject.word, entry.name, installed.distribution, installed.version]),
            json.dumps(options, sort_keys=True, default=repr),
            code_digest({resolve(entry.factory).__module__}),
        )
        found[name] = subject.small[0] if subject.small else subject
    return found


def _plugins(
    methods: Sequence[MethodConfig], runner: Runner
) -> Iterator[tuple[Installed[Any], Mapping[str, Any]]]:
    if methods[0].backbone is not None:
        yield find(BackboneEntry, methods[0].backbone.name), methods[0].backbone.options
    elif isinstance(runner, UGPNetRunner):
        config = runner.model.config
        yield find(PriorEntry, config.prior.name), config.prior.options
        if config.baseline != "generator-only":
            yield find(BackboneEntry, config.backbone.name), config.backbone.options


def _files(method: MethodConfig) -> list[Path]:
    named = [method.weights, method.network, None if method.model is None else Path(method.model)]
    return [path for path in named if path is not None and path.is_file()]


def _content(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            found.update(block)
    return found.hexdigest()
