"""The command ``ugpnet``.

One module per group of verbs. A module is imported only when its command is invoked (or its help
is asked for), so that listing stays fast. Exit status: 0 all good, 1 something failed, 2 wrong
usage, 3 a training that stopped before its end, as it was asked to, 130 Ctrl-C or SIGTERM. Errors
are one line on stderr; a traceback only with ``--debug``.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ugpnet_core.cli.console import (
    flush_quietly,
    keep_letters,
    open_closed_streams,
    report_error,
)

COMMANDS = {
    "restore": "ugpnet_core.cli.restore:restore",
    "ui": "ugpnet_core.cli.ui:ui",
    "demo": "ugpnet_core.cli.demo:demo",
    "degrade": "ugpnet_core.cli.degrade:degrade",
    "kernels": "ugpnet_core.cli.kernels:kernels",
    "list-backbones": "ugpnet_core.cli.listing:list_backbones",
    "list-priors": "ugpnet_core.cli.listing:list_priors",
    "list-models": "ugpnet_core.cli.listing:list_models",
    "list-tasks": "ugpnet_core.cli.listing:list_tasks",
    "new-backbone": "ugpnet_core.cli.new:new_backbone",
    "check-backbone": "ugpnet_core.cli.check:check_backbone",
    "check-prior": "ugpnet_core.cli.check_prior:check_prior",
    "check-task": "ugpnet_core.cli.check_task:check_task",
    "check-model": "ugpnet_core.cli.check_model:check_model",
    "show": "ugpnet_core.cli.show:show",
    "inspect": "ugpnet_core.cli.inspect:inspect",
    "convert": "ugpnet_core.cli.convert:convert",
    "export": "ugpnet_core.cli.export:export",
    "shards": "ugpnet_core.cli.shards:shards",
    "train": "ugpnet_core.cli.train:train",
    "evaluate": "ugpnet_core.cli.evaluate:evaluate",
    "compare": "ugpnet_core.cli.compare:compare",
    "ablate": "ugpnet_core.cli.ablate:ablate",
    "sample": "ugpnet_core.cli.sample:sample",
    "invert": "ugpnet_core.cli.invert:invert",
    "doctor": "ugpnet_core.cli.doctor:doctor",
    "config-schema": "ugpnet_core.cli.train:config_schema",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    ``--debug`` and ``--offline`` count wherever they stand before a ``--``.

    Args:
        arguments: default: those of the process.
    """
    open_closed_streams()
    keep_letters()
    words = list(sys.argv[1:] if arguments is None else arguments)
    end = words.index("--") if "--" in words else len(words)
    debug, offline = "--debug" in words[:end], "--offline" in words[:end]
    words = [word for word in words[:end] if word not in ("--debug", "--offline")] + words[end:]
    try:
        with _offline() if offline else contextlib.nullcontext():
            make_app()(args=words, prog_name="ugpnet")
        status = 0
    except SystemExit as end_of_command:
        status = _status(end_of_command.code)
    except KeyboardInterrupt:
        status = 130
    except Exception as error:
        if debug:
            raise
        status = report_error(error)
    return status if flush_quietly() else 1


def make_app() -> typer.Typer:
    """The whole application, with every command of ``COMMANDS``."""
    app = typer.Typer(
        cls=_LazyGroup,
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_global_options)
    return app


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Let every library that asks the Hub know that it must not."""
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"ugpnet {version('ugpnet-core')}")
        raise typer.Exit


def _global_options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (works anywhere).")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Download nothing, as HF_HUB_OFFLINE=1 (anywhere).")
    ] = False,
) -> None:
    """Restore photographs with any regression network and a generative prior.

    Example: ugpnet restore photos -o restored
    """


class _LazyGroup(TyperGroup):
    """Knows its commands by name, and imports the module of one only when it is asked for.

    The types are ``Any`` because typer brought its own copy of click in some release.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands and cmd_name in COMMANDS:
            module, _, function = COMMANDS[cmd_name].partition(":")
            one = typer.Typer(add_completion=False, rich_markup_mode=None)
            one.command(cmd_name)(getattr(importlib.import_module(module), function))
            self.commands[cmd_name] = typer.main.get_command(one)
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        # The inherited one cuts each description: to one line, and at the first abbreviation.
        rows = [
            (name, _summary(self.get_command(ctx, name).help or ""))
            for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS:
            ctx.fail(_unknown_command(args[0]))
        return super().resolve_command(ctx, args)


def _summary(description: str) -> str:
    """Its first paragraph, in one line."""
    return " ".join(description.partition("\n\n")[0].split())


def _unknown_command(word: str) -> str:
    from ugpnet_core.near import did_you_mean

    hint = did_you_mean(word, COMMANDS, f"there are: {', '.join(COMMANDS)}.", count=2)
    return f"There is no command {word!r}; {hint}"


def _status(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code
    print(code, file=sys.stderr)
    return 1
