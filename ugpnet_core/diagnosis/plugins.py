"""Plugins that are broken or lack what they need, and models whose weights are not here."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError

from ugpnet_core.checkpoints.downloads import find_weights
from ugpnet_core.diagnosis.finding import Finding
from ugpnet_core.diagnosis.software import DISTRIBUTION, unmet
from ugpnet_core.errors import UGPNetError
from ugpnet_core.plugins import Registry, registry
from ugpnet_core.plugins.presence import missing_parts


def plugins() -> Iterator[Finding]:
    """How many entries there are of each kind, and every problem."""
    found = registry()
    for words, entries in (
        ("backbones", found.backbones),
        ("priors", found.priors),
        ("models", found.models),
        ("tasks", found.tasks),
    ):
        names = ", ".join(entries) or "none"
        if entries:
            yield Finding("plugins", words, "ok", names)
        else:
            yield Finding("plugins", words, "note", names, f"install a plugin that brings {words}.")
    for problem in found.problems:
        name = problem.entry or problem.plugin
        source = f"{problem.distribution} {problem.version}"
        yield Finding(
            "plugins",
            name,
            "broken",
            f"{source}: {problem.reason}",
            f"pip install --upgrade {problem.distribution}, tell its author, or do without: "
            f"pip uninstall {problem.distribution}",
        )
    yield from _requirements(found)
    for sentence in found.slow:
        yield Finding("plugins", "slow", "note", sentence, "tell its author.")


def _requirements(found: Registry) -> Iterator[Finding]:
    """What the distributions of plugins need and have not: other versions came after them, or a
    part was uninstalled."""
    groups = (found.backbones, found.priors, found.models, found.tasks)
    owners = {one.distribution: one.version for group in groups for one in group.values()}
    for distribution in sorted(owners.keys() - {DISTRIBUTION}):
        try:
            lacking = list(unmet(distribution))
        except PackageNotFoundError:  # a plugin of this process alone
            continue
        if lacking:
            words = f"{distribution} {owners[distribution]} {', '.join(lacking)}"
            advice = f"pip install --upgrade {distribution}"
            yield Finding("plugins", distribution, "broken", words, advice)


def models() -> Iterator[Finding]:
    """Whether the weights of each model are here and whole; nothing is downloaded."""
    for name, installed in registry().models.items():
        try:
            path = find_weights(installed, download=False)
        except UGPNetError as error:
            remote = (installed.entry.file or "").startswith("hf:")
            yield Finding(
                "models",
                name,
                "note" if remote else "broken",
                str(error),
                "it is fetched when it is first used."
                if remote
                else f"pip install --force-reinstall {installed.distribution}",
            )
            continue
        missing = missing_parts(installed)
        if missing:
            advice = f"pip install --upgrade {installed.distribution}"
            yield Finding("models", name, "broken", ", ".join(missing), advice)
        else:
            yield Finding("models", name, "ok", f"{path.stat().st_size / 1e6:.1f} MB, as released")
