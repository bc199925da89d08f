"""Other number formats, memory layouts and devices."""

from __future__ import annotations

import torch

from ugpnet_core.testing.differences import CLOSE, difference, percent, relative_error
from ugpnet_core.testing.priors.subject import PriorSubject, codes_for, made_by
from ugpnet_core.testing.report import CheckFailed, Outcome, passed
from ugpnet_core.testing.state import culprit

# bfloat16 has 8 bits of mantissa; deep networks lose some of them.
BFLOAT16_ERROR = 0.2


def check_float64(subject: PriorSubject) -> Outcome:
    """After .double(), codes of float64 give images of float64, about the same."""
    prior = subject.fresh()
    base, styles = codes_for(prior)
    expected = made_by(prior, (base, styles))
    prior.double()
    try:
        result = made_by(prior, (base.double(), styles.double()))
    except CheckFailed as failed:
        raise CheckFailed(
            f"After .double(), {str(failed).rstrip('.')}; {culprit(prior)}make new tensors of the "
            "type of the codes (x.new_zeros, dtype=x.dtype)."
        ) from failed
    for what, made in zip(("image", "feature map"), result, strict=True):
        if made.dtype != torch.float64:
            raise CheckFailed(
                f"After .double(), the {what} of codes of float64 is of {made.dtype}; write no "
                "type into the code (.float(), dtype=torch.float32)."
            )
    apart = difference(result, expected)
    # Rounding in float32 adds up in deep networks.
    if apart > 100 * CLOSE:
        raise CheckFailed(
            f"After .double() the image differs by {percent(apart)}; look for sums that lose their "
            "precision, and for types written into the code."
        )
    return passed("float64 works")


def check_bfloat16(subject: PriorSubject) -> Outcome:
    """bfloat16 autocast works and is about right: trainings may use it."""
    prior = subject.fresh()
    codes = codes_for(prior)
    expected = made_by(prior, codes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = made_by(prior, codes)
    for what, made, exact in zip(("image", "feature map"), result, expected, strict=True):
        error = relative_error(made, exact)
        if error > BFLOAT16_ERROR:
            words = "not finite" if error == float("inf") else f"{error:.0%} off"
            raise CheckFailed(
                f"Under bfloat16 autocast the {what} is {words}; compute norms and small "
                "differences in float32."
            )
    return passed("bfloat16 autocast works")


def check_channels_last(subject: PriorSubject) -> Outcome:
    """channels_last gives the same image: trainings use it."""
    prior = subject.fresh()
    base, styles = codes_for(prior)
    expected = made_by(prior, (base, styles))
    prior.to(memory_format=torch.channels_last)
    result = made_by(prior, (base.to(memory_format=torch.channels_last), styles))
    apart = difference(result, expected)
    if apart > CLOSE:
        raise CheckFailed(
            f"channels_last changes the image by {percent(apart)}; use reshape or flatten in place "
            "of view and as_strided."
        )
    return passed("channels_last works")
