"""Copies of a prior: through a file, in memory, to other processes."""

from __future__ import annotations

import copy
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ugpnet_core.errors import UGPNetError
from ugpnet_core.plugins.discovery import describe_error
from ugpnet_core.testing.differences import SAME, difference, percent
from ugpnet_core.testing.priors.subject import PriorSubject, codes_for, made_by, synthesized
from ugpnet_core.testing.report import CheckFailed, Outcome, passed
from ugpnet_core.testing.state import unregistered
from ugpnet_core.weights import load_weights, write_safetensors


def check_save_and_load(subject: PriorSubject) -> Outcome:
    """Weights saved as safetensors and read by a new prior: the same image."""
    prior = _used(subject)
    codes = codes_for(prior)
    expected = made_by(prior, codes)
    other = subject.fresh(1, everywhere=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        try:
            write_safetensors(prior.state_dict(), {}, path)
            load_weights(other, path)
        except UGPNetError as error:
            raise CheckFailed(
                "What a prior saves, another one of the same options cannot read: "
                f"{str(error).removeprefix(str(path)).strip()}"
            ) from error
        except Exception as error:
            raise CheckFailed(
                f"The state dict cannot be saved and read: {describe_error(error)}; let it hold "
                "tensors only."
            ) from error
        size = path.stat().st_size
    apart = difference(made_by(other, codes), expected)
    if apart > SAME:
        names = unregistered(prior)
        cause = f" {names[0]!r} is not in the state dict:" if names else ""
        raise CheckFailed(
            f"Saved and loaded into a new prior, the weights give another image ({percent(apart)} "
            f"apart);{cause} register every tensor that counts as a parameter or a persistent "
            "buffer (noise maps, too), and lists of layers as nn.ModuleList."
        )
    return passed(f"{size / 1e6:.3g} MB of safetensors give the same image")


def check_deep_copy(subject: PriorSubject) -> Outcome:
    """A deep copy of a prior gives the same image and shares nothing with it."""
    return _check_copy(subject, "copy.deepcopy", copy.deepcopy)


def check_pickling(subject: PriorSubject) -> Outcome:
    """A pickled prior, as other processes get it, gives the same image."""
    return _check_copy(subject, "pickle", lambda prior: pickle.loads(pickle.dumps(prior)))


def _check_copy(subject: PriorSubject, how: str, make_copy: Callable[[Any], Any]) -> Outcome:
    prior = _used(subject)
    codes = codes_for(prior)
    try:
        twin = make_copy(prior)
    except Exception as error:
        raise CheckFailed(
            f"{how} fails: {describe_error(error)}; keep no lambdas, local classes, open files or "
            "results of calls in attributes."
        ) from error
    expected = made_by(prior, codes)
    apart = difference(made_by(twin, codes), expected)
    if apart > SAME:
        raise CheckFailed(
            f"A copy by {how} gives another image ({percent(apart)} apart); keep everything that "
            "counts in parameters, buffers and plain attributes."
        )
    with torch.no_grad():
        for value in (*twin.parameters(), *twin.buffers()):
            value.add_(1)
    apart = difference(made_by(prior, codes), expected)
    if apart > SAME:
        raise CheckFailed(
            f"A change of a copy by {how} changes the original by {percent(apart)}; let copies "
            "share no tensors."
        )
    return passed(f"{how} gives the same image")


def _used(subject: PriorSubject) -> Any:
    """A prior that has been trained on a batch, as it is when copies of it are made."""
    prior = subject.fresh().train()
    image, _ = synthesized(prior, *codes_for(prior, 2, 1))
    if image.requires_grad:
        image.sum().backward()
    prior.zero_grad()
    return prior.eval()
