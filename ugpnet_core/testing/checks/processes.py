"""Other processes: trainings are resumed in them, and models are loaded by them."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ugpnet_core.errors import PluginError
from ugpnet_core.testing.alike import Circumstance, Usual
from ugpnet_core.testing.differences import CLOSE, SAME, difference, percent
from ugpnet_core.testing.kinds import Probe
from ugpnet_core.testing.report import Outcome, in_words, passed, require
from ugpnet_core.testing.subject import Subject

# The order of a set of strings follows PYTHONHASHSEED; a set of two has in each other process a
# chance of one half to have the order of this one, a set of five of less than a hundredth.
HASH_SEEDS = ("1", "2")
PATIENCE = 300.0
WHERE = "In another process, with another PYTHONHASHSEED,"
ADVICE = "iterate over no set, and use no hash() or id(): sort, or take a list or a dict"
NOT_SENT = Outcome(
    "not run",
    "other processes cannot import the factory; give a class or a function of a module, or install "
    "cloudpickle",
)
# Set in the environment of such a process: a module that it imports may check what it defines.
INSIDE = "UGPNET_OTHER_PROCESS"
PROGRAM = (
    "import ast, sys; sys.path[:] = ast.literal_eval(sys.argv[1]); "
    f"from {__name__} import answer; answer(*sys.argv[2:])"
)


def check_other_process(subject: Subject) -> Outcome:
    """Made from a seed, or loaded, in processes with other PYTHONHASHSEEDs, it gives the same."""
    if os.environ.get(INSIDE):
        return Outcome("not run", "this is another process already")
    usual = Usual(subject)
    network, weights = usual.network, usual.network.state_dict()
    try:
        request = _packed((subject, weights, usual.probe, torch.get_num_threads()), network)
    except Exception:
        return NOT_SENT
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(functools.partial(_answered, request), HASH_SEEDS))
    for answer in answers:
        if "missing" in answer:
            return Outcome("not run", f"another process cannot make it ({answer['missing']})")
    for answer in answers:
        require("failed" not in answer, f"{WHERE} it fails: {answer.get('failed')}; {ADVICE}.")
        require(
            answer["names"] == [name for name, _ in network.named_parameters()],
            f"{WHERE} the network has its parameters in another order, or others, so that no "
            f"optimiser can be resumed; {ADVICE}.",
        )
        # Another number of processors may split sums in another way.
        when = f"{WHERE} with the same weights"
        same = Circumstance(when, functools.partial(tuple, answer["loaded"]), ADVICE, CLOSE)
        same.check(subject, usual.expected)
        apart = difference(answer["weights"], list(network.state_dict().values()))
        require(
            apart <= SAME,
            f"{WHERE} a network made after the same seed has other weights ({percent(apart)} "
            f"apart); {ADVICE}.",
        )
    return passed(f"the same in {len(answers)} other processes")


def _packed(request: tuple[Subject, Any, Probe, int], network: nn.Module) -> bytes:
    """A pickled request (a subject, weights, what to probe with, a number of threads), with the
    files of the modules that a network comes from. What a script or a notebook defines is in it
    itself, where cloudpickle is installed, since other processes cannot import it.

    Raises:
        Exception: it cannot be pickled.
    """
    try:
        import cloudpickle

        content = bytes(cloudpickle.dumps(request))
    except ImportError:
        content = pickle.dumps(request)
        if b"__main__" in content:
            raise pickle.PicklingError("a script is not sent without cloudpickle") from None
    return pickle.dumps((_homes_of(request[0].make, network), content))


def _homes_of(make: Callable[..., Any], network: nn.Module) -> dict[str, str]:
    while isinstance(make, functools.partial):
        make = make.func
    names = {type(layer).__module__ for layer in network.modules()} | {make.__module__}
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in names}
    return {n: str(Path(file).absolute()) for n, file in files.items() if file and n != "__main__"}


def _answered(request: bytes, hash_seed: str) -> dict[str, Any]:
    """What a process answers."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder) / "request", Path(folder) / "answer"
        asked.write_bytes(request)
        command = [sys.executable, "-c", PROGRAM, repr(sys.path), str(asked), str(answer)]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, INSIDE: "1"}
        quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        try:
            done = subprocess.run(command, env=environment, timeout=PATIENCE, check=False, **quiet)
        except subprocess.TimeoutExpired:
            return {"failed": f"it takes more than {PATIENCE:.0f} s"}
        if answer.exists():
            said: dict[str, Any] = torch.load(answer, weights_only=True)
            return said
        return {"failed": (done.stderr.strip().splitlines() or ["it ends"])[-1]}


def answer(request: str, path: str) -> None:
    """In the other process: do what a file of a request says, and write the answer to another."""
    homes, content = pickle.loads(Path(request).read_bytes())
    # What a script has set up besides, as operators of its own, does not come along, nor do
    # modules that have no file.
    missing = True
    try:
        for name, file in homes.items():
            _ensure(name, file)
        subject, weights, probe, threads = pickle.loads(content)
        missing = b"__main__" in content
        torch.set_num_threads(threads)
        network = subject.fresh()
        names = [name for name, _ in network.named_parameters()]
        made = [network.state_dict().get(name, torch.empty(0)).clone() for name in weights]
        network.load_state_dict(weights)
        loaded = list(subject.outputs(network, probe))
        said: dict[str, Any] = {"names": names, "weights": made, "loaded": loaded}
    except Exception as error:
        missing = missing or isinstance(error.__cause__, PluginError)
        said = {"missing" if missing else "failed": in_words(error)}
    torch.save(said, path)


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
