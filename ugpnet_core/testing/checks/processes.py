"""Other processes: trainings are resumed in them, and models are loaded by them."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ugpnet_core.testing.differences import CLOSE, SAME, difference, percent
from ugpnet_core.testing.elsewhere import INSIDE, PROGRAM, Request, homes_of, packed
from ugpnet_core.testing.report import CheckFailed, Outcome, passed
from ugpnet_core.testing.subject import Subject

# The order of a set of strings follows PYTHONHASHSEED; a set of two has in each other process a
# chance of one half to have the order of this one, a set of five of less than a hundredth.
HASH_SEEDS = ("1", "2")
PATIENCE = 300.0
_NOT_SENT = (
    "other processes cannot import the factory; give a class or a function of a module, or install "
    "cloudpickle"
)


def check_other_process(subject: Subject) -> Outcome:
    """Made from a seed, or loaded, in processes with other PYTHONHASHSEEDs, it gives the same."""
    if os.environ.get(INSIDE):
        return Outcome("not run", "this is another process already")
    network = subject.fresh()
    probe = subject.probe(network)
    request = Request(subject, network.state_dict(), probe, torch.get_num_threads())
    try:
        content = packed(request)
    except Exception:
        return Outcome("not run", _NOT_SENT)
    expected = subject.outputs(network, probe)
    answers: list[dict[str, Any]] = []
    for answer in _asked(content, homes_of(subject.make, network)):
        if "missing" in answer:
            return Outcome("not run", f"another process cannot make it ({answer['missing']})")
        answers.append(answer)
    for answer in answers:
        _compare(subject, answer, network, expected)
    return passed(f"the same in {len(answers)} other processes")


def _asked(content: bytes, homes: dict[str, str]) -> list[dict[str, Any]]:
    """What processes, all at once, answer to a pickled request."""
    with tempfile.TemporaryDirectory() as folder:
        request = Path(folder) / "request"
        request.write_bytes(pickle.dumps((homes, content)))
        started = []
        for seed in HASH_SEEDS:
            answer = Path(folder) / seed
            command = [sys.executable, "-c", PROGRAM, repr(sys.path), str(request), str(answer)]
            environment = {**os.environ, "PYTHONHASHSEED": seed, INSIDE: "1"}
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            started.append((process, answer))
        answers = []
        for process, answer in started:
            try:
                _, errors = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                errors = f"it takes more than {PATIENCE:.0f} s"
            if answer.exists():
                answers.append(torch.load(answer, weights_only=True))
            else:
                answers.append({"failed": (errors.strip().splitlines() or ["it ends"])[-1]})
    return answers


def _compare(subject: Subject, answer: dict[str, Any], network: nn.Module, expected: Any) -> None:
    where, result = "In another process, with another PYTHONHASHSEED,", subject.kind.result
    advice = "iterate over no set, and use no hash() or id(): sort, or take a list or a dict"
    if "failed" in answer:
        raise CheckFailed(f"{where} the network fails: {answer['failed'].rstrip('.')}; {advice}.")
    names = [name for name, _ in network.named_parameters()]
    if answer["names"] != names:
        raise CheckFailed(
            f"{where} the network has its parameters in another order, or others, so that no "
            f"optimiser can be resumed; {advice}."
        )
    # Another number of threads or processors may split sums in another way.
    apart = difference(answer["loaded"], expected)
    if apart > CLOSE:
        raise CheckFailed(
            f"{where} the same weights give another {result} ({percent(apart)} apart); {advice}."
        )
    apart = difference(answer["weights"], list(network.state_dict().values()))
    if apart > SAME:
        raise CheckFailed(
            f"{where} a network made after the same seed has other weights ({percent(apart)} "
            f"apart); {advice}."
        )
