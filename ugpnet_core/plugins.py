"""Hook specifications, the entries they return, and the discovery of installed plugins.

A plugin is a module named by an entry point of the group ``ugpnet``. It implements one or more
of the four hooks with ``@hookimpl`` and returns entries: frozen, cheap descriptions of what it
brings. What an entry describes is imported only when it is used, so listing never imports torch.

A broken plugin never breaks anything else: :func:`discover` contains every failure and reports
it as a :class:`Problem` that names the distribution and the reason.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import pluggy
from pydantic import BaseModel, ConfigDict, ValidationError

from ugpnet_core.errors import ConfigError, PluginError

GROUP = "ugpnet"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


class Options(BaseModel):
    """Base for the options of a backbone, prior or task: unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, kw_only=True)
class BackboneEntry:
    """A regression network R that a plugin brings.

    ``factory`` ("package.module:callable") is called with the validated options as keyword
    arguments and returns an ``nn.Module`` that fulfils :class:`ugpnet_core.protocols.Backbone`.
    ``feature_channels``, ``parameters`` and ``size_multiple`` are those of the default options.
    """

    name: str
    description: str
    factory: str
    kind: Literal["direct", "residual"]
    feature_channels: int
    options: type[BaseModel] = Options
    scale: int = 1
    size_multiple: int = 1
    loss: Literal["l1", "psnr", "charbonnier"] = "l1"
    parameters: int | None = None
    paper: str = ""
    licence: str = ""


@dataclass(frozen=True, kw_only=True)
class PriorEntry:
    """A generator G and, for training, its discriminator D.

    ``factory`` gives an ``nn.Module`` that fulfils :class:`ugpnet_core.protocols.Prior`;
    ``discriminator`` is called with the same options and gives a module that maps images
    (N, 3, r, r) in [0, 1] to logits (N, 1).
    """

    name: str
    description: str
    factory: str
    discriminator: str | None = None
    options: type[BaseModel] = Options
    resolution: int | None = None
    parameters: int | None = None
    paper: str = ""
    licence: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A trained UGPNet: a model file that lies inside the plugin's package.

    ``file`` is "package.module:relative/path.safetensors"; ``sha256`` is checked before use.
    """

    name: str
    description: str
    file: str
    sha256: str
    task: str
    resolution: int
    backbone: str = ""
    prior: str = ""
    parameters: int | None = None
    licence: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """A degradation with its settings.

    ``factory`` is called with the validated options as keyword arguments and returns an object
    that fulfils :class:`ugpnet_core.protocols.Task`.
    """

    name: str
    description: str
    factory: str
    options: type[BaseModel] = Options
    scale: int = 1
    paper: str = ""


Entry = BackboneEntry | PriorEntry | ModelEntry | TaskEntry
E = TypeVar("E", BackboneEntry, PriorEntry, ModelEntry, TaskEntry)


class HookSpecs:
    """The four hooks. Each takes nothing and returns a list of entries, cheap and torch-free."""

    @hookspec
    def ugpnet_backbones(self) -> list[BackboneEntry]:
        """Return the backbones of this plugin."""
        raise NotImplementedError

    @hookspec
    def ugpnet_priors(self) -> list[PriorEntry]:
        """Return the priors of this plugin."""
        raise NotImplementedError

    @hookspec
    def ugpnet_models(self) -> list[ModelEntry]:
        """Return the trained models of this plugin."""
        raise NotImplementedError

    @hookspec
    def ugpnet_tasks(self) -> list[TaskEntry]:
        """Return the tasks (degradations) of this plugin."""
        raise NotImplementedError


HOOKS: Mapping[str, type[Entry]] = {
    "ugpnet_backbones": BackboneEntry,
    "ugpnet_priors": PriorEntry,
    "ugpnet_models": ModelEntry,
    "ugpnet_tasks": TaskEntry,
}
WORDS: Mapping[type[Entry], str] = {
    BackboneEntry: "backbone",
    PriorEntry: "prior",
    ModelEntry: "model",
    TaskEntry: "task",
}


@dataclass(frozen=True)
class Installed(Generic[E]):
    """An entry together with the distribution that brought it."""

    entry: E
    distribution: str
    version: str


@dataclass(frozen=True)
class Problem:
    """A plugin, or one entry of it, that cannot be used, and why."""

    plugin: str
    distribution: str
    version: str
    reason: str
    entry: str | None = None
    kind: str | None = None


@dataclass(frozen=True)
class Registry:
    """What :func:`discover` found: usable entries by name, and everything that is not usable."""

    backbones: Mapping[str, Installed[BackboneEntry]] = field(default_factory=dict)
    priors: Mapping[str, Installed[PriorEntry]] = field(default_factory=dict)
    models: Mapping[str, Installed[ModelEntry]] = field(default_factory=dict)
    tasks: Mapping[str, Installed[TaskEntry]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class _Source:
    """One entry point, with the name and version of its distribution."""

    plugin: str
    distribution: str
    version: str
    load: Callable[[], object]

    def problem(self, reason: str, entry: str | None = None, kind: str | None = None) -> Problem:
        return Problem(self.plugin, self.distribution, self.version, reason, entry, kind)


def discover(entry_points: Iterable[importlib.metadata.EntryPoint] | None = None) -> Registry:
    """Load every installed plugin and collect its entries.

    Never raises for what a plugin does: a plugin that fails, and every entry whose name two
    distributions claim, is left out and listed in ``problems``.

    Args:
        entry_points: those of the group ``ugpnet`` (default: all installed ones).
    """
    if entry_points is None:
        entry_points = importlib.metadata.entry_points(group=GROUP)
    sources = [_source(point) for point in entry_points]
    problems: list[Problem] = []
    found: dict[type[Entry], dict[str, list[tuple[_Source, Entry]]]] = {
        kind: {} for kind in HOOKS.values()
    }
    for name, group in _by(sources, lambda source: source.plugin).items():
        if len(group) > 1:
            names = " and ".join(sorted({source.distribution for source in group}))
            reason = f"entry point {name!r} is claimed by {names}; uninstall one of them"
            problems += [source.problem(reason) for source in group]
            continue
        source = group[0]
        entries, failures = _load(source)
        problems += [source.problem(failure) for failure in failures]
        for entry in entries:
            found[type(entry)].setdefault(entry.name, []).append((source, entry))

    usable: dict[type[Entry], dict[str, Installed[Any]]] = {}
    for kind, by_name in found.items():
        usable[kind] = {}
        for name, claims in sorted(by_name.items()):
            if len(claims) == 1:
                source, entry = claims[0]
                usable[kind][name] = Installed(entry, source.distribution, source.version)
                continue
            names = " and ".join(sorted({source.distribution for source, _ in claims}))
            reason = (
                f"the {WORDS[kind]} name {name!r} is claimed twice, by {names}; "
                "uninstall or rename one"
            )
            problems += [source.problem(reason, name, WORDS[kind]) for source, _ in claims]
    return Registry(
        backbones=usable[BackboneEntry],
        priors=usable[PriorEntry],
        models=usable[ModelEntry],
        tasks=usable[TaskEntry],
        problems=tuple(problems),
    )


@functools.cache
def registry() -> Registry:
    """The installed plugins, discovered once a process (``registry.cache_clear()`` forgets)."""
    return discover()


def find(kind: type[E], name: str) -> Installed[E]:
    """Look up the usable entry of a kind by its name.

    Raises:
        PluginError: there is none; the message names the near ones, or why it is unusable.
    """
    plugins = registry()
    by_kind: dict[type[Entry], Mapping[str, Installed[Any]]] = {
        BackboneEntry: plugins.backbones,
        PriorEntry: plugins.priors,
        ModelEntry: plugins.models,
        TaskEntry: plugins.tasks,
    }
    entries = by_kind[kind]
    if name in entries:
        return entries[name]
    word = WORDS[kind]
    for problem in plugins.problems:
        if problem.entry == name and problem.kind == word:
            raise PluginError(f"The {word} {name!r} cannot be used: {problem.reason}.")
        if problem.plugin == name:
            raise PluginError(
                f"The {word} {name!r} cannot be used: the plugin of {problem.distribution} "
                f"failed: {problem.reason}."
            )
    near = difflib.get_close_matches(name, entries, n=3, cutoff=0.5)
    known = f"did you mean {' or '.join(near)}?" if near else f"installed: {', '.join(entries)}."
    if kind is TaskEntry:
        raise PluginError(f"There is no task {name!r}; {known}")
    distribution = f"ugpnet-backbones-{name}" if kind is BackboneEntry else f"ugpnet-priors-{name}"
    if kind is ModelEntry:
        distribution = f"ugpnet-priors-{name.split('-')[0]}"
    raise PluginError(
        f"There is no {word} {name!r}; {known} If a distribution brings it, install that, "
        f"for instance: pip install {distribution}"
    )


def resolve(reference: str) -> Callable[..., Any]:
    """Import what ``"package.module:attribute"`` names.

    Raises:
        PluginError: the reference is malformed, or its module cannot be imported.
    """
    module_name, separator, attribute = reference.partition(":")
    if not separator or not module_name or not attribute:
        raise PluginError(f"{reference!r} is not of the form 'package.module:callable'.")
    try:
        target: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            target = getattr(target, part)
    except (Exception, SystemExit) as error:
        raise PluginError(f"{reference!r} cannot be imported: {_describe(error)}.") from error
    if not callable(target):
        raise PluginError(f"{reference!r} is not callable.")
    return target  # type: ignore[no-any-return]


def validate_options(
    entry: BackboneEntry | PriorEntry | TaskEntry, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Check options against an entry's model and fill in the defaults.

    Raises:
        ConfigError: an option is unknown or has an impossible value; the message names both the
            option and the valid ones.
    """
    try:
        model = entry.options(**options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "options"
        valid = ", ".join(entry.options.model_fields) or "none"
        raise ConfigError(
            f"Option {where!r} of {WORDS[type(entry)]} {entry.name!r}: {first['msg']}; "
            f"valid options: {valid}."
        ) from error
    return {name: getattr(model, name) for name in type(model).model_fields}


def _source(point: importlib.metadata.EntryPoint) -> _Source:
    distribution = point.dist
    return _Source(
        plugin=point.name,
        distribution=distribution.name if distribution else "(unknown distribution)",
        version=distribution.version if distribution else "",
        load=point.load,
    )


def _load(source: _Source) -> tuple[list[Entry], list[str]]:
    """Import one plugin and call its hooks: its entries, and the reasons of what failed."""
    try:
        module = source.load()
    except (Exception, SystemExit) as error:
        return [], [f"import failed: {_describe(error)}"]
    # A manager of its own, so that what one plugin breaks cannot reach another.
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    try:
        manager.register(module, source.plugin)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        return [], [_explain_validation(error)]
    except (Exception, SystemExit) as error:
        return [], [f"registration failed: {_describe(error)}"]

    entries: list[Entry] = []
    failures: list[str] = []
    implemented = 0
    for hook, kind in HOOKS.items():
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            implemented += 1
            try:
                entries += _checked(hook, kind, implementation.function())
            except (Exception, SystemExit) as error:
                failures.append(f"{hook}() failed: {_describe(error)}")
    if not implemented:
        failures.append(f"implements no hook; mark one of {', '.join(HOOKS)} with @hookimpl")
    return entries, failures


def _checked(hook: str, kind: type[Entry], returned: object) -> list[Entry]:
    """Refuse what is not a list of well-formed entries of one kind."""
    if not isinstance(returned, (list, tuple)):
        raise TypeError(f"returned {_short(returned)}, not a list of {kind.__name__}")
    for item in returned:
        if type(item) is not kind:
            raise TypeError(f"returned {_short(item)} where a {kind.__name__} belongs")
        if not isinstance(item.name, str) or not item.name.strip():
            raise TypeError(f"returned a {kind.__name__} without a name")
        reference = item.file if isinstance(item, ModelEntry) else item.factory
        if not isinstance(reference, str) or ":" not in reference:
            raise TypeError(f"{item.name!r} refers to {_short(reference)}, not to 'module:name'")
        options = getattr(item, "options", Options)
        if not (isinstance(options, type) and issubclass(options, BaseModel)):
            raise TypeError(f"the options of {item.name!r} are no pydantic model class")
    return list(returned)


def _explain_validation(error: pluggy.PluginValidationError) -> str:
    text = " ".join(str(error).split())
    for word in text.replace("'", " ").split():
        if word.startswith("ugpnet_") and word not in HOOKS:
            near = difflib.get_close_matches(word, HOOKS, n=1, cutoff=0.0)
            return f"unknown hook {word!r}; did you mean {near[0]!r}?"
    return f"hook does not fit its specification: {text}"


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _by(
    items: Iterable[_Source], key: Callable[[_Source], str]
) -> dict[str, list[_Source]]:
    groups: dict[str, list[_Source]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
