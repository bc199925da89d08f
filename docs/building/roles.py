"""An extension of Griffe: the roles of reStructuredText in docstrings become links."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`(~?)([^`<]+)`")
PACKAGE = "ugpnet_core."


class Roles(Extension):  # type: ignore[misc, unused-ignore]
    """Rewrites the docstring of every object before it is parsed.

    What has a page is linked under its last name, by optional references of mkdocs-autorefs: what
    has none stays a name.
    """

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """See griffe."""
        if obj.docstring is not None:
            obj.docstring.value = without_roles(obj.docstring.value)


def without_roles(text: str) -> str:
    """Replace roles by references, and Markdown's code by that of Markdown."""

    def reference(role: re.Match[str]) -> str:
        name = role[2]
        shown = name.rpartition(".")[2] if role[1] or name.startswith(PACKAGE) else name
        if not name.startswith(PACKAGE):
            return f"`{shown}`"
        return f'<autoref identifier="{name}" optional><code>{shown}</code></autoref>'

    return ROLE.sub(reference, text)
