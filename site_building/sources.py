"""Files of the repository as sources of the site: where they are in it, and what their pages are.

What lies outside docs/ is under ``source/`` there, at its path in the repository: Markdown and
notebooks as pages, other text as a page with its content, folders as lists, everything else as it
is.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LINK = re.compile(r"(?<=\]\()([^)\s#:]+)((?:#[^)\s]*)?)(?=\))")
UNSEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".js": "javascript", ".sh": "bash"}
PICTURES = {".png", ".jpg", ".jpeg", ".svg", ".gif", ".webp"}
HIDDEN = {"__pycache__", "build", "py.typed"}
LARGEST_PAGE = 100_000
LARGEST_COPY = 1_000_000


def linked(path: str, text: str) -> list[str]:
    """The files and folders of the repository that a page links to.

    Args:
        path: The page's own path in the repository.
        text: Its Markdown.
    """
    found = (link[1] for line, is_text in lines_of(text) if is_text for link in LINK.finditer(line))
    return [posixpath.normpath(posixpath.join(posixpath.dirname(path), one)) for one in found]


def site_path(path: str, root: Path) -> str:
    """Where in the site's sources a file or folder of the repository is."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if (root / path).is_dir():
        return f"source/{path}/contents.md"
    return (
        f"source/{path}" if _is_kept(root / path) or path.endswith(".md") else f"source/{path}.md"
    )


def page_of(path: str, root: Path) -> str | None:
    """The Markdown of a file or folder; None where it is taken as it is."""
    file = root / path
    if file.is_dir():
        return _folder(path, file)
    if _is_kept(file):
        return None
    text = file.read_text("utf-8")
    if file.suffix == ".md":
        return text
    if file.suffix == ".ipynb":
        return notebook(path, json.loads(text))
    fence = "`" * (2 + max(map(len, re.findall("`+", text)), default=1))
    language = LANGUAGES.get(file.suffix, "text")
    return f"{UNSEARCHED}# `{path}`\n\n{fence}{language}\n{text.rstrip()}\n{fence}\n"


def notebook(path: str, content: dict[str, Any]) -> str:
    """A notebook as a page: its words, and its code in blocks."""
    parts = []
    for cell in content["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    where = f"!!! note\n    This page is the notebook `{path}`; open it with Jupyter to run it."
    return "\n\n".join([parts[0], where, *parts[1:]]) + "\n"


def _folder(path: str, folder: Path) -> str:
    shown = sorted(
        each.name for each in folder.iterdir() if each.name not in HIDDEN and each.name[0] != "."
    )
    # Weights are named and not copied.
    lines = [
        f"- `{name}`" if (folder / name).stat().st_size > LARGEST_COPY else f"- [`{name}`]({name})"
        for name in shown
    ]
    return f"{UNSEARCHED}# `{path}/`\n\n" + "\n".join(lines) + "\n"


def _is_kept(file: Path) -> bool:
    """Whether a file is no text for a page."""
    if file.suffix in PICTURES or file.stat().st_size > LARGEST_PAGE:
        return True
    return b"\0" in file.read_bytes()


def lines_of(markdown: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it is text and not code."""
    fence = ""
    for line in markdown.split("\n"):
        found = re.match(r"\s*(`{3,}|~{3,})", line)
        if found and not fence:
            fence = found[1]
        elif found and line.strip() == fence:
            fence = ""
            yield line, False
            continue
        yield line, not fence
