"""Ranges in options: ``[low, high]``, from which each image draws a number, or one fixed number.

Torch-free, as the options of tasks are.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

Range = tuple[float, float]


def _as_pair(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("give a number or [low, high]")
    return (value, value) if isinstance(value, int | float) else value


Pair = TypeVar("Pair", bound=tuple[float, float])


def _in_order(value: Pair) -> Pair:
    low, high = value
    if low > high:
        raise ValueError(f"{low:g} is larger than {high:g}; write the smaller number first")
    return value


_Zero = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Factor = Annotated[float, Field(ge=0.1, le=64, allow_inf_nan=False)]
_Quality = Annotated[int, Field(ge=1, le=100)]


def _either(**number: Any) -> WithJsonSchema:
    """The schema of a number and of a list of such numbers."""
    return WithJsonSchema({"anyOf": [number, {"type": "array", "items": number}]})


NotNegative = Annotated[
    tuple[_Zero, _Zero],
    BeforeValidator(_as_pair),
    AfterValidator(_in_order),
    _either(type="number", minimum=0),
]
Positive = Annotated[
    tuple[_Above, _Above],
    BeforeValidator(_as_pair),
    AfterValidator(_in_order),
    _either(type="number", exclusiveMinimum=0),
]
Factor = Annotated[
    tuple[_Factor, _Factor],
    BeforeValidator(_as_pair),
    AfterValidator(_in_order),
    _either(type="number", minimum=0.1, maximum=64),
]
Quality = Annotated[
    tuple[_Quality, _Quality],
    BeforeValidator(_as_pair),
    AfterValidator(_in_order),
    _either(type="integer", minimum=1, maximum=100),
]
