"""Ranges in options: ``[low, high]``, from which each image draws a number, or one fixed number.

Torch-free, as the options of tasks are.
"""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

Range = tuple[float, float]


def _as_pair(value: Any) -> Any:
    if isinstance(value, str):
        # YAML takes 1e-3 for a word.
        with contextlib.suppress(ValueError):
            value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (value, value)
    if isinstance(value, list | tuple) and len(value) == 2:
        return value
    raise ValueError("give a number or [low, high]")


Pair = TypeVar("Pair", bound=tuple[float, float])


def _in_order(value: Pair) -> Pair:
    low, high = value
    if low > high:
        raise ValueError(f"{low:g} is larger than {high:g}; write the smaller number first")
    return value


_Zero = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Pixels = Annotated[float, Field(ge=0.01, le=64)]
_Factor = Annotated[float, Field(ge=0.1, le=64, allow_inf_nan=False)]
_Quality = Annotated[int, Field(ge=1, le=100)]


class _Either:
    """The schema of a number, and of a list of such numbers, in place of that of a pair."""

    def __get_pydantic_json_schema__(
        self, pair: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        number = handler(pair)["prefixItems"][0]
        return {"anyOf": [number, {"type": "array", "items": number}]}


NotNegative = Annotated[
    tuple[_Zero, _Zero],
    BeforeValidator(_as_pair),
    AfterValidator(_in_order),
    _Either(),
]
Positive = Annotated[
    tuple[_Above, _Above],
    BeforeValidator(_as_pair),
    AfterValidator(_in_order),
    _Either(),
]
Pixels = Annotated[
    tuple[_Pixels, _Pixels],
    BeforeValidator(_as_pair),
    AfterValidator(_in_order),
    _Either(),
]
Factor = Annotated[
    tuple[_Factor, _Factor],
    BeforeValidator(_as_pair),
    AfterValidator(_in_order),
    _Either(),
]
Quality = Annotated[
    tuple[_Quality, _Quality],
    BeforeValidator(_as_pair),
    AfterValidator(_in_order),
    _Either(),
]
