"""No public name disappears without a deprecation."""

from __future__ import annotations

import sys
import warnings
from types import ModuleType

import pytest

from release import interface
from release.projects import CORE, project


def test_the_list_is_what_there_is() -> None:
    listed = interface.read(interface.LISTED.read_text(encoding="utf-8"))
    there = interface.present()
    assert list(interface.complaints(listed, there, str(project(CORE)["version"]))) == []
    for name in (
        "ugpnet_core.Restorer",
        "ugpnet_core.create_backbone(name)",
        "ugpnet_core.plugins.BackboneEntry(feature_channels)",
        "ugpnet_core.plugins.Backbone.head",
        "ugpnet_core.testing.check_backbone",
    ):
        assert name in there


@pytest.mark.parametrize(
    ("listed", "version", "told"),
    [
        ("a.b", "0.2.0", "a.b is gone; bring it back"),
        ("a.b(c)", "0.2.0", "a.b(c) is gone; bring it back"),
        ("a.b deprecated in 0.2", "0.2.4", "a.b is gone too early"),
        ("a.b deprecated in 0.2", "0.3.0", ""),
        ("a.b deprecated in 0.2", "1.0.0", ""),
    ],
)
def test_what_is_gone_was_deprecated_in_an_earlier_version(
    listed: str, version: str, told: str
) -> None:
    found = list(interface.complaints(interface.read(listed), set(), version))
    assert [one.startswith(told) for one in found] == ([True] if told else [])


def test_what_is_new_is_added() -> None:
    (told,) = interface.complaints({}, {"a.b"}, "0.1.0")
    assert told.startswith("a.b is new; add it with python -m release.interface --write")


def test_a_line_that_says_nothing() -> None:
    with pytest.raises(ValueError, match="'a b' should be a name"):
        interface.read("a b\n")


@pytest.mark.parametrize("warning", [True, False])
def test_a_deprecated_name_says_so(monkeypatch: pytest.MonkeyPatch, warning: bool) -> None:
    module = ModuleType("acme_old")

    def get(name: str) -> str:
        if warning:
            warnings.warn(f"{name} is new_name now; use that.", DeprecationWarning, stacklevel=2)
        return "value"

    vars(module).update(__all__=[], DEPRECATED={"old_name": "new_name"}, __getattr__=get)
    monkeypatch.setitem(sys.modules, "acme_old", module)
    monkeypatch.setattr(interface, "MODULES", ("acme_old",))
    there = interface.present(("acme_old",))
    assert there == {"acme_old.old_name"}
    listed = interface.read("acme_old.old_name deprecated in 0.1")
    told = list(interface.complaints(listed, there, "0.1.0"))
    assert bool(told) is not warning
