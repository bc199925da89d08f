"""Hooks of MkDocs: what the pages link to outside docs/ becomes a part of the site."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

from site_building.sources import LINK, lines_of, linked, page_of, site_path


def on_config(config: Any) -> Any:
    """Put the entries of the navigation that lie outside docs/ where they will be."""
    root = _root(config)
    config.nav = _navigation(config.nav, root, config.extra["optional"])
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add what is linked, and what that links to."""
    root = _root(config)
    paths = [f"docs/{file.src_uri}" for file in files if file.is_documentation_page()]
    waiting = [path for page in paths for path in linked(page, (root / page).read_text("utf-8"))]
    with Path(config.config_file_path).open(encoding="utf-8") as written:
        waiting += re.findall(r"\s\.\./(\S+)$", written.read(), re.MULTILINE)
    # From places in the site to paths in the repository, of what lies outside docs/.
    places: dict[str, str] = config.extra.setdefault("places", {})
    while waiting:
        path = waiting.pop()
        if path.startswith(("docs/", "..")) or not (root / path).exists():
            continue
        place = site_path(path, root)
        if place in places:
            continue
        places[place] = path
        text = page_of(path, root)
        if text is None:
            files.append(File.generated(config, place, abs_src_path=str(root / path)))
            continue
        files.append(File.generated(config, place, content=text))
        waiting += linked(f"{path}/contents" if (root / path).is_dir() else path, text)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Make links between files of the repository links between pages."""
    root = _root(config)
    own = page.file.src_uri
    path = config.extra["places"].get(own, f"docs/{own}")
    if (root / path).is_dir():
        path += "/contents"

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link[1]))
        if not (root / target).exists():
            return link[0]
        return posixpath.relpath(site_path(target, root), posixpath.dirname(own) or ".") + link[2]

    return "\n".join(
        LINK.sub(moved, line) if is_text else line for line, is_text in lines_of(markdown)
    )


def _root(config: Any) -> Path:
    return Path(os.path.dirname(config.config_file_path))


def _navigation(entry: Any, root: Path, optional: list[str]) -> Any:
    """A part of the navigation with the places of the site; None where nothing of it is there."""
    if isinstance(entry, list):
        return [made for one in entry if (made := _navigation(one, root, optional)) is not None]
    if isinstance(entry, dict):
        made = {key: _navigation(value, root, optional) for key, value in entry.items()}
        return {key: value for key, value in made.items() if value is not None} or None
    path = posixpath.normpath(f"docs/{entry}")
    if entry in optional and not (root / path).exists():
        return None
    return site_path(path, root)
