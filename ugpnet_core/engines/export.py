"""Write a part of a model as a file that other programs run, and make sure that it computes the
same."""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ugpnet_core.atomic import write_beside
from ugpnet_core.engines.parts import INPUT, OUTPUTS, Facts, Part, facts_of, part_of
from ugpnet_core.engines.runtime import session_of
from ugpnet_core.errors import ConfigError, DependencyError, PluginError, WeightsError
from ugpnet_core.model_files.finding import domain_of
from ugpnet_core.model_files.model import load_model
from ugpnet_core.networks.ugpnet import UGPNet

Format = Literal["onnx", "torch"]
SUFFIXES: dict[str, Format] = {".onnx": "onnx", ".pt2": "torch"}
TOLERANCE = 1e-3
METADATA = "ugpnet.json"
# A batch and sides other than those that are tried afterwards.
_BATCH, _TIMES = 2, (3, 4)
_LARGEST_BATCH, _LARGEST_SIDE = 1024, 2**14
Run = Callable[[Tensor], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Exported:
    """A file that was written and tried.

    Attributes:
        path: The file.
        facts: What the file says of itself.
        apart: The largest difference of an output from torch's, white being 1.
        seconds: How long the file takes for x of ``shape``, the median of three.
        torch_seconds: How long torch takes for it, in float32 and on the same threads.
        shape: The shape of what was timed.
    """

    path: Path
    facts: Facts
    apart: float
    seconds: float
    torch_seconds: float
    shape: tuple[int, ...]


def export_model(
    model: str | PathLike[str] | UGPNet,
    path: str | PathLike[str],
    *,
    format: Format | None = None,
    part: Part = "whole",
) -> Exported:
    """Export a model, whole or not at all: what differs from torch by more than 1e-3 is no file.

    The batch is free; for the restoration module so are the sides, in multiples of
    ``Facts.multiple``, unless its backbone takes one size only.

    Args:
        model: A name, a path, or a UGPNet, which is left as it is.
        path: The file to write; its suffix ``.onnx`` or ``.pt2`` says the format where none is
            given.
        format: The format: ``"onnx"``, or ``"torch"`` for what ``torch.export.load`` reads.
        part: What to export: ``"whole"`` is x to x_hat, x_reg and x_syn at the model's resolution,
            ``"restoration"`` is x to x_reg at any size.

    Returns:
        The file's facts, and what was measured with it.

    Raises:
        ConfigError: No format is known by the suffix, or the part is unknown.
        DependencyError: ONNX's packages are missing.
        PluginError: A network of the model cannot be exported.
        WeightsError: The model cannot be loaded, or the file does not compute what torch does.
    """
    path = Path(path)
    chosen = format or SUFFIXES.get(path.suffix.lower())
    if chosen not in ("onnx", "torch"):
        raise ConfigError(f"{path}: call it .onnx or .pt2, or choose the format onnx or torch.")
    if part not in OUTPUTS:
        raise ConfigError(f"The part is whole or restoration, not {part!r}.")
    if chosen == "onnx":
        _require_onnx()
    loaded = model if isinstance(model, UGPNet) else load_model(model)
    name = "model" if isinstance(model, UGPNet) else Path(model).name
    facts = facts_of(loaded, part, name, domain_of(model, loaded.config))
    network = part_of(loaded, part)
    write, opened = (_write_onnx, _open_onnx) if chosen == "onnx" else (_write_torch, _open_torch)
    measured: list[tuple[float, float, float]] = []

    def made(partial: Path) -> None:
        with _quiet(), torch.no_grad():
            try:
                write(network, facts, partial)
            except Exception as error:
                raise PluginError(_refused(facts, error)) from error
            measured.append(_tried(network, opened(partial), facts))

    was_training = loaded.training
    try:
        write_beside(path, made)
    finally:
        loaded.train(was_training)
    return Exported(path, facts, *measured[0], shape=_shape(facts, 1, _TIMES))


def _require_onnx() -> None:
    names = ("onnx", "onnxscript", "onnxruntime")
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise DependencyError(
            f"ONNX needs {', '.join(missing)}; pip install 'ugpnet-core[export]'."
        )


def _shape(facts: Facts, batch: int, times: tuple[int, int]) -> tuple[int, ...]:
    sides = [facts.side or facts.multiple * one for one in times]
    return batch, 3, *sides


def _dynamic(facts: Facts) -> dict[int, Any]:
    shapes: dict[int, Any] = {0: torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)}
    if not facts.side:
        most = _LARGEST_SIDE // facts.multiple
        for axis, name in ((2, "rows"), (3, "columns")):
            shapes[axis] = facts.multiple * torch.export.Dim(name, min=1, max=most)
    return shapes


def _program(network: nn.Module, facts: Facts) -> torch.export.ExportedProgram:
    example = torch.rand(_shape(facts, _BATCH, _TIMES))
    shapes = {INPUT: _dynamic(facts)}
    return torch.export.export(network, (example,), dynamic_shapes=shapes, strict=False)


def _write_onnx(network: nn.Module, facts: Facts, path: Path) -> None:
    program = torch.onnx.export(
        _program(network, facts),
        dynamo=True,
        verbose=False,
        input_names=[INPUT],
        output_names=list(OUTPUTS[facts.part]),
    )
    assert program is not None  # so it is where a path is given
    program.model.metadata_props.update(facts.as_metadata())
    program.save(path, external_data=False)


def _write_torch(network: nn.Module, facts: Facts, path: Path) -> None:
    words = json.dumps(facts.as_metadata(), indent=2)
    buffer = io.BytesIO()
    torch.export.save(_program(network, facts), buffer, extra_files={METADATA: words})
    path.write_bytes(buffer.getvalue())


def _open_onnx(path: Path) -> Run:
    session = session_of(path)

    def run(x: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(one) for one in session.run(None, {INPUT: x.numpy()}))

    return run


def _open_torch(path: Path) -> Run:
    module = torch.export.load(io.BytesIO(path.read_bytes())).module()

    def run(x: Tensor) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = module(x)
        return outputs

    return run


def _tried(network: nn.Module, run: Run, facts: Facts) -> tuple[float, float, float]:
    """How far apart they are, and the seconds of both."""
    rng = torch.Generator().manual_seed(0)
    apart = 0.0
    for batch, times in ((1, _TIMES), (3, (2, 1))):
        x = torch.rand(_shape(facts, batch, times), generator=rng)
        pairs = list(zip(run(x), network(x), strict=True))
        if any(one.shape != other.shape for one, other in pairs):
            raise WeightsError("The exported file makes images of another size; it is not kept.")
        apart = max(apart, *(float((one - other).abs().max()) for one, other in pairs))
    # So that what is no number is refused, too.
    if not apart <= TOLERANCE:
        raise WeightsError(
            f"The exported file differs from torch by {apart:.2g} (white being 1, {TOLERANCE:g} "
            "is allowed) and is not kept; tell the author of the network."
        )
    x = torch.rand(_shape(facts, 1, _TIMES), generator=rng)
    quick = x.contiguous(memory_format=torch.channels_last)
    return apart, _seconds(lambda: run(x)), _seconds(lambda: network(quick))


def _seconds(action: Callable[[], object]) -> float:
    taken = []
    for _ in range(3):
        begun = time.perf_counter()
        action()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def _refused(facts: Facts, error: Exception) -> str:
    said = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
    return (
        f"{facts.model} ({facts.part}) cannot be exported: {said[0]} Its network must not look at "
        "the values or the number of its inputs in Python (len, float, if)."
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporters tell those who write exporters."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "torch.export")]
    levels = [one.level for one in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in loggers:
            one.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for one, level in zip(loggers, levels, strict=True):
                one.setLevel(level)
