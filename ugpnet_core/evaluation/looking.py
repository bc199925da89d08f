"""Look at methods before their figures are trusted, and keep what was found for a later run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ugpnet_core.evaluation.findings import findings_of
from ugpnet_core.evaluation.methods import Runner
from ugpnet_core.evaluation.photographs import Sample
from ugpnet_core.evaluation.running import SeededRuns
from ugpnet_core.evaluation.store import Store, digest, digest_of_sample
from ugpnet_core.evaluation.trouble import Trouble, names_of
from ugpnet_core.testing.checks.processes import outcomes_elsewhere
from ugpnet_core.testing.surroundings import untouched


def look_at(
    runners: Sequence[Runner],
    sample: Sample,
    run: SeededRuns,
    batch_size: int,
    trouble: Trouble,
    store: Store | None,
) -> None:
    """Run methods that may do anything on a photograph, and the networks of plugins in other
    processes, which are started once for all.

    Args:
        run: afterwards knows which of the methods draw random numbers.
        batch_size: of the table.
        trouble: told what is found.
        store: what is there is not looked at again.
    """
    kept = _Kept(store)
    for runner in runners:
        if runner.is_foreign:
            _look(runner, sample, run, batch_size, trouble, kept)
    _look_elsewhere(runners, trouble, kept)


def _look(
    runner: Runner,
    sample: Sample,
    run: SeededRuns,
    batch_size: int,
    trouble: Trouble,
    kept: _Kept,
) -> None:
    name = ""
    if runner.identity:
        facts = runner.identity, str(run.seed), str(batch_size)
        name = digest("findings", *facts, digest_of_sample(sample))
    facts_of = kept.get(name)
    if facts_of is None:
        try:
            found = list(findings_of(runner, sample, run, batch_size))
        except Exception:  # it will fail again where it is run, and be reported there
            return
        facts_of = {"findings": found, "draws": run.draws(runner)}
        kept.put(name, facts_of)
    if facts_of["draws"]:
        run.note_drawing(runner)
    for finding in facts_of["findings"]:
        trouble.found(names_of(runner), "", finding)


def _look_elsewhere(runners: Sequence[Runner], trouble: Trouble, kept: _Kept) -> None:
    plugins = {name: subject for runner in runners for name, subject in runner.plugins.items()}
    names = {plugin: digest("elsewhere", plugin) for plugin in plugins}
    said = {plugin: kept.get(name) for plugin, name in names.items()}
    new = [plugin for plugin, words in said.items() if words is None]
    with untouched():
        outcomes = outcomes_elsewhere([plugins[plugin] for plugin in new])
    for plugin, outcome in zip(new, outcomes, strict=True):
        said[plugin] = outcome.message if outcome.status == "failed" else ""
        kept.put(names[plugin], said[plugin])
    for runner in runners:
        for plugin, subject in runner.plugins.items():
            if said[plugin]:
                whose = f"has {subject.word} {subject.name}, of which check-{subject.word} says"
                trouble.found(names_of(runner), "", f"{whose}: {said[plugin]}")


class _Kept:
    """Facts by name in a store; where there is none, or a name is empty, nothing is kept."""

    def __init__(self, store: Store | None) -> None:
        self._store = store

    def get(self, name: str) -> Any:
        content = self._store.get(name) if self._store is not None and name else None
        return None if content is None else json.loads(content)

    def put(self, name: str, facts: Any) -> None:
        if self._store is not None and name:
            self._store.put(name, json.dumps(facts).encode())
