"""torch.compile and ONNX, where the entry says yes or no."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.testing.checks.precision import hold_to
from ugpnet_core.testing.differences import difference, percent
from ugpnet_core.testing.kind import Probe
from ugpnet_core.testing.report import CheckFailed, Outcome
from ugpnet_core.testing.subject import Subject

# Compilers fuse and reorder operations.
TOLERANCE = 1e-3


def check_compiles(subject: Subject, backend: str = "inductor") -> Outcome:
    """torch.compile gives the same; or, where the entry says no, it does not.

    Args:
        backend: of torch.compile; its default needs a C++ compiler.
    """

    def use(network: Any, probe: Probe, expected: Probe) -> None:
        torch._dynamo.reset()
        try:
            with torch.no_grad():
                made = torch.compile(subject.as_call(network), backend=backend)(*probe)
        finally:
            torch._dynamo.reset()
        _require_same(made[1], expected[1])

    return hold_to(subject, "compiles", "torch.compile", use)


def check_exports_onnx(subject: Subject) -> Outcome:
    """The exported ONNX file gives the same in onnxruntime; or, where the entry says no, not."""
    packages = ("onnx", "onnxscript", "onnxruntime")
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing and subject.declared.exports_onnx is not None:
        return Outcome("not run", f"needs more packages: pip install {' '.join(missing)}")

    def use(network: Any, probe: Probe, expected: Probe) -> None:
        import onnxruntime  # type: ignore[import-untyped, unused-ignore]

        (x,) = probe
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            torch.onnx.export(subject.as_call(network), (x,), path, dynamo=True, verbose=False)
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            _, made = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        _require_same(torch.from_numpy(made), expected[1])

    return hold_to(subject, "exports_onnx", "ONNX export", use)


def _require_same(made: Tensor, expected: Tensor) -> None:
    apart = difference([made], [expected])
    if apart > TOLERANCE:
        raise CheckFailed(f"the result changes by {percent(apart)}")
