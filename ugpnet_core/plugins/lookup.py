"""Find installed entries by name, import what they refer to, check options against them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ugpnet_core.errors import ConfigError, PluginError, UnknownNameError
from ugpnet_core.near import did_you_mean
from ugpnet_core.plugins.discovery import Installed, Problem, describe_error, registry
from ugpnet_core.plugins.entries import (
    WORDS,
    BackboneEntry,
    E,
    Entry,
    ModelEntry,
    PriorEntry,
    TaskEntry,
)

M = TypeVar("M", bound=BaseModel)


def list_backbones() -> list[BackboneEntry]:
    """The usable backbones, by name; imports neither torch nor numpy.

    Examples:
        >>> import ugpnet_core as ug
        >>> "nafnet" in [entry.name for entry in ug.list_backbones()]
        True
    """
    return [installed.entry for installed in registry().backbones.values()]


def list_priors() -> list[PriorEntry]:
    """The usable priors, by name; imports neither torch nor numpy."""
    return [installed.entry for installed in registry().priors.values()]


def list_models() -> list[ModelEntry]:
    """The usable trained models, by name; imports neither torch nor numpy."""
    return [installed.entry for installed in registry().models.values()]


def list_tasks() -> list[TaskEntry]:
    """The usable tasks (degradations), by name; imports neither torch nor numpy."""
    return [installed.entry for installed in registry().tasks.values()]


def find(kind: type[E], name: str) -> Installed[E]:
    """Look up the usable entry of a kind by its name; a preset is found as its backbone with
    other defaults.

    Args:
        kind: The kind of entry, such as :class:`ugpnet_core.plugins.BackboneEntry`.
        name: The name of the entry.

    Returns:
        The entry, with the name and version of its distribution.

    Raises:
        UnknownNameError: There is none; the message names the near ones and what to install.
        PluginError: It is installed but cannot be used; the message says why.

    Examples:
        >>> from ugpnet_core.plugins import BackboneEntry, find
        >>> found = find(BackboneEntry, "nafnet")
        >>> found.distribution, found.entry.kind
        ('ugpnet-backbones-nafnet', 'residual')
    """
    plugins = registry()
    by_kind: dict[type[Entry], Mapping[str, Installed[Any]]] = {
        BackboneEntry: {**plugins.backbones, **plugins.presets},
        PriorEntry: plugins.priors,
        ModelEntry: plugins.models,
        TaskEntry: plugins.tasks,
    }
    entries = by_kind[kind]
    if name in entries:
        return entries[name]
    word = WORDS[kind]
    unusable = [problem for problem in plugins.problems if problem.kind in (None, word)]
    for problem in unusable:
        if name in (problem.entry, problem.plugin if problem.entry is None else None):
            raise PluginError(_unusable(word, name, problem))
    installed = list(plugins.backbones if kind is BackboneEntry else entries)
    owners = {one.distribution for one in entries.values()}
    raise UnknownNameError(_unknown(kind, name, list(entries), installed, owners, unusable))


def find_any(name: str) -> list[Installed[Any]]:
    """Look up the usable entries of a name among backbones, presets, priors, models and tasks.

    Args:
        name: The name of the entries.

    Returns:
        The entries, at least one, each with the name and version of its distribution.

    Raises:
        UnknownNameError: There is none; the message names the near ones and what to install.
        PluginError: It is installed but cannot be used; the message says why.
    """
    found: list[Installed[Any]] = []
    unusable: PluginError | None = None
    for kind in WORDS:
        try:
            found.append(find(kind, name))
        except UnknownNameError:
            continue
        except PluginError as error:
            unusable = unusable or error
    if not found:
        raise unusable or UnknownNameError(_unknown_anywhere(name))
    return found


def _unknown_anywhere(name: str) -> str:
    plugins = registry()
    groups: dict[str, Mapping[str, Installed[Any]]] = {
        "backbone": plugins.backbones,
        "preset": plugins.presets,
        "prior": plugins.priors,
        "model": plugins.models,
        "task": plugins.tasks,
    }
    words = {each: word for word, group in groups.items() for each in group}
    others = "see ugpnet list-backbones, list-priors, list-models and list-tasks."
    hint = did_you_mean(name, words, others, count=3, cutoff=0.5, kinds=words)
    owners = {one.distribution for group in groups.values() for one in group.values()}
    bringing = [_distribution(kind, name) for kind in (BackboneEntry, PriorEntry, ModelEntry)]
    message = f"There is no backbone, preset, prior, model or task {name!r}; {hint}"
    wanted = [each for each in dict.fromkeys(bringing) if each and each not in owners]
    if wanted:
        message += f" A plugin may bring it: pip install {' or '.join(wanted)}"
    return message + _not_searched(plugins.problems, "backbones")


def _unusable(word: str, name: str, problem: Problem) -> str:
    return (
        f"The {word} {name!r} cannot be used: the plugin {problem.plugin!r} of "
        f"{problem.distribution} {problem.version} is broken: {problem.reason.rstrip('.')}."
    )


def _unknown(
    kind: type[Entry],
    name: str,
    known: list[str],
    installed: list[str],
    owners: set[str],
    unusable: list[Problem],
) -> str:
    word = WORDS[kind]
    listed = (
        f"; installed are: {', '.join(installed)}." if installed else ", and none is installed."
    )
    found = did_you_mean(name, known, count=3, cutoff=0.5)
    message = f"There is no {word} {name!r}" + (f"; {found}" if found else listed)
    distribution = _distribution(kind, name)
    if distribution and distribution not in owners:
        message += f" A plugin may bring it: pip install {distribution}"
    return message + _not_searched(unusable, f"{word}s")


def _distribution(kind: type[Entry], name: str) -> str | None:
    """Which of our distributions would bring a name, by the way they are called."""
    # Presets lie in the distribution of their backbone (rrdbnet-x4 in rrdbnet), and models in
    # that of their prior (portraits-denoise in portraits).
    owner = name.split("-")[0] if kind in (BackboneEntry, ModelEntry) else name
    package = re.sub(r"[^a-z0-9]+", "-", owner.lower()).strip("-")
    family = "backbones" if kind is BackboneEntry else "priors"
    return f"ugpnet-{family}-{package}" if package and kind is not TaskEntry else None


def _not_searched(unusable: Iterable[Problem], listing: str) -> str:
    broken = sorted({problem.distribution for problem in unusable})
    if not broken:
        return ""
    return f" (Broken, and so not searched: {', '.join(broken)}; see ugpnet list-{listing}.)"


def resolve(reference: str) -> Callable[..., Any]:
    """Import what ``"package.module:attribute"`` names.

    Args:
        reference: The module and, behind a colon, what to take from it.

    Returns:
        What is there, which can be called.

    Raises:
        PluginError: The reference is malformed, or its module cannot be imported.
    """
    module_name, separator, attribute = reference.partition(":")
    if not separator or not module_name or not attribute:
        raise PluginError(f"{reference!r} is not of the form 'package.module:callable'.")
    try:
        target: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            target = getattr(target, part)
    except (Exception, SystemExit) as error:
        raise PluginError(f"{reference!r} cannot be imported: {describe_error(error)}.") from error
    if not callable(target):
        raise PluginError(f"{reference!r} is not callable.")
    return target  # type: ignore[no-any-return]


def validate_options(
    entry: BackboneEntry | PriorEntry | TaskEntry, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Check options against an entry's model and fill in the defaults, a preset's first.

    An unknown option is an error even where a plugin's model would ignore it.

    Args:
        entry: The entry whose options they are.
        options: Options by name; those that are left out get their defaults.

    Returns:
        All options by name, as the factory is called with them.

    Raises:
        ConfigError: An option is unknown or has an impossible value; the message names both the
            option and the valid ones.
    """
    what = f"{WORDS[type(entry)]} {entry.name!r}"
    if isinstance(entry, BackboneEntry):
        options = {**entry.preset_options, **options}
    model = checked_options(entry.options, options, what)
    return {name: getattr(model, name) for name in entry.options.model_fields} | (
        model.model_extra or {}
    )


def checked_options(model: type[M], options: Mapping[str, Any], what: str) -> M:
    """Check options against a model; an unknown one is an error even where it would ignore it.

    Args:
        what: whose options they are, as the message says it: "task 'denoise'".

    Raises:
        ConfigError: as :func:`validate_options`.
    """
    fields = model.model_fields
    valid = ", ".join(fields) or "none"
    if model.model_config.get("extra") != "allow":
        aliases = {field.alias for field in fields.values()}
        for name in options:
            if name not in fields and name not in aliases:
                hint = did_you_mean(str(name), fields, quoted=True)
                words = f"{hint} Valid" if hint else "valid"
                raise ConfigError(f"There is no option {name!r} of {what}; {words}: {valid}.")
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        whose = f"Option {where!r} of {what}" if where else f"Options of {what}"
        said = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{whose}: {said}; valid options: {valid}.") from error
