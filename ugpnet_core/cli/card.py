"""The card of an installed entry: everything that is declared, measured or on record of it."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ugpnet_core.cli.records import entry_record
from ugpnet_core.errors import ConfigError, UGPNetError
from ugpnet_core.plugins import (
    WORDS,
    BackboneEntry,
    Installed,
    ModelEntry,
    TaskEntry,
    validate_options,
)
from ugpnet_core.plugins.described_options import as_json, describe_options
from ugpnet_core.plugins.discovery import describe_error
from ugpnet_core.plugins.origin import origin_of

if TYPE_CHECKING:
    from ugpnet_core.metrics.complexity import Complexity

Card = dict[str, Any]


_UNCOUNTED: Card = {"measured": None, "not_measured": "add --count"}


def card_of(
    installed: Installed[Any], options: Mapping[str, Any] | None = None, *, count: bool = False
) -> Card:
    """Gather the card of an entry, as JSON can hold it.

    The fields of the entry are as declared; ``measured`` is what a network built with the options
    has (None where none was built, and ``not_measured`` says why).

    Args:
        installed: as :func:`ugpnet_core.plugins.find` gives it.
        options: to build it with, where not with its defaults.
        count: build it without options, too, which takes torch and seconds.

    Raises:
        ConfigError: an option is unknown or impossible, or a model was given one.
        PluginError: it cannot be built with these options.
    """
    entry = installed.entry
    options = options or {}
    card = entry_record(installed)
    card["what"] = WORDS[type(entry)]
    card["origin"] = dataclasses.asdict(origin_of(installed.distribution))
    if isinstance(entry, ModelEntry):
        if options:
            raise ConfigError(f"The model {entry.name!r} is finished and takes no options.")
        return card | _model_facts(entry, count)
    described = describe_options(entry)
    card["options"] = [dataclasses.asdict(option) for option in described]
    card["given"] = as_json(dict(options))
    missing = [one.name for one in described if one.required and one.name not in options]
    if options and not missing:
        validate_options(entry, options)
    if isinstance(entry, TaskEntry):
        return card
    if isinstance(entry, BackboneEntry):
        card["preset_of"] = entry.preset_of
        card["preset_options"] = as_json(dict(entry.preset_options))
    if missing:
        wanted = " ".join(f"-O {name}=..." for name in missing)
        if options:
            raise ConfigError(f"The {card['what']} {entry.name!r} needs {wanted}, too.")
        return card | {"measured": None, "not_measured": f"give {wanted}"}
    if not options and not count:
        return card | _UNCOUNTED
    facts = _backbone_facts if isinstance(entry, BackboneEntry) else _prior_facts
    return card | _measured(lambda: facts(entry.name, options), strict=bool(options))


def _measured(facts: Callable[[], Card], strict: bool = False) -> Card:
    """What was measured, or why it could not be; ``strict`` raises instead."""
    try:
        # What a plugin prints has no place in JSON.
        with contextlib.redirect_stdout(sys.stderr):
            return {"measured": facts(), "not_measured": ""}
    except UGPNetError as error:
        if strict:
            raise
        return {"measured": None, "not_measured": str(error)}
    except Exception as error:
        return {"measured": None, "not_measured": describe_error(error)}


def _backbone_facts(name: str, options: Mapping[str, Any]) -> Card:
    from ugpnet_core.factory import create_backbone
    from ugpnet_core.metrics.complexity import SIDE, backbone_macs, complexity_of

    found = complexity_of(lambda: create_backbone(name, **options), backbone_macs)
    names = ("kind", "feature_channels", "scale", "size_multiple", "fixed_size")
    facts = {each: getattr(found.network, each, None) for each in names}
    return facts | _counted(found, SIDE)


def _prior_facts(name: str, options: Mapping[str, Any]) -> Card:
    from ugpnet_core.factory import make_prior
    from ugpnet_core.metrics.complexity import complexity_of, prior_macs

    found = complexity_of(lambda: make_prior(name, **options), prior_macs)
    prior = found.network
    names = ("resolution", "base_size", "base_channels", "num_styles", "style_dim")
    facts = {each: getattr(prior, each) for each in (*names, "feature_channels")}
    return facts | _counted(found, prior.resolution)


def _counted(found: Complexity[Any], side: int) -> Card:
    """Parameters and MACs; ``side`` is that of the image, in pixels."""
    return {
        "parameters": found.parameters,
        "macs": found.macs,
        "macs_side": side,
        "macs_not_known": found.reason,
    }


def _model_facts(entry: ModelEntry, count: bool) -> Card:
    from ugpnet_core.model_files.finding import find_model_file
    from ugpnet_core.model_files.model import read_card

    try:
        # Finding it compares its SHA-256 with the declared one.
        path = find_model_file(entry.name, download=False)
        card = read_card(path)
    except UGPNetError as error:
        return {"file_problem": str(error), "measured": None, "not_measured": "see the file"}

    def facts() -> Card:
        from ugpnet_core.metrics.complexity import complexity_of, model_macs
        from ugpnet_core.networks.ugpnet import build_model

        found = complexity_of(lambda: build_model(card.config), model_macs)
        return _counted(found, found.network.resolution)

    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "file_problem": "",
        "config": card.config.model_dump(mode="json"),
        "plugins": dict(card.plugins),
        "record": as_json(dict(card.record)),
        **(_measured(facts) if count else _UNCOUNTED),
    }
