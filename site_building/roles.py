"""An extension of Griffe, which reads the code for the reference: roles of reStructuredText in
docstrings become links, and the descriptions of settings become docstrings."""

from __future__ import annotations

import ast
import re
from typing import Any

from griffe import Attribute, Docstring, Extension, Object

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`(~?)([^`<]+)`")
PACKAGE = "ugpnet_core."


class Roles(Extension):  # type: ignore[misc, unused-ignore]
    """Rewrites what stands beside an object before it is parsed."""

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Give an object the docstring that the reference shows."""
        if obj.docstring is not None:
            obj.docstring.value = without_roles(obj.docstring.value)
        elif obj.is_attribute:
            describe(obj)


def without_roles(text: str) -> str:
    """Replace roles by references, which are links where the reference shows what they name."""

    def reference(role: re.Match[str]) -> str:
        name = role[2]
        shown = name.rpartition(".")[2] if role[1] or name.startswith(PACKAGE) else name
        if not name.startswith(PACKAGE):
            return f"`{shown}`"
        return f'<autoref identifier="{name}" optional><code>{shown}</code></autoref>'

    return ROLE.sub(reference, text)


def describe(attribute: Attribute) -> None:
    """Show what a pydantic field says of itself, by ``Field(description=...)``, as words."""
    try:
        call = ast.parse(str(attribute.value), mode="eval").body
    except SyntaxError:
        return
    if not isinstance(call, ast.Call) or ast.unparse(call.func) != "Field":
        return
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    words = given.pop("description", None)
    # One that is computed is not known without running the code.
    if isinstance(words, ast.Constant):
        attribute.docstring = Docstring(str(words.value), parent=attribute)
        call.keywords = [keyword for keyword in call.keywords if keyword.arg != "description"]
        bare = given.get("default") if len(given) == 1 else None
        attribute.value = ast.unparse(bare or call) if given else None
