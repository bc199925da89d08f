"""Check that the fields of an entry, which someone else wrote, are what they are declared as."""

from __future__ import annotations

import collections.abc
import functools
import re
import types
import typing
from typing import Any, Literal

from pydantic import BaseModel

from ugpnet_core.plugins.entries import BackboneEntry, Entry, ModelEntry, Preset, PriorEntry
from ugpnet_core.plugins.locations import FORMS, Hub, Local, parse_location

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_REFERENCE = re.compile(r"[\w.]+:\S+")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
LARGEST = 10**15
_REFERENCES = ("factory", "discriminator", "reader", "grow", "published")


def fault_of(entry: Entry | Preset) -> str | None:
    """Say what is wrong with the fields of an entry, or None.

    Names are letters, digits, ``.``, ``_`` and ``-`` (a name must not look like a path), numbers
    are positive, references have the form "package.module:something", and weights that are not
    simply on this machine have a SHA-256.
    """
    kind: Any = type(entry)  # mypy takes no class of a dataclass for hashable
    for name, declared in _declared(kind).items():
        value = getattr(entry, name)
        if not _fits(value, declared):
            return f"{name}={shown(value)}, which should be {_words(declared)}"
        if name == "name" and not _NAME.fullmatch(value):
            return f"name={shown(value)}, which should be letters, digits and '.', '_', '-' only"
        if name in _REFERENCES and value is not None and not _REFERENCE.fullmatch(value):
            return f"{name}={shown(value)}, which should look like 'package.module:name'"
        if type(value) is int and value < 1:
            return f"{name}={shown(value)}, which should be positive"
        if type(value) is int and value > LARGEST:
            return f"{name}={shown(value)}, which should be a number that a network can have"
    if isinstance(entry, (BackboneEntry, PriorEntry)):
        fault = _unknown_option(entry.small, "small", entry.options)
        if fault:
            return fault
    if isinstance(entry, (PriorEntry, ModelEntry)) and entry.file is not None:
        return _fault_of_file(entry.file, entry.sha256)
    if isinstance(entry, BackboneEntry):
        for preset in entry.presets:
            fault = fault_of(preset) or _unknown_option(preset.options, preset.name, entry.options)
            if fault:
                return f"a preset with {fault}"
    return None


@functools.cache
def _declared(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _fault_of_file(file: str, sha256: str | None) -> str | None:
    """Say what is wrong with where the weights of an entry are, or None."""
    try:
        place = parse_location(file)
    except ValueError:
        return f"file={shown(file)}, which should look like {FORMS}"
    if not sha256 and not isinstance(place, Local):
        return f"file={shown(file)} without sha256, which should be that of the file"
    if isinstance(place, Hub) and not _SHA256.fullmatch(sha256 or ""):
        return f"sha256={shown(sha256)}, which should be 64 hexadecimal digits"
    return None


def _unknown_option(
    given: collections.abc.Mapping[str, Any], where: str, options: type[BaseModel]
) -> str | None:
    """Say which given option an entry lacks, or None; values are checked when used."""
    if options.model_config.get("extra") == "allow":
        return None
    valid = {*options.model_fields, *(field.alias for field in options.model_fields.values())}
    for name in given:
        if name not in valid:
            return f"the option {name!r} (of {where!r}), which its backbone lacks"
    return None


def shown(value: object) -> str:
    """A short ``repr`` that cannot fail."""
    try:
        text = repr(value)
    except Exception:
        text = f"an unprintable {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def _fits(value: object, declared: Any) -> bool:
    """Whether a value is of a declared type, of the few sorts that entries use."""
    origin, choices = typing.get_origin(declared), typing.get_args(declared)
    if origin is Literal:
        return any(value is choice or value == choice for choice in choices)
    if origin is type:
        return isinstance(value, type) and issubclass(value, choices[0])
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, choice) for choice in choices)
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(each, choices[0]) for each in value)
    if origin is collections.abc.Mapping:
        return isinstance(value, collections.abc.Mapping) and all(type(key) is str for key in value)
    return type(value) is declared


def _words(declared: Any) -> str:
    origin, choices = typing.get_origin(declared), typing.get_args(declared)
    if origin is Literal:
        return " or ".join(map(repr, choices))
    if origin is type:
        return f"a subclass of pydantic's {choices[0].__name__}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(choice) for choice in choices)
    if declared is type(None):
        return "None"
    if origin is tuple:
        return f"a tuple of {choices[0].__name__}s"
    if origin is collections.abc.Mapping:
        return "a mapping from names"
    words = {int: "a whole number", str: "a string", bool: "True or False"}
    return words.get(declared, str(declared))
