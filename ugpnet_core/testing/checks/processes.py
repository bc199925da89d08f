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
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ugpnet_core.errors import PluginError
from ugpnet_core.testing.alike import Circumstance, Usual
from ugpnet_core.testing.differences import CLOSE, SAME, difference, percent
from ugpnet_core.testing.kinds import Probe
from ugpnet_core.testing.report import CheckFailed, Outcome, in_words, passed, require
from ugpnet_core.testing.subject import Subject
from ugpnet_core.testing.surroundings import settings_kept

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
    (outcome,) = outcomes_elsewhere([subject])
    require(outcome.status != "failed", outcome.message)
    return outcome


def outcomes_elsewhere(subjects: Sequence[Subject]) -> list[Outcome]:
    """What :func:`check_other_process` says of each subject, with processes that are started once
    for all; ``failed`` where it would raise."""
    if os.environ.get(INSIDE):
        return [Outcome("not run", "this is another process already")] * len(subjects)
    asked = [_Asked(subject) for subject in subjects]
    requests = [each.request for each in asked if each.request]
    answers: list[list[dict[str, Any]]] = []
    if requests:
        with ThreadPoolExecutor() as pool:
            answers = list(pool.map(functools.partial(_answered, requests), HASH_SEEDS))
    own = iter([[each[place] for each in answers] for place in range(len(requests))])
    return [each.outcome(next(own) if each.request else ()) for each in asked]


class _Asked:
    """A subject, what it usually gives, and the request to other processes; or why there is none.

    Attributes:
        request: pickled; empty where there is none.
        refused: why.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.request = b""
        self.refused: Outcome | None = None
        try:
            self.usual = Usual(subject)
            self.weights = self.usual.network.state_dict()
        except Exception as error:
            self.refused = _failed(subject, error)
            return
        asked = subject, self.weights, self.usual.probe, torch.get_num_threads()
        try:
            self.request = _packed(asked, self.usual.network)
        except Exception:
            self.refused = NOT_SENT

    def outcome(self, answers: Sequence[dict[str, Any]]) -> Outcome:
        """What is said of the answers, or why there are none."""
        try:
            return self.refused or self._judged(answers)
        except Exception as error:
            return _failed(self.subject, error)

    def _judged(self, answers: Sequence[dict[str, Any]]) -> Outcome:
        """Compare what the processes answer with what is usual.

        Raises:
            CheckFailed: it is something else.
        """
        network = self.usual.network
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
            same.check(self.subject, self.usual.expected)
            apart = difference(answer["weights"], list(_tensors(self.weights).values()))
            require(
                apart <= SAME,
                f"{WHERE} a network made after the same seed has other weights "
                f"({percent(apart)} apart); {ADVICE}.",
            )
        return passed(f"the same in {len(answers)} other processes")


def _failed(subject: Subject, error: Exception) -> Outcome:
    if isinstance(error, CheckFailed):
        return Outcome("failed", str(error))
    return Outcome("failed", f"The {subject.word} raises {in_words(error)}.")


def _tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """A state dict without the extra state of layers that is none."""
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


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
    return pickle.dumps((homes_of(request[0].make, network), content))


def homes_of(make: Callable[..., Any], network: nn.Module) -> dict[str, str]:
    """The files of the modules that a factory and the layers of a network come from, by name."""
    while isinstance(make, functools.partial):
        make = make.func
    classes = {base for layer in network.modules() for base in type(layer).__mro__}
    names = {one.__module__ for one in classes} | {make.__module__}
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in names}
    return {n: str(Path(file).absolute()) for n, file in files.items() if file and n != "__main__"}


def _answered(requests: Sequence[bytes], hash_seed: str) -> list[dict[str, Any]]:
    """What a process answers to each request."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder) / "request", Path(folder) / "answer"
        asked.write_bytes(pickle.dumps(requests))
        command = [sys.executable, "-c", PROGRAM, repr(sys.path), str(asked), str(answer)]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, INSIDE: "1"}
        quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        try:
            patience = PATIENCE * len(requests)
            done = subprocess.run(command, env=environment, timeout=patience, check=False, **quiet)
            failed = (done.stderr.strip().splitlines() or ["it ends"])[-1]
        except subprocess.TimeoutExpired:
            failed = f"it takes more than {PATIENCE:.0f} s"
        if answer.exists():
            said: list[dict[str, Any]] = torch.load(answer, weights_only=True)
            return said
        if len(requests) > 1:  # one that hangs or ends the process must not stand for the others
            return [_answered([each], hash_seed)[0] for each in requests]
        return [{"failed": failed}]


def answer(requests: str, path: str) -> None:
    """In the other process: do what a file of requests says, and write the answers to another."""
    answers = []
    for request in pickle.loads(Path(requests).read_bytes()):
        with settings_kept():
            answers.append(_answer(request))
    torch.save(answers, path)


def _answer(request: bytes) -> dict[str, Any]:
    homes, content = pickle.loads(request)
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
        drawn = _tensors(network.state_dict())
        made = [drawn.get(name, torch.empty(0)).clone() for name in _tensors(weights)]
        network.load_state_dict(weights)
        loaded = list(subject.outputs(network, probe))
        said: dict[str, Any] = {"names": names, "weights": made, "loaded": loaded}
    except Exception as error:
        missing = missing or isinstance(error.__cause__, PluginError)
        said = {"missing" if missing else "failed": in_words(error)}
    return said


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
