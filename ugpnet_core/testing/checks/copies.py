"""Copies of any network: through a file and in memory."""

from __future__ import annotations

import copy
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from ugpnet_core.checkpoints.state_dict import load_weights, write_safetensors
from ugpnet_core.errors import UGPNetError
from ugpnet_core.testing.differences import SAME, difference, percent
from ugpnet_core.testing.report import CheckFailed, Outcome, in_words, passed
from ugpnet_core.testing.state import lost_parameters, unregistered
from ugpnet_core.testing.subject import Subject


def check_save_and_load(subject: Subject) -> Outcome:
    """Weights saved as safetensors after training and read by a new network: the same results."""
    network, result = _used(subject), subject.kind.result
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
                "What a network saves, another one of the same options cannot read: "
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
            f"Saved and loaded into a new network, the weights give another {result} "
            f"({percent(apart)} apart);{cause} register every tensor that counts as a parameter "
            "or a persistent buffer."
        )
    return passed(f"{size / 1e6:.3g} MB of safetensors give the same {result}")


def check_deep_copy(subject: Subject) -> Outcome:
    """A deep copy of a trained network gives the same results and shares nothing with it."""
    return _check_copy(subject, "copy.deepcopy", copy.deepcopy)


def check_pickling(subject: Subject) -> Outcome:
    """A pickled network, as other processes get it, gives the same results."""
    return _check_copy(subject, "pickle", lambda network: _pickled(subject, network))


def _pickled(subject: Subject, network: Any) -> Any:
    """A network that was pickled; without parametrizations, which torch itself cannot pickle."""
    if any(parametrize.is_parametrized(layer) for layer in network.modules()):
        # Of a network of its own: a deep copy shares classes with the original that this changes.
        weights, network = network.state_dict(), subject.fresh()
        network.load_state_dict(weights)
        for layer in list(network.modules()):
            if parametrize.is_parametrized(layer):
                for name in list(layer.parametrizations):
                    parametrize.remove_parametrizations(layer, name)
                layer._load_state_dict_pre_hooks.clear()  # those of weight_norm
    return pickle.loads(pickle.dumps(network))


def _check_copy(subject: Subject, how: str, make_copy: Callable[[Any], Any]) -> Outcome:
    network, made = _used(subject), subject.kind.result
    probe = subject.probe(network)
    try:  # before anything else: a network that keeps its last map keeps a graph after training
        twin: nn.Module = make_copy(network)
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


def _used(subject: Subject) -> Any:
    """A network that has been trained on a batch, as it is when copies of it are made."""
    network = subject.fresh().train()
    made = subject.kind.train(network, *subject.probe(network, 2, 1))
    if made[0].requires_grad:
        made[0].sum().backward()
    network.zero_grad()
    return network.eval()
