"""Names in any alphabet reach the terminal, whatever the locale is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ugpnet_core import cli
from ugpnet_core.cli.console import plain

C_LOCALE = {"LC_ALL": "C"}
BARE_C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def said(folder: Path, **variables: str) -> bytes:
    """What a command that is quick says of a folder that is there already."""
    folder.mkdir()
    (folder / "file").touch()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}
    kept.pop("PYTHONIOENCODING", None)
    words = [sys.executable, "-m", "ugpnet_core.cli", "new-backbone", "mine", "-o", str(folder)]
    done = subprocess.run(words, capture_output=True, env={**kept, **variables})
    assert done.returncode == 2
    return done.stderr


@pytest.mark.parametrize("variables", [C_LOCALE, BARE_C_LOCALE])
def test_a_c_locale_loses_no_letters(tmp_path: Path, variables: dict[str, str]) -> None:
    assert "Größe 猫".encode() in said(tmp_path / "Größe 猫", **variables)


def test_an_encoding_that_is_asked_for_gets_escapes_instead_of_an_error(tmp_path: Path) -> None:
    assert b"Gr\\xf6" in said(tmp_path / "Größe", PYTHONIOENCODING="ascii")


def test_bytes_that_are_no_text_are_shown_as_bytes() -> None:
    assert plain(os.fsdecode(b"sur\xff\xe4.jpg")) == r"sur\xff\xe4.jpg"
    assert plain("half a pair \ud83d") == r"half a pair \ud83d"
    assert plain("Gr\u00f6\u00dfe\x1b[31m\n") == "Größe [31m"


def test_a_file_whose_name_is_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"sur\xff.jpg")
    assert cli.main(["inspect", name]) == 1
    assert r"sur\xff.jpg" in capsys.readouterr().err
