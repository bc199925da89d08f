"""Other devices."""

from __future__ import annotations

import logging

import torch

from ugpnet_core.testing.report import CheckFailed, Outcome, in_words, passed
from ugpnet_core.testing.state import culprit
from ugpnet_core.testing.subject import Subject


def check_other_device(subject: Subject) -> Outcome:
    """On another device everything follows: no tensor stays behind on the CPU.

    Tried without such a device, on tensors that have a shape and a device but no values.
    """
    from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

    network = subject.fresh()
    probe, whole = subject.probe(network), subject.as_call(network)
    advice = f"{culprit(network)}make new tensors on the device of the input (device=x.device)."
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            moved = {
                name: torch.empty_like(value, device="cuda")
                for name, value in (*whole.named_parameters(), *whole.named_buffers())
            }
            there = tuple(torch.empty_like(one, device="cuda") for one in probe)
    except Exception as error:  # this version of torch knows devices that exist only
        return Outcome("not run", f"torch cannot try it here ({in_words(error)})")
    try:
        logging.disable(logging.ERROR)  # torch logs what it raises
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            results = torch.func.functional_call(whole, moved, there)
    except DataDependentOutputException:
        return Outcome("not applicable", "the network reads values of tensors while it runs")
    except Exception as error:
        text = in_words(error)
        if "device" not in text:
            return Outcome("not run", f"torch cannot try it ({text})")
        raise CheckFailed(f"On another device the network fails: {text}; {advice}") from error
    finally:
        logging.disable(logging.NOTSET)
    behind = [one.device.type.upper() for one in results if one.device.type != "cuda"]
    if behind:
        raise CheckFailed(
            f"On another device the {subject.kind.result} comes from the {behind[0]}; {advice}"
        )
    return passed("every tensor follows to another device")
