"""Check a built site: every link and anchor leads somewhere, and nothing is loaded from elsewhere.

python -m site_building.links site
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes by which a page names other files; of these elements, what a browser fetches by itself.
NAMING = {"href", "src", "poster", "data", "srcset"}
FETCHING = {"script", "img", "link", "iframe", "source", "video", "audio", "object", "embed"}
# Links that say something and are not fetched.
SAYING = {"canonical", "next", "prev", "alternate"}


class Page(HTMLParser):
    """The anchors and links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element names."""
        given = {name: value for name, value in attrs if value is not None}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        said = set(given.get("rel", "").split()) & SAYING
        for name in NAMING & set(given):
            (self.fetched if tag in FETCHING and not said else self.links).append(given[name])


def problems_of(site: Path) -> Iterator[str]:
    """What is wrong with a site, a sentence for each link."""
    pages = {path.resolve(): _read(path) for path in sorted(site.rglob("*.html"))}
    if not pages:
        yield f"{site} holds no pages."
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        for link in page.fetched:
            if urlsplit(link).netloc:
                yield f"{name} loads {link} from elsewhere."
        for link in (*page.links, *page.fetched):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            # Pages that a server may show at any address begin their links with a slash.
            base = site.resolve() if parts.path.startswith("/") else path.parent
            target = (base / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                yield f"{name} links to {link}, which is not there."
            elif _lacks(pages.get(target), unquote(parts.fragment)):
                yield f"{name} links to {link}, a page without that anchor."
    for style in sorted(site.rglob("*.css")):
        text = style.read_text("utf-8")
        if "url(http" in text or "url(//" in text or '@import "http' in text:
            yield f"{style.relative_to(site)} loads something from elsewhere."


def _read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text("utf-8"))
    return page


def _lacks(page: Page | None, anchor: str) -> bool:
    # Material's own links; __ begins what its scripts make.
    return page is not None and bool(anchor) and anchor[:2] != "__" and anchor not in page.anchors


def main() -> None:
    """Print the problems of the site that is named; exit status 1 where there are some."""
    found = list(problems_of(Path(sys.argv[1])))
    for one in found:
        print(one, file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
