"""What an ablation is written as."""

from __future__ import annotations

from pathlib import Path

from ugpnet_core.evaluation.report import as_json, as_record, versions, write_csv
from ugpnet_core.evaluation.results import Comparison
from ugpnet_core.weights import write_whole


def write_results(comparison: Comparison, folder: Path) -> list[Path]:
    """Write results.json with every number, and for each evaluation the figures per photograph.

    Returns:
        The paths.
    """
    results = folder / "results.json"
    content = {
        "name": comparison.name,
        "settings": dict(comparison.settings),
        "evaluations": [
            {"title": each.title, "task": each.task, **as_record(each)}
            for each in comparison.evaluations
        ],
        "versions": versions(),
    }
    write_whole(results, as_json(content))
    paths = [results]
    for each in comparison.evaluations:
        paths.append(folder / f"images-{each.title.removeprefix('w/ ').replace(' ', '-')}.csv")
        write_csv(each, paths[-1])
    return paths
