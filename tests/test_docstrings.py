"""What the reference shows: arguments are described in sentences, and examples run."""

from __future__ import annotations

import dataclasses
import doctest
import functools
import inspect
import re
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any, get_args

import pytest

import ugpnet_core as ug
from ugpnet_core import plugins
from ugpnet_core.config import Strict
from ugpnet_core.engines.export import Exported
from ugpnet_core.errors import UGPNetError
from ugpnet_core.image import ImageFile

SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Examples):")
ITEM = re.compile(r"    ([\w*]+(?:, \w+)*): (.*)")
SENTENCE = re.compile(r"[A-Z].*[.:]", re.DOTALL)
SPECIAL = ("__call__",)


def public() -> dict[str, Any]:
    """Classes and functions of ours that the reference shows, by name."""
    found = {
        name: getattr(module, name)
        for module in (ug, plugins)
        for name in module.__all__
        if name not in ("E", "Call")
    }
    found |= {"Exported": Exported, "ImageFile": ImageFile}
    return {
        name: value
        for name, value in found.items()
        if (inspect.isclass(value) or inspect.isroutine(value) or is_cached(value))
        and inspect.unwrap(value).__module__.startswith("ugpnet_core")
    }


def is_cached(value: object) -> bool:
    return isinstance(value, type(functools.cache(len)))


def documented() -> Iterator[tuple[str, Any]]:
    """Those, and the public methods of the classes."""
    for name, value in public().items():
        yield name, value
        if not inspect.isclass(value) or issubclass(value, UGPNetError | Strict | plugins.Options):
            continue
        members = {
            each: member
            for kind in reversed(value.__mro__)
            if kind.__module__.startswith("ugpnet_core")
            for each, member in vars(kind).items()
        }
        for each, member in members.items():
            if (each in SPECIAL or each[0] != "_") and isinstance(member, FunctionType):
                yield f"{name}.{each}", member


DOCUMENTED = dict(documented())
# Described by torch.
ELSEWHERE = {"state_dict"}


def sections(docstring: str) -> dict[str, dict[str, str]]:
    """The items of a docstring's sections by name; the text of Returns under no name."""
    found: dict[str, dict[str, str]] = {}
    section, item = None, ""
    for line in inspect.cleandoc(docstring).splitlines():
        if (header := SECTION.fullmatch(line)) is not None:
            section, item = found.setdefault(header[1], {}), ""
            is_list = header[1] in ("Args", "Attributes", "Raises")
        elif line and line[0] != " ":
            section = None
        elif section is not None and line.strip():
            begin = ITEM.fullmatch(line) if is_list else None
            if begin is not None:
                item = begin[1]
                section[item] = begin[2]
            else:
                section[item] = f"{section.get(item, '')} {line.strip()}".strip()
    return found


def test_sections_are_read() -> None:
    text = """One.

    Args:
        a: A thing
            of two lines.
        b, c: Things: two.

    Returns:
        It is: this.
    """
    assert sections(text) == {
        "Args": {"a": "A thing of two lines.", "b, c": "Things: two."},
        "Returns": {"": "It is: this."},
    }


@pytest.mark.parametrize("name", DOCUMENTED)
def test_descriptions_are_sentences(name: str) -> None:
    docstring = DOCUMENTED[name].__doc__
    assert docstring, f"{name} has no docstring"
    for section, items in sections(docstring).items():
        for item, text in items.items():
            if section != "Examples":
                assert SENTENCE.fullmatch(text), f"{name}, {section}, {item}: {text}"


@pytest.mark.parametrize("name", DOCUMENTED)
def test_all_arguments_and_fields_are_described(name: str) -> None:
    value = DOCUMENTED[name]
    found = sections(value.__doc__)
    described = {*found.get("Args", {}), *found.get("Attributes", {})}
    for missing in arguments(name, value) - described:
        raise AssertionError(f"{name} says nothing of {missing}")
    if "Args" in found and not inspect.isclass(value):
        assert set(found["Args"]) <= arguments(name, value), f"{name} describes what it lacks"


def arguments(name: str, value: Any) -> set[str]:
    """What a caller gives, or finds in an object that is plain data."""
    if dataclasses.is_dataclass(value):
        return {field.name for field in dataclasses.fields(value)}
    if inspect.isclass(value) and issubclass(value, tuple):
        return set(value._fields)  # type: ignore[attr-defined]
    if inspect.isclass(value) and (
        issubclass(value, UGPNetError | Strict | plugins.Options | plugins.WrappedBackbone)
        or getattr(value, "_is_protocol", False)
    ):
        return set()
    if name.rpartition(".")[2] in ELSEWHERE or (inspect.isclass(value) and not own_init(value)):
        return set()
    parameters = inspect.signature(value).parameters
    return {each for each in parameters if each != "self"}


def own_init(value: type) -> bool:
    return any("__init__" in vars(one) for one in value.__mro__ if "ugpnet" in one.__module__)


def examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(recurse=False)
    for name, value in DOCUMENTED.items():
        yield from (test for test in finder.find(inspect.unwrap(value), name) if test.examples)


EXAMPLES = {test.name: test for test in examples()}


def test_there_are_examples() -> None:
    wanted = {"Restorer", "create_backbone", "create_prior", "create_task", "degrade", "load_model"}
    wanted |= {
        "BackboneEntry",
        "Options",
        "wrap_backbone",
        "build_model",
        "evaluate",
        "write_image",
    }
    assert wanted <= set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name: str) -> None:
    said: list[str] = []
    write: Callable[[str], Any] = said.append
    test = EXAMPLES[name]
    test.globs = {}
    failed, _ = doctest.DocTestRunner(verbose=False).run(test, out=write)
    assert not failed, "".join(said)


def sections_of(kind: type[Strict]) -> Iterator[type[Strict]]:
    """A configuration and the sections in it."""
    yield kind
    for field in kind.model_fields.values():
        for inner in (field.annotation, *get_args(field.annotation)):
            if inspect.isclass(inner) and issubclass(inner, Strict):
                yield from sections_of(inner)


@pytest.mark.parametrize("kind", dict.fromkeys(sections_of(ug.TrainConfig)))
def test_settings_are_described_in_sentences(kind: type[Strict]) -> None:
    for name, field in kind.model_fields.items():
        if field.description is not None:
            assert SENTENCE.fullmatch(field.description), f"{name}: {field.description}"
