"""``ugpnet doctor``: what works here, what does not, and what to do about it."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from ugpnet_core.cli.console import output, plain

MARKS = {"ok": " ok ", "note": "note", "broken": "BAD "}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Look at everything that restoring needs, and say what to do where something is amiss.

    Versions, extras, plugins, models, devices, precision, free memory and disk; and a picture is
    restored twice. It takes about ten seconds and downloads nothing. Exit status 1: something is
    broken.

    Example: ugpnet doctor
    """
    from ugpnet_core.diagnosis import Finding, diagnose

    console = output()
    found: list[Finding] = []
    section = ""
    for finding in diagnose():
        found.append(finding)
        if as_json:
            continue
        if finding.section != section:
            section = finding.section
            console.print(f"\n{section}" if len(found) > 1 else section)
        words = plain(f"{finding.name}: {finding.found}")
        console.print(f"  {MARKS[finding.status]}  {words}", soft_wrap=True)
        if finding.advice:
            console.print(f"        to do: {plain(finding.advice)}", soft_wrap=True)
    broken = [finding.name for finding in found if finding.status == "broken"]
    if as_json:
        print(json.dumps({"findings": list(map(dataclasses.asdict, found)), "broken": broken}))
    elif broken:
        console.print(f"\nBroken: {plain(', '.join(broken))}", soft_wrap=True)
    else:
        console.print("\nEverything works.")
    if broken:
        raise typer.Exit(1)
