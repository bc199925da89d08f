"""``ugpnet new-backbone`` works from the wheel: its templates are in there."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

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


@pytest.mark.parametrize("place", ["index", "clone"])
def test_its_ci_file_gets_the_core_from_an_index_or_a_clone(
    place: str,
    own_wheels: Mapping[str, Path],
    bare_environment: Callable[[], Callable[..., subprocess.CompletedProcess[str]]],
    tmp_path: Path,
) -> None:
    """Its commands up to the tests, in an environment that has other people's packages only."""
    write_backbone("my-net", "direct", tmp_path / "my-net")
    text = (tmp_path / "my-net" / ".github" / "workflows" / "test.yml").read_text()
    workflow = yaml.safe_load(text)
    commands = [step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step]
    assert commands.pop() == "pytest"
    assert workflow["env"]["UGPNET_CORE"].startswith("git+https://")
    # The index is a folder that has the core, or nothing; the clone stands in for the repository.
    index = own_wheels["ugpnet-core"].parent if place == "index" else tmp_path
    clone = tmp_path / "nowhere" if place == "index" else own_wheels["ugpnet-core"]
    program = f"""
import os, subprocess, sys
os.chdir({str(tmp_path / "my-net")!r})
os.environ.update(
    PIP_NO_INDEX="1", PIP_NO_BUILD_ISOLATION="0", PIP_FIND_LINKS={str(index)!r},
    PIP_NO_DEPS="1", UGPNET_CORE={str(clone)!r},
)
for command in {commands!r}:
    command = command.replace("pip install", sys.executable + " -m pip install -q")
    subprocess.run(command, shell=True, check=True, stderr=subprocess.DEVNULL)
subprocess.run([sys.executable, "-m", "ugpnet_core.cli", "list-backbones"], check=True)
"""
    assert "my-net" in bare_environment()("-c", program).stdout
