"""Read configurations: YAML, ``key=value`` overrides, and the schema for editors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import ConfigError

C = TypeVar("C", bound=BaseModel)
Place = tuple[int | str, ...]


def read_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a YAML file and apply overrides such as ``fusion.iterations=100``.

    Relative paths inside mean the current folder, as they do on the command line.

    Raises:
        ConfigError: the file is missing, no YAML, or has a key twice; an override has no ``=``;
            or a value cannot be right. The message names the key.
    """
    return read_settings(TrainConfig, path, overrides)


def read_settings(kind: type[C], path: Path, overrides: Sequence[str] = ()) -> C:
    """Read the settings of some kind; see :func:`read_config`."""
    content = read_sections(path)
    for override in overrides:
        apply_override(content, override)
    return validated(kind, content, str(path))


def read_sections(path: Path) -> dict[str, Any]:
    """The sections of a YAML file, as they stand.

    Raises:
        ConfigError: the file is missing, no YAML, has a key twice, or holds no sections.
    """
    try:
        text = path.read_text(encoding="utf-8")
        _refuse_repeated_keys(yaml.compose(text, yaml.SafeLoader), path)
        content = yaml.safe_load(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no settings; start from a file in examples/configs.")
    return content


def validated(kind: type[C], content: Mapping[str, Any], source: str) -> C:
    """Sections as a configuration of some kind.

    Raises:
        ConfigError: a value cannot be right; the message begins with ``source`` and names the key.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{source}: {'; '.join(_problems(error, content))}.") from error


def _problems(error: ValidationError, content: Mapping[str, Any]) -> list[str]:
    """What is wrong where. Of a setting that may be of several kinds, what is wrong with it as the
    kind that it is of."""
    found = [(*_place(problem, content), problem) for problem in error.errors()]

    def is_of_other_kind(place: Place, choice: Place | None, problem: ErrorDetails) -> bool:
        return place == choice and problem["type"].endswith("_type")

    decided = {one[1] for one in found if not is_of_other_kind(*one)}
    told = [one for one in found if one[1] not in decided or not is_of_other_kind(*one)]
    lines = (
        f"{'.'.join(map(str, place)) or 'settings'}: {problem['msg'].removeprefix('Value error, ')}"
        for place, _, problem in told
    )
    return list(dict.fromkeys(lines))


def _place(problem: ErrorDetails, content: Any) -> tuple[Place, Place | None]:
    """Where a problem is, without the kinds of a setting that may be of several; and where such a
    setting is."""
    place: Place = ()
    choice: Place | None = None
    for index, part in enumerate(problem["loc"], 1):
        is_last = index == len(problem["loc"])
        if isinstance(content, Mapping) and part in content:
            content = content[part]
        elif isinstance(content, list) and part in range(len(content)):
            content = content[int(part)]
        elif not (is_last and problem["type"] == "missing"):
            choice = place if choice is None else choice
            continue
        place += (part,)
    return place, choice


def config_schema() -> dict[str, Any]:
    """The JSON schema of a training configuration, for editors."""
    return TrainConfig.model_json_schema()


def _refuse_repeated_keys(node: yaml.Node | None, path: Path) -> None:
    """YAML takes the last of two sections of one name and drops the first without a word."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                line = key.start_mark.line + 1
                raise ConfigError(f"{path}: {name!r} stands twice, again in line {line}.")
            seen.add(name)
            _refuse_repeated_keys(value, path)


def apply_override(content: dict[str, Any], override: str, word: str = "override") -> None:
    """Set what ``key.subkey=value`` names in nested sections; the value is YAML.

    Args:
        content: the sections, changed in place; a missing one is made.
        word: what errors call an override.

    Raises:
        ConfigError: there is no ``=``, the value is no YAML, or a section is a value.
    """
    key, value = parse_override(override, word)
    set_value(content, key, value, f"{word.capitalize()} {override!r}")


def parse_override(override: str, word: str = "override") -> tuple[str, Any]:
    """Take ``key.subkey=value`` apart; errors and ``word`` as :func:`apply_override`."""
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"{override!r} is no {word}; write it as key=value or key.subkey=value.")
    try:
        return key, yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"The value of {word} {override!r} is no YAML.") from error


def set_value(content: dict[str, Any], key: str, value: Any, source: str) -> None:
    """Set what a dotted key names in nested sections, which are changed in place.

    Raises:
        ConfigError: a section is a value; the message begins with ``source``.
    """
    *sections, last = key.split(".")
    for section in sections:
        inner = content.setdefault(section, {})
        if inner is None:
            inner = content[section] = {}
        if not isinstance(inner, dict):
            raise ConfigError(f"{source}: {section!r} is a value, not a section.")
        content = inner
    content[last] = value
