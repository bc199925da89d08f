"""Serving the page: to this machine only, without telemetry, without anything from elsewhere."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ugpnet_core.errors import ConfigError, DependencyError
from ugpnet_core.ui.page import STYLE, make_page

HERE = "127.0.0.1"
# Browsers load nothing for the page from other machines, whatever its libraries would like.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'; "
    "form-action 'self'"
)


@contextmanager
def served(
    models: Sequence[str],
    chosen: str,
    *,
    host: str = HERE,
    port: int | None = None,
    megabytes: int = 100,
    megapixels: float = 50,
) -> Iterator[str]:
    """Serve the page until the context ends; its address. Uploads and results are gone after it.

    Args:
        models: names to choose from.
        chosen: at first.
        host: what it listens to; another one than 127.0.0.1 lets other machines in.
        port: default: the first free one from 7860 on.
        megabytes: of the largest file that is taken.
        megapixels: of the largest picture.

    Raises:
        DependencyError: Gradio is not installed.
        ConfigError: the port cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="ugpnet-ui-") as folder:
        gradio = _gradio(folder)
        page = make_page(gradio, models, chosen, Path(folder), megapixels)
        page.queue(max_size=16)
        try:
            _, address, _ = page.launch(
                server_name=host,
                server_port=port,
                share=False,
                quiet=True,
                show_error=True,
                prevent_thread_lock=True,
                max_file_size=f"{megabytes}mb",
                allowed_paths=[folder],
                enable_monitoring=False,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                footer_links=[],
                css=STYLE,
                theme=gradio.themes.Soft(
                    font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
                ),
                app_kwargs={"middleware": [_policy()]},
            )
        except OSError as error:
            raise ConfigError(
                f"Nothing can listen at {host}:{port or 'any port from 7860 on'} ({error}); choose "
                "another --port."
            ) from error
        try:
            yield str(address)
        finally:
            page.close(verbose=False)


def _gradio(folder: str) -> Any:
    # Read when Gradio is imported, or when a file comes.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = folder
    try:
        return importlib.import_module("gradio")
    except ImportError as error:
        raise DependencyError("The page needs Gradio; pip install 'ugpnet-core[ui]'.") from error


def _policy() -> Any:
    """A middleware that adds the policy to every answer."""
    middleware: Any = importlib.import_module("starlette.middleware")

    def wrap(app: Any) -> Any:
        async def answer(scope: Any, receive: Any, send: Any) -> None:
            async def sending(message: Any) -> None:
                if message["type"] == "http.response.start":
                    headers = list(message.get("headers", []))
                    headers.append((b"content-security-policy", POLICY.encode()))
                    message = {**message, "headers": headers}
                await send(message)

            await app(scope, receive, sending)

        return answer

    return middleware.Middleware(wrap)
