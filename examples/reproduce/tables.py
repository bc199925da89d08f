"""Tables that ``ugpnet compare`` and ``ugpnet ablate`` wrote, read back and shown in Markdown."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Key, title, decimals; an arrow says which direction is better.
QUALITY = (
    ("psnr", "PSNR (dB) ↑", 2),
    ("ssim", "SSIM ↑", 3),
    ("lpips", "LPIPS-Squeeze ↓", 3),
    ("frechet", "FD-SqueezeNet ↓", 0),
)


@dataclass(frozen=True)
class Row:
    """A method on a task, of one of the table's groups: its figures and the ends of their
    intervals, by the columns' names."""

    task: str
    method: str
    kind: str
    group: str
    numbers: Mapping[str, float]

    def shown(self, key: str, digits: int) -> str:
        """A figure with its interval."""
        if key not in self.numbers:
            return "–"
        text = f"{self.numbers[key]:,.{digits}f}"
        low, high = self.numbers.get(f"{key}_low"), self.numbers.get(f"{key}_high")
        return (
            text
            if low is None or high is None
            else f"{text} [{low:,.{digits}f}, {high:,.{digits}f}]"
        )


def read_rows(path: Path) -> list[Row]:
    """All rows of a table.csv."""
    rows = []
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            words = {key: line.pop(key) for key in ("task", "method", "kind", "class", "failed")}
            numbers = {key: float(value) for key, value in line.items() if value}
            task, method, kind, group = (words[key] for key in ("task", "method", "kind", "class"))
            rows.append(Row(task, method, kind, group, numbers))
    return rows


def read_record(path: Path) -> dict[str, Any]:
    """A results.json."""
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def quality_table(rows: Sequence[Row], grouped: bool = False) -> list[str]:
    """One line per method, with the figures of quality.

    Args:
        grouped: say of which group the first of each is.
    """
    cells = [[*(["group"] if grouped else []), "method", *(title for _, title, _ in QUALITY)]]
    before = ""
    for row in rows:
        first = [row.group if row.group != before else ""] if grouped else []
        figures = (row.shown(key, digits) for key, _, digits in QUALITY)
        cells.append([*first, row.method, *figures])
        before = row.group
    return markdown(cells, words=2 if grouped else 1)


def cost_table(rows: Sequence[Row]) -> list[str]:
    """One line per method, with the figures of Table 2."""
    cells = [["method", "parameters (M)", "GMACs", "time (ms)", "peak memory (MB)"]]
    for row in rows:
        n = row.numbers
        cells.append(
            [
                row.method,
                f"{n['parameters'] / 1e6:.2f}" if "parameters" in n else "–",
                f"{n['macs'] / 1e9:.2f}" if "macs" in n else "–",
                f"{n['seconds'] * 1e3:.0f}" if "seconds" in n else "–",
                f"{n['memory'] / 1e6:.0f}" if "memory" in n else "–",
            ]
        )
    return markdown(cells)


def markdown(cells: Sequence[Sequence[str]], words: int = 1) -> list[str]:
    """Lines of a table; the first row is its head, and the first ``words`` columns are text."""
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    rule = "|" + " --- |" * words + " ---: |" * (len(cells[0]) - words)
    return [lines[0], rule, *lines[1:]]
