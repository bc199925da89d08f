"""docs/scale.md: its table is what the benchmark prints, from a figure that was measured.

Its command is run by tests/engines/test_cluster.py, with a worker killed.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.scale import main, table

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "scale.md").read_text(encoding="utf-8")


def test_the_table_is_what_the_command_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["scale"])
    main()
    assert capsys.readouterr().out.strip() in TEXT


def test_its_seconds_are_those_of_restoring() -> None:
    measured = (DOCS / "restoring.md").read_text(encoding="utf-8")
    (kept,) = re.findall(r"^\| bfloat16 \| [\d.]+ s \| ([\d.]+) s \|$", measured, re.M)
    assert f"From {kept} s for 2000 x 1500 pixels on two cores" in TEXT


def test_arithmetic() -> None:
    # Ten seconds on four cores: 90 an hour and core, 900 for a dollar at 0.1.
    lines = table(10, (768, 512), 4, 0.1)
    assert "| 768 x 512 (0.4 megapixels) | 10 | 90 | 900 | 111 hours |" in lines


def test_options_that_the_document_names_exist() -> None:
    from benchmarks import scale
    from ugpnet_core.cli import restore

    known = Path(str(scale.__file__)).read_text() + Path(str(restore.__file__)).read_text()
    known += (DOCS.parent / "ugpnet_core" / "cli" / "files.py").read_text()
    for option in set(re.findall(r"--[a-z-]+", TEXT)):
        words = option.removeprefix("--")
        assert option in known or words.replace("-", "_") in known, option
