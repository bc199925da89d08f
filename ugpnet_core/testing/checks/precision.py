"""Other number formats and memory layouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ugpnet_core.testing.differences import CLOSE, difference, percent, relative_error
from ugpnet_core.testing.kind import Probe
from ugpnet_core.testing.report import CheckFailed, Outcome, in_words, passed
from ugpnet_core.testing.state import culprit
from ugpnet_core.testing.subject import Subject

# bfloat16 has 8 bits of mantissa; deep networks lose some of them.
BFLOAT16_ERROR = 0.2


def check_bfloat16(subject: Subject) -> Outcome:
    """bfloat16 autocast works and is about right; or, where the entry says no, it does not."""

    def use(network: Any, probe: Probe, expected: Probe) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = subject.outputs(network, probe)
        for what, made, exact in zip(subject.kind.parts, result, expected, strict=True):
            error = relative_error(made, exact)
            if error == float("inf"):
                raise CheckFailed(f"bfloat16 autocast gives {what} that are not finite")
            if error > BFLOAT16_ERROR:
                raise CheckFailed(f"bfloat16 autocast changes the {what} by {error:.0%}")

    return hold_to(subject, "bfloat16", "bfloat16 autocast", use)


def check_channels_last(subject: Subject) -> Outcome:
    """channels_last gives the same; or, where the entry says no, it does not."""

    def use(network: Any, probe: Probe, expected: Probe) -> None:
        network.to(memory_format=torch.channels_last)
        last = [
            one.to(memory_format=torch.channels_last) if one.dim() == 4 else one for one in probe
        ]
        apart = difference(subject.outputs(network, tuple(last)), expected)
        if apart > CLOSE:
            raise CheckFailed(f"channels_last changes the result by {percent(apart)}")

    return hold_to(subject, "channels_last", "channels_last", use)


def hold_to(
    subject: Subject, flag: str, words: str, use: Callable[[Any, Probe, Probe], None]
) -> Outcome:
    """Hold a declared yes to working, and a declared no to failing.

    Args:
        use: a network, a probe and what it gives usually; raises where that does not work.
    """
    declared: bool | None = getattr(subject.declared, flag)
    if declared is None:
        return Outcome("not declared", f"the entry says nothing of {flag}")
    network = subject.fresh()
    probe = subject.probe(network)
    expected = subject.outputs(network, probe)
    try:
        use(network, probe, expected)
    except Exception as error:
        reason = str(error).rstrip(".") if isinstance(error, CheckFailed) else in_words(error)
        if "compiler" in reason and "found" in reason:
            return Outcome("not run", f"needs a C++ compiler on this machine ({reason})")
        if declared:
            instead = f", or declare {flag}=False" if subject.word == "backbone" else ""
            raise CheckFailed(f"{words}: {reason}; make it work{instead}.") from error
        return passed(f"does not work, as declared ({reason})")
    if not declared:
        raise CheckFailed(f"The entry says {flag}=False, but {words} works; declare {flag}=True.")
    return passed(f"{words} works, as declared")


def check_float64(subject: Subject) -> Outcome:
    """After .double(), input of float64 gives results of float64, about the same."""
    network, kind = subject.fresh(), subject.kind
    probe = subject.probe(network)
    expected = subject.outputs(network, probe)
    network.double()
    try:
        result = subject.outputs(network, tuple(one.double() for one in probe))
    except CheckFailed as failed:
        raise CheckFailed(
            f"After .double(), {str(failed)[0].lower()}{str(failed)[1:].rstrip('.')}; "
            f"{culprit(network)}make new tensors of the type of the input (x.new_zeros, "
            "dtype=x.dtype)."
        ) from failed
    for what, made in zip(kind.parts, result, strict=True):
        if made.dtype != torch.float64:
            raise CheckFailed(
                f"After .double(), {kind.given}s of float64 give {what} of "
                f"{str(made.dtype).removeprefix('torch.')}; write no type into the code (.float(), "
                "dtype=torch.float32)."
            )
    apart = difference(result, expected)
    # Rounding in float32 adds up in deep networks.
    if apart > 100 * CLOSE:
        raise CheckFailed(
            f"After .double() the {kind.result} differs by {percent(apart)}; look for sums that "
            "lose their precision, and for types written into the code."
        )
    return passed("float64 works")
