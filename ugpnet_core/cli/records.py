"""Entries as JSON shows them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from ugpnet_core.plugins import (
    BackboneEntry,
    E,
    Entry,
    Installed,
    ModelEntry,
    Preset,
    PriorEntry,
    TaskEntry,
)
from ugpnet_core.plugins.described_options import as_json
from ugpnet_core.plugins.presence import missing_parts


def entry_record(installed: Installed[E]) -> dict[str, Any]:
    """The fields of an entry, its options as JSON schema properties, and where it comes from."""
    entry: Entry = installed.entry
    fields = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
    if not isinstance(entry, ModelEntry):
        fields["options"] = _options(entry)
    if isinstance(entry, BackboneEntry):
        # They belong to entries that were made of a preset, and those are no backbones of a list.
        del fields["preset_of"], fields["preset_options"]
        fields["presets"] = [preset_record(entry, preset) for preset in entry.presets]
    source = {"distribution": installed.distribution, "version": installed.version}
    missing = missing_parts(installed)
    return fields | source | {"status": ", ".join(missing) or "ok", "missing": missing}


def preset_record(entry: BackboneEntry, preset: Preset) -> dict[str, Any]:
    """The fields of a preset; what it leaves open is as its backbone has it."""
    made = entry.with_preset(preset)
    names = [field.name for field in dataclasses.fields(preset) if field.name != "options"]
    fields = {name: getattr(made, name) for name in names}
    return fields | {"options": as_json(dict(preset.options))}


def _options(entry: BackboneEntry | PriorEntry | TaskEntry) -> dict[str, Any]:
    """The options as JSON schema properties; names only where a plugin's types have no schema."""
    try:
        schema = entry.options.model_json_schema()
        json.dumps(schema)
    except Exception:
        return {name: {} for name in entry.options.model_fields}
    properties: dict[str, Any] = schema.get("properties", {})
    return properties
