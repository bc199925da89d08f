"""Read a training configuration: YAML, ``key=value`` overrides, and the schema for editors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import ConfigError


def read_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a YAML file and apply overrides such as ``fusion.iterations=100``.

    Relative paths inside mean the current folder, as they do on the command line.

    Raises:
        ConfigError: the file is missing, no YAML, or has a key twice; an override has no ``=``;
            or a value cannot be right. The message names the key.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no settings; start from a file in examples/configs.")
    for override in overrides:
        _apply(content, override)
    try:
        return TrainConfig.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'settings'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise ConfigError(f"{path}: {problems}.") from error


def config_schema() -> dict[str, Any]:
    """The JSON schema of a training configuration, for editors."""
    return TrainConfig.model_json_schema()


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a section, where YAML takes the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"the key {key!r} stands twice,{node.start_mark}")
        return super().construct_mapping(node, deep)


def _apply(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"{override!r} is no override; write it as key.subkey=value.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"The value of override {override!r} is no YAML.") from error
    *sections, last = key.split(".")
    for section in sections:
        inner = content.setdefault(section, {})
        if inner is None:
            inner = content[section] = {}
        if not isinstance(inner, dict):
            raise ConfigError(f"Override {override!r}: {section!r} is a value, not a section.")
        content = inner
    content[last] = value
