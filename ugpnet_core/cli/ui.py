"""``ugpnet ui``: restoring in a browser."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from ugpnet_core.cli.console import output
from ugpnet_core.cli.default_model import DEFAULT_MODEL


def ui(
    model: Annotated[
        str, typer.Option("-m", "--model", help="Chosen at first: a name, or a model file.")
    ] = DEFAULT_MODEL,
    host: Annotated[
        str, typer.Option(help="0.0.0.0 lets every machine in that can reach this one.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: the first free from 7860 on.")
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in your browser.")
    ] = True,
    max_megabytes: Annotated[int, typer.Option(min=1, help="Of the largest file.")] = 100,
    max_megapixels: Annotated[float, typer.Option(min=0.01, help="Of the largest picture.")] = 50,
) -> None:
    """Restore pictures in a browser: drop one, choose, compare before and after, download.

    The page is for this machine only; nothing leaves it, and pictures are deleted when you stop it
    with Ctrl-C.

    Example: ugpnet ui
    """
    from ugpnet_core.model_files.finding import find_model_file
    from ugpnet_core.plugins import registry
    from ugpnet_core.ui.serving import HERE, served

    find_model_file(model, download=False)
    models = list(dict.fromkeys([model, *registry().models]))
    with served(
        models,
        model,
        host=host,
        port=port,
        megabytes=max_megabytes,
        megapixels=max_megapixels,
    ) as address:
        console = output()
        console.print(f"The page is at {address} (Ctrl-C stops it)", soft_wrap=True)
        if host != HERE:
            console.print(
                "note: other machines can reach it, and nothing asks them for a password."
            )
        if open_browser:
            typer.launch(address)
        threading.Event().wait()
