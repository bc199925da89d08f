"""What another process does: make a network from a seed, load weights, and say what comes out."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ugpnet_core.testing.report import in_words
from ugpnet_core.testing.subject import Subject

# Set in the environment of such a process, which starts no others.
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


class _Enough(BaseException):
    """Ends a script that checks what it defines."""


def homes_of(make: Callable[..., Any], network: nn.Module) -> dict[str, str]:
    """The modules that a network comes from, each with its file."""
    while isinstance(make, functools.partial):
        make = make.func
    names = {type(layer).__module__ for layer in network.modules()} | {make.__module__}
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in names}
    return {name: str(Path(file).absolute()) for name, file in files.items() if file}


def stop_inside() -> None:
    """Called where checks begin: a script that is run again for what it defines ends here."""
    if isinstance(sys.modules["__main__"], _Again):
        raise _Enough


class _Again(ModuleType):
    """The main script of the first process, in another one."""


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
        said = {"failed": in_words(error)}
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
    if name == "__main__":
        module: ModuleType = _Again("__main__")
        module.__file__ = file
        # As multiprocessing does: the guarded part does not run, and the name is found.
        module.__name__ = "__mp_main__"
        sys.modules["__main__"] = sys.modules["__mp_main__"] = module
        with contextlib.suppress(_Enough):
            exec(compile(Path(file).read_bytes(), file, "exec"), vars(module))
        return
    try:
        importlib.import_module(name)
    except ImportError:
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
