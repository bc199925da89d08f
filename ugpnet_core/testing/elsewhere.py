"""What another process does: make a network from a seed, load weights, and say what comes out."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ugpnet_core.errors import PluginError
from ugpnet_core.testing.report import in_words
from ugpnet_core.testing.subject import Subject

# Set in the environment of such a process: a module that it imports may check what it defines.
INSIDE = "UGPNET_OTHER_PROCESS"
PROGRAM = (
    "import ast, sys; sys.path[:] = ast.literal_eval(sys.argv[1]); "
    "from ugpnet_core.testing.elsewhere import answer; answer(*sys.argv[2:])"
)


class Request(NamedTuple):
    """What is sent: a subject, weights, what to probe with, and how many threads to use."""

    subject: Subject
    weights: Mapping[str, Tensor]
    probe: tuple[Tensor, ...]
    threads: int


def homes_of(make: Callable[..., Any], network: nn.Module) -> dict[str, str]:
    """The modules that a network comes from, each with its file; no script that runs."""
    while isinstance(make, functools.partial):
        make = make.func
    names = {type(layer).__module__ for layer in network.modules()} | {make.__module__}
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in names}
    return {
        name: str(Path(file).absolute())
        for name, file in files.items()
        if file and name != "__main__"
    }


def packed(request: Request) -> bytes:
    """A pickled request. What a script or a notebook defines is in it itself, where cloudpickle is
    installed, since other processes cannot import it.

    Raises:
        Exception: it cannot be pickled.
    """
    try:
        import cloudpickle
    except ImportError:
        content = pickle.dumps(request)
        if b"__main__" in content:
            raise pickle.PicklingError("a script is not sent without cloudpickle") from None
        return content
    return bytes(cloudpickle.dumps(request))


def answer(request: str, path: str) -> None:
    """Do what a file of a request says, and write the answer to another one."""
    homes, content = pickle.loads(Path(request).read_bytes())
    try:
        for name, file in homes.items():
            _ensure(name, file)
        wanted: Request = pickle.loads(content)
    except Exception as error:
        torch.save({"missing": in_words(error)}, path)
        return
    torch.set_num_threads(wanted.threads)
    try:
        said = _answer(wanted)
    except Exception as error:
        # What a script has set up besides, as operators of its own, does not come along, nor do
        # modules that have no file.
        absent = isinstance(error.__cause__, PluginError) or b"__main__" in content
        said = {"missing" if absent else "failed": in_words(error)}
    torch.save(said, path)


def _answer(wanted: Request) -> dict[str, Any]:
    network = wanted.subject.fresh()
    names = [name for name, _ in network.named_parameters()]
    weights = [network.state_dict().get(name, torch.empty(0)).clone() for name in wanted.weights]
    network.load_state_dict(wanted.weights)
    loaded = wanted.subject.outputs(network, wanted.probe)
    return {"names": names, "weights": weights, "loaded": list(loaded)}


def _ensure(name: str, file: str) -> None:
    """Have a module that the first process has: by its name, or from its file."""
    try:
        importlib.import_module(name)
    except ImportError:
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
