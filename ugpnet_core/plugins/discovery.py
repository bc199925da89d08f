"""Load the installed plugins, and contain everything that a broken one does."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.metadata
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pluggy

from ugpnet_core.near import did_you_mean
from ugpnet_core.plugins.entries import (
    GROUP,
    HOOKS,
    WORDS,
    BackboneEntry,
    E,
    Entry,
    HookSpecs,
    ModelEntry,
    PriorEntry,
    TaskEntry,
)
from ugpnet_core.plugins.wellformed import fault_of, shown

T = TypeVar("T")

# The version of what plugins may import (docs/plugins.md). A module that names a later one in its
# own PLUGIN_API is not loaded.
PLUGIN_API = 1
LATER = " (If it was made for a later ugpnet-core, install that.)"
# A plugin that takes longer to load makes every listing slow.
SLOW_SECONDS = 1.0


@dataclass(frozen=True)
class Installed(Generic[E]):
    """An entry together with the distribution that brought it."""

    entry: E
    distribution: str
    version: str


@dataclass(frozen=True)
class Problem:
    """A plugin, or one entry of it, that cannot be used, and why.

    ``kind`` ("backbone", "prior", ...) is set where the failure is known to concern that kind
    only; ``entry`` where it concerns one entry.
    """

    plugin: str
    distribution: str
    version: str
    reason: str
    entry: str | None = None
    kind: str | None = None


@dataclass(frozen=True)
class Registry:
    """What :func:`discover` found: usable entries by name, and everything that is not usable.

    ``presets`` holds one entry for each preset of a usable backbone. ``slow`` has a sentence for
    each plugin that makes listings slow.
    """

    backbones: Mapping[str, Installed[BackboneEntry]] = field(default_factory=dict)
    priors: Mapping[str, Installed[PriorEntry]] = field(default_factory=dict)
    models: Mapping[str, Installed[ModelEntry]] = field(default_factory=dict)
    tasks: Mapping[str, Installed[TaskEntry]] = field(default_factory=dict)
    presets: Mapping[str, Installed[BackboneEntry]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    slow: tuple[str, ...] = ()


class _BrokenPluginError(Exception):
    """Why a plugin's code, or what it returned, cannot be used."""


@dataclass(frozen=True)
class _EntryPoint:
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
    distributions claim, is left out and listed in ``problems``. What a plugin prints goes to
    stderr, so that the output of a listing stays clean.

    Args:
        entry_points: those of the group ``ugpnet`` (default: all installed ones).
    """
    if entry_points is None:
        entry_points = importlib.metadata.entry_points(group=GROUP)
    problems: list[Problem] = []
    slow: list[str] = []
    found: dict[type[Entry], dict[str, list[tuple[_EntryPoint, Entry]]]] = {
        kind: {} for kind in HOOKS.values()
    }
    for name, group in _by_plugin_name(entry_points).items():
        if len(group) > 1:
            reason = f"entry point {name!r} is claimed by {_owners(group)}; uninstall one of them"
            problems += dict.fromkeys(source.problem(reason) for source in group)
            continue
        with _timed(group[0], slow):
            loaded = _load(group[0], problems)
        for entry in loaded:
            ones: list[Entry] = [entry]
            if isinstance(entry, BackboneEntry):
                # They are asked for in the same way as backbones, so they share names.
                ones += [entry.with_preset(preset) for preset in entry.presets]
            for one in ones:
                found[type(one)].setdefault(one.name, []).append((group[0], one))

    usable: dict[type[Entry], dict[str, Installed[Any]]] = {kind: {} for kind in found}
    for kind, by_name in found.items():
        for name, claims in sorted(by_name.items()):
            if len(claims) == 1:
                source, entry = claims[0]
                usable[kind][name] = Installed(entry, source.distribution, source.version)
                continue
            sources = [source for source, _ in claims]
            word = WORDS[kind]
            reason = (
                f"the {word} name {name!r} is claimed more than once, by {_owners(sources)}; "
                "uninstall or rename one"
            )
            problems += dict.fromkeys(source.problem(reason, name, word) for source in sources)
    both = usable[BackboneEntry]
    backbones = {name: one for name, one in both.items() if one.entry.preset_of is None}
    presets = {name: one for name, one in both.items() if _has_base(one, backbones)}
    return Registry(
        backbones={name: _with_usable(one, presets) for name, one in backbones.items()},
        presets=presets,
        priors=usable[PriorEntry],
        models=usable[ModelEntry],
        tasks=usable[TaskEntry],
        problems=tuple(sorted(problems, key=lambda one: (one.distribution, one.plugin))),
        slow=tuple(slow),
    )


@contextlib.contextmanager
def _timed(source: _EntryPoint, slow: list[str]) -> Iterator[None]:
    """Add a sentence to ``slow`` where a plugin takes long to load, or loads torch."""
    had_torch, started = "torch" in sys.modules, time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    loads_torch = not had_torch and "torch" in sys.modules
    if loads_torch or seconds > SLOW_SECONDS:
        torch = " and imports torch" if loads_torch else ""
        slow.append(
            f"The plugin {source.plugin!r} of {source.distribution} {source.version} takes "
            f"{seconds * 1000:.0f} ms to load{torch}, which every command waits for; its module "
            "should import what it needs where it is used."
        )


@functools.cache
def registry() -> Registry:
    """The installed plugins, discovered once a process (``registry.cache_clear()`` forgets)."""
    return discover()


def describe_error(error: BaseException) -> str:
    """Put an exception of someone else's code into one line: its type and its message."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _has_base(
    one: Installed[BackboneEntry], backbones: Mapping[str, Installed[BackboneEntry]]
) -> bool:
    """Whether this is a preset whose backbone is usable itself, of the same distribution."""
    base = backbones.get(one.entry.preset_of or "")
    return base is not None and base.distribution == one.distribution


def _with_usable(
    one: Installed[BackboneEntry], presets: Mapping[str, Installed[BackboneEntry]]
) -> Installed[BackboneEntry]:
    """A backbone without those of its presets whose names are contested."""
    usable = tuple(preset for preset in one.entry.presets if preset.name in presets)
    entry = dataclasses.replace(one.entry, presets=usable)
    return dataclasses.replace(one, entry=entry)


def _by_plugin_name(
    points: Iterable[importlib.metadata.EntryPoint],
) -> dict[str, list[_EntryPoint]]:
    groups: dict[str, list[_EntryPoint]] = {}
    for point in points:
        source = _EntryPoint(point.name, *_identity(point.dist), point.load)
        groups.setdefault(point.name, []).append(source)
    return groups


def _identity(distribution: importlib.metadata.Distribution | None) -> tuple[str, str]:
    """The name and version of a distribution, as far as they can be told."""
    with contextlib.suppress(Exception):
        if distribution is not None and distribution.name:
            return distribution.name, distribution.version or ""
    return "(unknown distribution)", ""


def _owners(sources: list[_EntryPoint]) -> str:
    return " and ".join(sorted({source.distribution for source in sources}))


def _run(action: Callable[[], T]) -> T:
    """Call a plugin's code; whatever it raises, except an interrupt, is a broken plugin."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return action()
    except (KeyboardInterrupt, _BrokenPluginError):
        raise
    except BaseException as error:
        raise _BrokenPluginError(describe_error(error)) from error


def _load(source: _EntryPoint, problems: list[Problem]) -> list[Entry]:
    """Import one plugin and call its hooks; what fails is added to ``problems``."""
    # A manager of its own, so that what one plugin breaks cannot reach another.
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    try:
        module = _run(source.load)
    except _BrokenPluginError as broken:
        problems.append(source.problem(f"import failed: {broken}"))
        return []
    needed = getattr(module, "PLUGIN_API", PLUGIN_API)
    if not isinstance(needed, int) or needed > PLUGIN_API:
        reason = (
            f"is made for plugin interface {shown(needed)}, and this ugpnet-core has "
            f"{PLUGIN_API}; install a newer one"
        )
        problems.append(source.problem(reason))
        return []
    try:
        _run(lambda: manager.register(module, source.plugin))
    except _BrokenPluginError as broken:
        text = str(broken)
        if isinstance(broken.__cause__, pluggy.PluginValidationError):
            text = f"a hook does not fit its specification (it takes no arguments): {text}"
        problems.append(source.problem(text))
        return []
    unknown = [
        name
        for name, hook in vars(manager.hook).items()
        if name not in HOOKS
        and name[0] != "_"
        and not all(one.optionalhook for one in hook.get_hookimpls())
    ]
    for name in unknown:
        hint = did_you_mean(name, HOOKS, cutoff=0.0, quoted=True)
        problems.append(source.problem(f"unknown hook {name!r}; {hint}{LATER}"))
    if unknown:
        return []

    entries: list[Entry] = []
    hooks = {hook: getattr(manager.hook, hook).get_hookimpls() for hook in HOOKS}
    if not any(hooks.values()):
        reason = f"implements no hook; mark one of {', '.join(HOOKS)} with @hookimpl"
        problems.append(source.problem(reason))
    for hook, implementations in hooks.items():
        for implementation in implementations:
            try:
                entries += _call(hook, implementation.function)
            except _BrokenPluginError as broken:
                problems.append(source.problem(str(broken), kind=WORDS[HOOKS[hook]]))
    return entries


def _call(hook: str, function: Callable[[], object]) -> list[Entry]:
    """Call one hook and refuse what is not a list of well-formed entries of its kind."""
    try:
        returned = _run(function)
        # A list may be of a class of its own, and fail when it is gone through.
        items = _run(lambda: list(returned)) if isinstance(returned, (list, tuple)) else None
    except _BrokenPluginError as broken:
        is_unknown_field = isinstance(broken.__cause__, TypeError) and "argument" in str(broken)
        later = LATER if is_unknown_field else ""
        raise _BrokenPluginError(f"{hook}() failed: {broken}{later}") from broken
    kind = HOOKS[hook]
    if items is None:
        raise _BrokenPluginError(f"{hook}() returned {shown(returned)}, not a list of entries")
    for item in items:
        if type(item) is not kind:
            raise _BrokenPluginError(
                f"{hook}() returned {shown(item)} where a {kind.__name__} belongs"
            )
        fault = _run(lambda item=item: fault_of(item))  # type: ignore[misc]
        if fault:
            raise _BrokenPluginError(f"{hook}() returned a {kind.__name__} with {fault}")
    return items
