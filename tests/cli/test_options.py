"""``-O name=value``: options of a backbone on the command line."""

from __future__ import annotations

from typing import Any

import pytest

from ugpnet_core.cli.options import parse_options
from ugpnet_core.errors import ConfigError


@pytest.mark.parametrize(
    ("pairs", "options"),
    [
        ([], {}),
        (["width=16"], {"width": 16}),
        (["blocks=[1, 2]", "local=true"], {"blocks": [1, 2], "local": True}),
        (["checkpoint=a/b=c.pth"], {"checkpoint": "a/b=c.pth"}),
        (["size=null", "name="], {"size": None, "name": None}),
        (["width=16", "width=8"], {"width": 8}),
        (["head.depth=2", "head.kind=wide"], {"head": {"depth": 2, "kind": "wide"}}),
    ],
)
def test_pairs_become_options(pairs: list[str], options: dict[str, Any]) -> None:
    assert parse_options(pairs) == options


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (["width"], "'width' is no option; write it as key=value"),
        (["=3"], "is no option"),
        (["blocks=[1,"], "value of option 'blocks=\\[1,' is no YAML"),
        (["width=3", "width.inner=4"], "'width' is a value, not a section"),
    ],
)
def test_what_is_no_option_is_an_error(pairs: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_options(pairs)
