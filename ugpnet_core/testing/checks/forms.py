"""A network in other forms, which gives the same in each: saved and loaded, copied, in other number
formats and memory layouts, on another device, compiled, exported."""

from __future__ import annotations

import copy
import importlib.util
import logging
import pickle
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils import parametrize

from ugpnet_core.checkpoints.state_dict import load_weights, write_safetensors
from ugpnet_core.testing.alike import Circumstance, Circumstances, Usual, alike
from ugpnet_core.testing.differences import CLOSE
from ugpnet_core.testing.kinds import Probe
from ugpnet_core.testing.report import (
    CheckFailed,
    Outcome,
    failing,
    in_words,
    passed,
    require,
)
from ugpnet_core.testing.state import culprit, unregistered
from ugpnet_core.testing.subject import Subject

# bfloat16 has 8 bits of mantissa; deep networks lose some of them.
BFLOAT16 = 0.2
# Compilers fuse and reorder operations.
COMPILED = 1e-3
# Rounding in float32 adds up in deep networks.
ROUNDING = 100 * CLOSE


@alike("what is saved after training gives the same")
def check_save_and_load(usual: Usual) -> Circumstances:
    """Weights saved as safetensors after training and read by a new network: the same results."""
    network, other = usual.trained(), usual.subject.fresh(1, everywhere=True)
    expected = usual.of(network)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        with failing(
            "What one saves, another of the same options cannot read", "save tensors only"
        ):
            write_safetensors(network.state_dict(), {}, path)
            load_weights(other, path)
    unknown = unregistered(network)
    lost = [name for name, is_trained in unknown.items() if is_trained]
    said = f"The attribute {', '.join(map(repr, lost[:1]))} holds parameters that the network does"
    said = f"{said} not know of, so they are neither saved nor trained"
    require(not lost, f"{said}; use nn.ModuleList, nn.ParameterList or nn.ModuleDict.")
    cause = f"{next(iter(unknown))!r} is not in the state dict: " if unknown else ""
    advice = f"{cause}register every tensor that counts as a parameter or a persistent buffer"
    when, run = "Saved and loaded into a new network,", partial(usual.of, other)
    yield Circumstance(when, run, advice, expected=expected)


@alike("a deep copy gives the same")
def check_deep_copy(usual: Usual) -> Circumstances:
    """A deep copy of a trained network gives the same results and shares nothing with it."""
    return _copies(usual, "copy.deepcopy", copy.deepcopy)


@alike("a pickled copy gives the same")
def check_pickling(usual: Usual) -> Circumstances:
    """A pickled network, as other processes get it, gives the same results."""
    return _copies(usual, "pickle", partial(_pickled, usual.subject))


def _copies(usual: Usual, how: str, copied: Callable[[Any], Any]) -> Circumstances:
    network = usual.trained()  # which has a graph now where it keeps its last map
    advice = "keep no lambdas, local classes, open files or results of calls in attributes"
    with failing(f"{how} fails", advice):
        twin = copied(network)
    expected = usual.of(network)
    advice = "keep everything that counts in parameters, buffers and plain attributes"
    yield Circumstance(f"After {how}", partial(usual.of, twin), advice, expected=expected)
    with torch.no_grad():
        for value in (*twin.parameters(), *twin.buffers()):
            value.add_(1)
    when, run = f"Once a copy by {how} has changed,", partial(usual.of, network)
    yield Circumstance(when, run, "let copies share no tensors", expected=expected)


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


@alike("float64 works")
def check_float64(usual: Usual) -> Circumstances:
    """After .double(), input of float64 gives results of float64, about the same."""
    network = usual.network.double()

    def run() -> Probe:
        made = usual.subject.outputs(network, tuple(one.double() for one in usual.probe))
        types = {one.dtype for one in made}
        require(types == {torch.float64}, f"{' and '.join(map(str, types))} comes out")
        return made

    advice = (
        f"{culprit(network)}write no type into the code (.float(), dtype=torch.float32), and make "
        "new tensors of the type of the input (x.new_zeros, dtype=x.dtype)"
    )
    yield Circumstance("After .double()", run, advice, ROUNDING)


def check_other_device(subject: Subject) -> Outcome:
    """On another device everything follows: no tensor stays behind on the CPU.

    Tried without such a device, on tensors that have a shape and a device but no values.
    """
    from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

    network = subject.fresh()
    probe, whole = subject.probe(network), subject.as_call(network)
    advice = f"{culprit(network)}make new tensors on the device of the input (device=x.device)."
    try:
        logging.disable(logging.ERROR)  # torch logs what it raises
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            values = {**dict(whole.named_parameters()), **dict(whole.named_buffers())}
            moved = {n: torch.empty_like(value, device="cuda") for n, value in values.items()}
            there = tuple(torch.empty_like(one, device="cuda") for one in probe)
            made = torch.func.functional_call(whole, moved, there)
    except DataDependentOutputException:
        return Outcome("not applicable", "the network reads values of tensors while it runs")
    except Exception as error:
        text = in_words(error)
        if "device" not in text or "CUDA" in text:  # which some versions of torch want to exist
            return Outcome("not run", f"torch cannot try it here ({text})")
        raise CheckFailed(f"On another device the network fails: {text}; {advice}") from error
    finally:
        logging.disable(logging.NOTSET)
    behind = {one.device.type.upper() for one in made} - {"CUDA"}
    require(
        not behind, f"On another device the result comes from the {', '.join(behind)}; {advice}"
    )
    return passed("every tensor follows to another device")


def check_bfloat16(subject: Subject) -> Outcome:
    """bfloat16 autocast works and is about right; or, where the entry says no, it does not."""

    def use(usual: Usual) -> Probe:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return usual.of(usual.network)

    return _hold(subject, "bfloat16", "bfloat16 autocast", use, BFLOAT16)


def check_channels_last(subject: Subject) -> Outcome:
    """channels_last gives the same; or, where the entry says no, it does not."""

    def use(usual: Usual) -> Probe:
        layout = torch.channels_last
        usual.network.to(memory_format=layout)
        probe = (x.to(memory_format=layout) if x.dim() == 4 else x for x in usual.probe)
        return subject.outputs(usual.network, tuple(probe))

    return _hold(subject, "channels_last", "channels_last", use, CLOSE)


def check_compiles(subject: Subject, backend: str = "inductor") -> Outcome:
    """torch.compile gives the same; or, where the entry says no, it does not.

    Args:
        backend: of torch.compile; its default needs a C++ compiler.
    """

    def use(usual: Usual) -> Probe:
        torch._dynamo.reset()
        try:
            with torch.no_grad():
                compiled = torch.compile(subject.as_call(usual.network), backend=backend)
                made: Probe = compiled(*usual.probe)
                return made
        finally:
            torch._dynamo.reset()

    return _hold(subject, "compiles", "torch.compile", use, COMPILED)


def check_exports_onnx(subject: Subject) -> Outcome:
    """The exported ONNX file gives the same in onnxruntime; or, where the entry says no, not."""
    packages = ("onnx", "onnxscript", "onnxruntime")
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing and subject.declared.exports_onnx is not None:
        return Outcome("not run", f"needs more packages: pip install {' '.join(missing)}")

    def use(usual: Usual) -> Probe:
        import onnxruntime  # type: ignore[import-untyped, unused-ignore]

        whole = subject.as_call(usual.network)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            torch.onnx.export(whole, usual.probe, path, dynamo=True, verbose=False)
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            given = {session.get_inputs()[0].name: usual.probe[0].numpy()}
            return tuple(map(torch.from_numpy, session.run(None, given)))

    return _hold(subject, "exports_onnx", "ONNX export", use, COMPILED)


def _hold(
    subject: Subject, flag: str, words: str, use: Callable[[Usual], Probe], tolerance: float
) -> Outcome:
    """Hold a declared yes to working, and a declared no to failing."""
    declared: bool | None = getattr(subject.declared, flag)
    if declared is None:
        return Outcome("not declared", f"the entry says nothing of {flag}")
    usual = Usual(subject)
    advice = "make it work" + (f", or declare {flag}=False" * (subject.word == "backbone"))
    try:
        circumstance = Circumstance(f"With {words}", partial(use, usual), advice, tolerance)
        circumstance.check(subject, usual.expected)
    except CheckFailed as failed:
        if "compiler" in str(failed) and "found" in str(failed):
            return Outcome("not run", f"needs a C++ compiler on this machine ({failed})")
        if declared:
            raise
        return passed(f"does not work, as declared ({str(failed).removesuffix(f'; {advice}.')})")
    require(declared, f"The entry says {flag}=False, but {words} works; declare {flag}=True.")
    return passed(f"{words} works, as declared")
