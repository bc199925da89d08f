"""``ugpnet new-backbone`` works from the wheel: its templates are in there."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from ugpnet_core.templates import write_backbone


def test_the_wheel_writes_what_the_checkout_writes(
    own_target: Path,
    run_in: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    command = ("-m", "ugpnet_core.cli", "new-backbone", "my-net", "--kind", "direct", "-o")
    run_in(own_target, *command, str(tmp_path / "wheel"))
    write_backbone("my-net", "direct", tmp_path / "checkout")
    files = {path.relative_to(tmp_path / "wheel") for path in (tmp_path / "wheel").rglob("*")}
    assert len([path for path in files if path.suffix]) >= 6
    for path in files:
        if (tmp_path / "wheel" / path).is_file():
            content = (tmp_path / "wheel" / path).read_bytes()
            assert content == (tmp_path / "checkout" / path).read_bytes(), path
