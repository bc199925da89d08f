"""``ugpnet inspect``: what a weights file is, and what it can be used for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ugpnet_core.cli.console import output, plain
from ugpnet_core.cli.options import Key

# Said in words of their own, or behind the rest.
_APART = ("use", "problem")


def inspect(
    file: Annotated[Path, typer.Argument(help="A model, prior or checkpoint file of any kind.")],
    key: Key = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Say what a weights file is and what it can be used for, without running anything from it.

    Example: ugpnet inspect stylegan2-ffhq.pkl
    """
    from ugpnet_core.model_files.inspection import inspect as inspect_file

    facts = inspect_file(file, key)
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        console = output()
        for label, words in rows(facts):
            console.print(plain(f"{label}: {words}"), soft_wrap=True)
        for use in facts["use"]:
            console.print(plain(f"use: {use}"), soft_wrap=True)
    if "problem" in facts:
        from ugpnet_core.errors import WeightsError

        raise WeightsError(facts["problem"])


def rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each fact as a label and words; nothing for those that are empty."""
    for name, value in facts.items():
        if name in _APART or value in (None, "", [], {}):
            continue
        label = name.replace("_", " ")
        if name in ("parameters", "discriminator_parameters", "numbers"):
            yield label, f"{value:,} ({value / 1e6:.2f} M)"
        elif name == "bytes":
            yield "size", f"{value:,} bytes"
        else:
            yield label, _words(value)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(_pair(key, each) for key, each in value.items() if each is not None)
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return str(value)


def _pair(key: object, value: Any) -> str:
    if isinstance(value, Mapping | list):
        return f"{key} ({_words(value)})"
    return f"{key}: {value}"
