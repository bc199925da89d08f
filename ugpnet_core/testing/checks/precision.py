"""Other number formats, memory layouts and devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.testing.differences import CLOSE, difference, percent, relative_error
from ugpnet_core.testing.report import CheckFailed, Outcome, passed
from ugpnet_core.testing.state import culprit
from ugpnet_core.testing.subject import Subject, outputs_of

# bfloat16 has 8 bits of mantissa; deep networks lose some of them.
BFLOAT16_ERROR = 0.2


def check_bfloat16(subject: Subject) -> Outcome:
    """bfloat16 autocast works and is about right; or, where the entry says no, it does not."""

    def use(network: Any, x: Tensor, expected: tuple[Tensor, Tensor]) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = outputs_of(network, x)
        for what, made, exact in zip(("features", "image"), result, expected, strict=True):
            error = relative_error(made, exact)
            if error == float("inf"):
                raise CheckFailed(f"bfloat16 autocast gives {what} that are not finite")
            if error > BFLOAT16_ERROR:
                raise CheckFailed(f"bfloat16 autocast changes the {what} by {error:.0%}")

    return _hold_to(subject, "bfloat16", "bfloat16 autocast", use)


def check_channels_last(subject: Subject) -> Outcome:
    """channels_last gives the same; or, where the entry says no, it does not."""

    def use(network: Any, x: Tensor, expected: tuple[Tensor, Tensor]) -> None:
        network.to(memory_format=torch.channels_last)
        result = outputs_of(network, x.to(memory_format=torch.channels_last))
        apart = difference(result, expected)
        if apart > CLOSE:
            raise CheckFailed(f"channels_last changes the result by {percent(apart)}")

    return _hold_to(subject, "channels_last", "channels_last", use)


def _hold_to(
    subject: Subject,
    flag: str,
    words: str,
    use: Callable[[Any, Tensor, tuple[Tensor, Tensor]], None],
) -> Outcome:
    """Hold a declared yes to working, and a declared no to failing."""
    declared: bool | None = getattr(subject.declared, flag)
    if declared is None:
        return Outcome("not declared", f"the entry says nothing of {flag}")
    network = subject.fresh()
    x = subject.images(network)
    expected = outputs_of(network, x)
    try:
        use(network, x, expected)
    except CheckFailed as failed:
        reason = str(failed).rstrip(".")
        if declared:
            raise CheckFailed(f"{reason}; make it work, or declare {flag}=False.") from failed
        return passed(f"does not work, as declared ({reason})")
    if not declared:
        raise CheckFailed(f"The entry says {flag}=False, but {words} works; declare {flag}=True.")
    return passed(f"{words} works, as declared")


def check_float64(subject: Subject) -> Outcome:
    """After .double(), images of float64 give results of float64, about the same."""
    network = subject.fresh()
    x = subject.images(network)
    expected = outputs_of(network, x)
    network.double()
    try:
        result = outputs_of(network, x.double())
    except CheckFailed as failed:
        raise CheckFailed(
            f"After .double(), {str(failed)[0].lower()}{str(failed)[1:].rstrip('.')}; "
            f"{culprit(network)}make new tensors of the type of the input (x.new_zeros, "
            "dtype=x.dtype)."
        ) from failed
    for what, made in zip(("features", "image"), result, strict=True):
        if made.dtype != torch.float64:
            raise CheckFailed(
                f"After .double(), the {what} of an image of float64 are of "
                f"{str(made.dtype).removeprefix('torch.')}; write no type into the code (.float(), "
                "dtype=torch.float32)."
            )
    apart = difference(result, expected)
    # Rounding in float32 adds up in deep networks.
    if apart > 100 * CLOSE:
        raise CheckFailed(
            f"After .double() the result differs by {percent(apart)}; look for sums that lose "
            "their precision, and for types written into the code."
        )
    return passed("float64 works")
