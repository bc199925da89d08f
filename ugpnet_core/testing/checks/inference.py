"""Restoring: without gradients, in torch.inference_mode, in the precision that was asked for."""

from __future__ import annotations

import contextlib

import torch

from ugpnet_core.testing.differences import CLOSE, SAME, difference, percent
from ugpnet_core.testing.meters import Meter
from ugpnet_core.testing.report import CheckFailed, Outcome, passed
from ugpnet_core.testing.state import loaded
from ugpnet_core.testing.subject import Subject


def check_inference_mode(subject: Subject) -> Outcome:
    """Under no_grad and torch.inference_mode nothing is kept for gradients and all is the same."""
    kind, network = subject.kind, subject.fresh()
    probe = subject.probe(network)
    expected = subject.outputs(network, probe)
    for what, made in zip(kind.parts, expected, strict=True):
        if made.requires_grad:
            raise CheckFailed(
                f"Under torch.no_grad the {what} comes with gradients, which fills the memory; "
                "leave out enable_grad() and set_grad_enabled(True)."
            )
    unused, trained = subject.fresh(), subject.fresh().train()
    for one in (trained, trained.eval()):  # what restores has often been trained before
        with torch.set_grad_enabled(one.training), contextlib.suppress(CheckFailed):
            kind.run(one, *probe)
    for one in (unused, trained):
        loaded(one, network.state_dict())
    for one in (network, unused, trained):
        try:
            with torch.inference_mode():
                result = kind.run(one, *probe)
        except CheckFailed as failed:
            raise CheckFailed(
                f"Under torch.inference_mode, which restoring uses, {str(failed)[0].lower()}"
                f"{str(failed)[1:].rstrip('.')}; use nothing of autograd in eval mode."
            ) from failed
        apart = difference(tuple(made.clone() for made in result), expected)
        if apart > SAME:
            raise CheckFailed(
                f"Under torch.inference_mode, which restoring uses, the same {kind.given} gives "
                f"another {kind.result} ({percent(apart)} apart); let it depend on self.training "
                "alone, not on is_inference_mode_enabled() or is_grad_enabled()."
            )
    # Training goes on after a validation.
    for one in (unused, network):
        try:
            apart = difference(kind.run(one, *probe), expected)
            image = kind.train(one.train(), *subject.probe(one, 2))[0]
            if image.requires_grad:
                image.sum().backward()
        except (CheckFailed, RuntimeError) as error:
            if _fails_anyway(subject):
                continue
            raise CheckFailed(
                f"After a call under torch.inference_mode training fails: {str(error).rstrip('.')}"
                "; keep no tensors of one call for the next."
            ) from error
        if apart > CLOSE:
            raise CheckFailed(
                f"After a call under torch.inference_mode the same {kind.given} gives another "
                f"{kind.result} ({percent(apart)} apart); keep nothing of one call for the next."
            )
    return passed("under torch.inference_mode as under no_grad")


def _fails_anyway(subject: Subject) -> bool:
    """Whether a new network cannot be trained either, which other checks say."""
    network = subject.fresh().train()
    try:
        subject.kind.train(network, *subject.probe(network, 2))[0].sum().backward()
    except (CheckFailed, RuntimeError):
        return True
    return False


def check_full_precision(subject: Subject) -> Outcome:
    """In float32 nothing is computed in 16 bits: that is for autocast, which callers turn on."""
    network = subject.fresh()
    for training in (False, True):
        network.train(training)
        with Meter() as meter:
            subject.outputs(network, subject.probe(network, 2))
        if meter.halves:
            raise CheckFailed(
                f"A {subject.kind.given} of float32 goes through {sorted(meter.halves)[0]} in 16 "
                "bits; leave out .half(), .bfloat16() and autocast inside the network, and let "
                "callers choose."
            )
    return passed("float32 stays float32")
