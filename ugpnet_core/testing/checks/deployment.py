"""torch.compile and ONNX, where the entry says yes or no."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.testing.differences import difference, percent
from ugpnet_core.testing.report import CheckFailed, Outcome, in_words, passed
from ugpnet_core.testing.subject import Subject, outputs_of

# Compilers fuse and reorder operations.
TOLERANCE = 1e-3


def check_compiles(subject: Subject, backend: str = "inductor") -> Outcome:
    """torch.compile gives the same; or, where the entry says no, it does not.

    Args:
        backend: of torch.compile; its default needs a C++ compiler.
    """
    if subject.declared.compiles is None:
        return Outcome("not declared", "the entry says nothing of compiles")

    def use(network: Any, x: Tensor) -> Tensor:
        torch._dynamo.reset()
        try:
            with torch.no_grad():
                result: Tensor = torch.compile(subject.as_call(network), backend=backend)(x)[1]
        finally:
            torch._dynamo.reset()
        return result

    return _hold_to(subject, "compiles", "torch.compile", use)


def check_exports_onnx(subject: Subject) -> Outcome:
    """The exported ONNX file gives the same in onnxruntime; or, where the entry says no, not."""
    if subject.declared.exports_onnx is None:
        return Outcome("not declared", "the entry says nothing of exports_onnx")
    packages = ("onnx", "onnxscript", "onnxruntime")
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        return Outcome("not run", f"needs more packages: pip install {' '.join(missing)}")

    def use(network: Any, x: Tensor) -> Tensor:
        import onnxruntime  # type: ignore[import-untyped, unused-ignore]

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            torch.onnx.export(subject.as_call(network), (x,), path, dynamo=True, verbose=False)
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            _, made = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        return torch.from_numpy(made)

    return _hold_to(subject, "exports_onnx", "ONNX export", use)


def _hold_to(subject: Subject, flag: str, words: str, use: Any) -> Outcome:
    declared = getattr(subject.declared, flag)
    network = subject.fresh()
    x = subject.images(network)
    expected = outputs_of(network, x)[1]
    try:
        apart = difference([use(network, x)], [expected])
        reason = "" if apart <= TOLERANCE else f"the result changes by {percent(apart)}"
    except Exception as error:
        reason = in_words(error.__cause__ or error)
        if "compiler" in reason and "found" in reason:
            return Outcome("not run", f"needs a C++ compiler on this machine ({reason})")
    if reason and declared:
        raise CheckFailed(f"{words} does not work: {reason}; fix it, or declare {flag}=False.")
    if not reason and not declared:
        raise CheckFailed(f"The entry says {flag}=False, but {words} works; declare {flag}=True.")
    said = f"does not work, as declared ({reason})" if reason else f"{words} works, as declared"
    return passed(said)
