"""Plugins: the hooks and entries that authors use, and the discovery of what is installed.

A plugin is a module named by an entry point of the group ``ugpnet``. It implements one or more
of the four hooks with ``@hookimpl`` and returns entries: frozen, cheap descriptions of what it
brings. What an entry describes is imported only when it is used, so listing never imports torch.

A broken plugin never breaks anything else: :func:`discover` contains every failure and reports
it as a :class:`Problem` that names the distribution and the reason.
"""

from __future__ import annotations

from ugpnet_core.plugins.discovery import Installed, Problem, Registry, discover, registry
from ugpnet_core.plugins.entries import (
    GROUP,
    HOOKS,
    WORDS,
    BackboneEntry,
    E,
    Entry,
    HookSpecs,
    ModelEntry,
    Options,
    Preset,
    PriorEntry,
    TaskEntry,
    hookimpl,
    hookspec,
)
from ugpnet_core.plugins.lookup import (
    find,
    find_any,
    list_backbones,
    list_models,
    list_priors,
    list_tasks,
    resolve,
    validate_options,
)

__all__ = [
    "GROUP",
    "HOOKS",
    "WORDS",
    "BackboneEntry",
    "E",
    "Entry",
    "HookSpecs",
    "Installed",
    "ModelEntry",
    "Options",
    "Preset",
    "PriorEntry",
    "Problem",
    "Registry",
    "TaskEntry",
    "discover",
    "find",
    "find_any",
    "hookimpl",
    "hookspec",
    "list_backbones",
    "list_models",
    "list_priors",
    "list_tasks",
    "registry",
    "resolve",
    "validate_options",
]
