"""The options of an entry, put into words: type, default, bounds, description."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import to_json

from ugpnet_core.plugins.entries import BackboneEntry, PriorEntry, TaskEntry

_BOUNDS = {
    "minimum": ">= {}",
    "exclusiveMinimum": "> {}",
    "maximum": "<= {}",
    "exclusiveMaximum": "< {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} letters",
    "maxLength": "at most {} letters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "matching {}",
}
_TYPES = {"array": "list", "object": "mapping", "null": "none", "boolean": "true or false"}


@dataclass(frozen=True)
class DescribedOption:
    """One option of a backbone, prior or task.

    Args:
        type: in words, such as "integer or list of integer".
        required: whether it has no default.
        default: as JSON can hold it; None where it is required, too.
        bounds: in words, such as "> 0"; empty where there are none.
        description: empty where the plugin gives none.
    """

    name: str
    type: str
    required: bool
    default: Any
    bounds: str
    description: str


def describe_options(entry: BackboneEntry | PriorEntry | TaskEntry) -> list[DescribedOption]:
    """The options of an entry; a preset's are its defaults.

    Types without a JSON schema are shown as the plugin wrote them.
    """
    schema = _schema(entry)
    properties: Mapping[str, Any] = schema.get("properties", {})
    definitions: Mapping[str, Any] = schema.get("$defs", {})
    preset = entry.preset_options if isinstance(entry, BackboneEntry) else {}
    described = []
    for name, field in entry.options.model_fields.items():
        key = field.alias or name
        given = {key, name} & set(preset)
        words, bounds = _words(properties.get(key), definitions)
        described.append(
            DescribedOption(
                name=name,
                type=words or _annotation(field),
                required=field.is_required() and not given,
                default=as_json(preset[given.pop()] if given else _default(field)),
                bounds=bounds,
                description=field.description or "",
            )
        )
    return described


def as_json(value: object) -> Any:
    """A value as JSON can hold it; what JSON cannot hold becomes text."""
    return json.loads(to_json(value, fallback=str, inf_nan_mode="strings"))


def _schema(entry: BackboneEntry | PriorEntry | TaskEntry) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            # Of defaults that JSON cannot hold, which are shown all the same.
            warnings.simplefilter("ignore")
            return entry.options.model_json_schema()
    except Exception:
        # A plugin's type may have no schema, or fail in its own code that makes one.
        return {}


def _words(part: Any, definitions: Mapping[str, Any]) -> tuple[str, str]:
    """Type and bounds; both empty where there is no schema that can be put into words."""
    if part is None:
        return "", ""
    try:
        bounds = ", ".join(dict.fromkeys(_bounds(part, definitions)))
        return _type(part, definitions), bounds
    except RecursionError:
        return "", ""


def _annotation(field: FieldInfo) -> str:
    annotation = field.annotation
    name = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return name.replace("typing.", "")


def _default(field: FieldInfo) -> object:
    if field.is_required():
        return None
    try:
        return field.get_default(call_default_factory=True)
    except Exception:
        return "computed"


def _resolved(part: Any, definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = part.get("$ref", "") if isinstance(part, Mapping) else ""
    return definitions.get(reference.rpartition("/")[2], {}) if reference else part or {}


def _type(part: Any, definitions: Mapping[str, Any]) -> str:
    part = _resolved(part, definitions)
    if "const" in part:
        return json.dumps(part["const"])
    if "enum" in part:
        return " or ".join(map(json.dumps, part["enum"]))
    for key in ("anyOf", "oneOf", "allOf"):
        if key in part:
            return " or ".join(dict.fromkeys(_type(each, definitions) for each in part[key]))
    kind = str(part.get("type", "anything"))
    word = _TYPES.get(kind, kind)
    if kind == "array" and part.get("items"):
        return f"{word} of {_type(part['items'], definitions)}"
    if kind == "string" and part.get("format") == "path":
        return "path"
    return word


def _bounds(part: Any, definitions: Mapping[str, Any]) -> Iterator[str]:
    part = _resolved(part, definitions)
    for key, words in _BOUNDS.items():
        if key in part:
            yield words.format(part[key])
    for key in ("anyOf", "oneOf", "allOf"):
        for each in part.get(key, ()):
            yield from _bounds(each, definitions)
    if part.get("items"):
        for bound in _bounds(part["items"], definitions):
            yield bound if bound.startswith("each ") else f"each {bound}"
