"""Other number formats, memory layouts and devices."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn

from ugpnet_core.plugins.discovery import describe_error
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


def check_other_device(subject: PriorSubject) -> Outcome:
    """On another device everything follows: no tensor stays behind on the CPU.

    Tried without such a device, on tensors that have a shape and a device but no values.
    """
    from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

    prior = subject.fresh()
    codes = codes_for(prior)
    whole = _Whole(prior)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            moved = {
                name: torch.empty_like(value, device="cuda")
                for name, value in (*whole.named_parameters(), *whole.named_buffers())
            }
            there = tuple(torch.empty_like(code, device="cuda") for code in codes)
    except Exception as error:  # this version of torch knows devices that exist only
        return Outcome("not run", f"torch cannot try it here ({describe_error(error)})")
    try:
        logging.disable(logging.ERROR)  # torch logs what it raises
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            image, features = torch.func.functional_call(whole, moved, there)
    except DataDependentOutputException:
        return Outcome("not applicable", "the prior reads values of tensors while it runs")
    except Exception as error:
        text = describe_error(error)
        if "device" not in text:
            return Outcome("not run", f"torch cannot try it ({text})")
        raise CheckFailed(
            f"On another device the prior fails: {text}; {culprit(prior)}make new tensors on the "
            "device of the codes (device=x.device)."
        ) from error
    finally:
        logging.disable(logging.NOTSET)
    for what, made in (("image", image), ("feature map", features)):
        if made.device.type != "cuda":
            raise CheckFailed(
                f"On another device the {what} comes from the {made.device.type.upper()}; "
                f"{culprit(prior)}make new tensors on the device of the codes."
            )
    return passed("every tensor follows to another device")


class _Whole(nn.Module):
    """synthesize as a call."""

    def __init__(self, prior: Any) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, base: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
        """Map codes to image and features."""
        image, features = self.prior.synthesize(base, styles)
        return image, features
