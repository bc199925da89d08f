"""``ugpnet restore --engine ray``: what the command says while a cluster works."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ugpnet_core.cli.console import output, plain
from ugpnet_core.errors import ConfigError

if TYPE_CHECKING:
    from ugpnet_core.engines.worker import Settings

_SECONDS = 10.0


def restore_on_cluster(
    inputs: list[Path],
    out: Path,
    model: str,
    settings: Settings,
    *,
    device: str,
    workers: int | None,
    recursive: bool,
    overwrite: bool = False,
    skip_existing: bool = False,
) -> None:
    """Restore one folder or address, and exit with status 1 where a file failed.

    Raises:
        ConfigError: there are several inputs; or as :func:`ugpnet_core.engines.cluster.prepare`.
    """
    from ugpnet_core.engines.cluster import prepare, run

    if len(inputs) != 1:
        raise ConfigError("--engine ray takes one folder or address; run it once for each.")
    work = prepare(
        inputs[0],
        out,
        model,
        settings,
        device=device,
        recursive=recursive,
        overwrite=overwrite,
        skip_existing=skip_existing,
    )
    total = len(work.jobs)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(work.left_out.items()))
    if kinds:
        _say(f"note: left out: {kinds}.")
    if work.done:
        _say(f"{work.done} are done already; {total} to do.")
    failed: list[str] = []
    said = time.monotonic()
    try:
        for count, record in enumerate(run(work, workers), 1):
            if record.error:
                failed.append(record.source)
                _say(f"error: {record.source}: {record.error}")
            for notice in record.notices:
                _say(f"note: {record.source}: {notice.rstrip('.')}.")
            if time.monotonic() - said > _SECONDS:
                said = time.monotonic()
                _say(f"{count} of {total}")
    except KeyboardInterrupt:
        _say("Stopped; the same command goes on where it was.")
        raise
    output().print(
        f"{total - len(failed)} of {total} images restored: {plain(work.target.address)}",
        soft_wrap=True,
    )
    if failed:
        output().print(f"{len(failed)} failed: {plain(', '.join(failed))}", soft_wrap=True)
        raise typer.Exit(1)


def _say(text: str) -> None:
    typer.echo(plain(text), err=True)
