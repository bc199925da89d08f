"""examples/wrap_your_network.py does what it says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "wrap_your_network.py"


def test_both_kinds_are_trained_saved_and_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(SCRIPT), run_name="__main__")
    direct, residual = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"direct: 48 feature channels, loss \d+\.\d+, loaded the same: True", direct
    )
    assert re.fullmatch(
        r"residual: 8 feature channels, loss \d+\.\d+, loaded the same: True", residual
    )
