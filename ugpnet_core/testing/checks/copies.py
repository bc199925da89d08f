"""Copies of any network: through a file, in memory, and to other processes."""

from __future__ import annotations

import copy
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ugpnet_core.checkpoints.state_dict import load_weights, write_safetensors
from ugpnet_core.errors import UGPNetError
from ugpnet_core.testing.differences import SAME, difference, percent
from ugpnet_core.testing.probing import Probed
from ugpnet_core.testing.report import CheckFailed, Outcome, in_words, passed
from ugpnet_core.testing.state import lost_parameters, unregistered


def check_save_and_load(subject: Probed) -> Outcome:
    """Weights saved as safetensors after training and read by a new network: the same results."""
    network, words = _used(subject), subject.wording
    probe = subject.probe(network)
    expected = subject.outputs(network, probe)
    other = subject.fresh(1, everywhere=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        try:
            write_safetensors(network.state_dict(), {}, path)
            load_weights(other, path)
        except UGPNetError as error:
            raise CheckFailed(
                f"What a {words.network} saves, another one of the same options cannot read: "
                f"{str(error).removeprefix(str(path)).strip()}"
            ) from error
        except Exception as error:
            raise CheckFailed(
                f"The state dict cannot be saved and read: {in_words(error)}; let it hold "
                "tensors only."
            ) from error
        size = path.stat().st_size
    lost = lost_parameters(network)
    if lost:
        raise CheckFailed(
            f"The attribute {lost[0]!r} holds parameters that the network does not know of, so "
            "they are neither saved nor trained; use nn.ModuleList, nn.ParameterList or "
            "nn.ModuleDict."
        )
    apart = difference(subject.outputs(other, probe), expected)
    if apart > SAME:
        names = unregistered(network)
        cause = f" {names[0]!r} is not in the state dict:" if names else ""
        raise CheckFailed(
            f"Saved and loaded into a new {words.network}, the weights give another "
            f"{words.result} ({percent(apart)} apart);{cause} register every tensor that counts "
            f"as a parameter or a persistent buffer{words.advice}."
        )
    return passed(f"{size / 1e6:.3g} MB of safetensors give the same {words.result}")


def check_deep_copy(subject: Probed) -> Outcome:
    """A deep copy of a trained network gives the same results and shares nothing with it."""
    return _check_copy(subject, "copy.deepcopy", copy.deepcopy)


def check_pickling(subject: Probed) -> Outcome:
    """A pickled network, as other processes get it, gives the same results."""
    return _check_copy(subject, "pickle", lambda network: pickle.loads(pickle.dumps(network)))


def _check_copy(subject: Probed, how: str, make_copy: Callable[[Any], Any]) -> Outcome:
    network, made = _used(subject), subject.wording.result
    probe = subject.probe(network)
    try:
        twin = make_copy(network)
    except Exception as error:
        raise CheckFailed(
            f"{how} fails: {in_words(error)}; keep no lambdas, local classes, open files or "
            "results of calls in attributes."
        ) from error
    expected = subject.outputs(network, probe)
    apart = difference(subject.outputs(twin, probe), expected)
    if apart > SAME:
        raise CheckFailed(
            f"A copy by {how} gives another {made} ({percent(apart)} apart); keep everything that "
            "counts in parameters, buffers and plain attributes."
        )
    with torch.no_grad():
        for value in (*twin.parameters(), *twin.buffers()):
            value.add_(1)
    apart = difference(subject.outputs(network, probe), expected)
    if apart > SAME:
        raise CheckFailed(
            f"A change of a copy by {how} changes the original by {percent(apart)}; let copies "
            "share no tensors."
        )
    return passed(f"{how} gives the same {made}")


def _used(subject: Probed) -> Any:
    """A network that has been trained on a batch, as it is when copies of it are made."""
    network = subject.fresh().train()
    image = subject.training_image(network, subject.probe(network, 2, 1))
    if image.requires_grad:
        image.sum().backward()
    network.zero_grad()
    return network.eval()
