"""What is not the network's is left alone: what it is given, random states, settings of torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.degradations.held import changed_states, random_states
from ugpnet_core.testing.differences import difference
from ugpnet_core.testing.kinds import Probe, has_own_forward
from ugpnet_core.testing.meter import Meter
from ugpnet_core.testing.report import CheckFailed, Outcome, failing, passed, require
from ugpnet_core.testing.subject import Subject
from ugpnet_core.testing.surroundings import changed_setting, seed_all, settings

# A network may copy in one memory layout and not in the other, and look whether gradients are on.
WAYS = (
    (torch.contiguous_format, False),
    (torch.contiguous_format, True),
    (torch.channels_last, False),
)
# As many parameters make a network that is made as few times as possible.
LARGE = 2e7


def check_input_unchanged(subject: Subject) -> Outcome:
    """What a method is given stays as it was, in both modes, and is not what comes back."""
    network, kind = subject.fresh(), subject.kind
    main = kind.methods[0]
    given = {main: (_wide(subject.probe(network, 2)), kind.inputs)}
    if subject.word == "backbone":
        given["head"] = subject.outputs(network, subject.probe(network, 2))[:1], ("feature map",)
        for method in ("forward_supervised", *["forward"] * has_own_forward(network)):
            if hasattr(network, method):
                given[method] = given[main]
    views = [
        _unchanged(network.train(training), method, probe, names)
        for training in (False, True)
        for method, (probe, names) in given.items()
    ]
    for probe in _rare(subject, subject.fresh()):
        _unchanged(subject.fresh(), main, _wide(probe), kind.inputs)
    return passed(f"not changed by {', '.join(given)}", next(filter(None, views), ""))


def _rare(subject: Subject, network: Any) -> Iterator[Probe]:
    """Inputs of sizes that no other check shows to this class, once a network has taken them."""
    for size in [] if subject.size else subject.kind.sizes(network, rare=True):
        probe = subject.kind.probe(network, 1, 0, size)
        with contextlib.suppress(CheckFailed):  # which the check of sizes says
            subject.outputs(network, probe)
            yield probe


def _wide(probe: Probe) -> Probe:
    """Values far out of [0, 1] among the others, so that a clamp changes something."""
    wide = tuple(one.clone() for one in probe)
    for one in wide:
        one[..., ::2] = 4 * one[..., ::2] - 1.5
    return wide


def _unchanged(network: Any, method: str, probe: Probe, names: tuple[str, ...]) -> str:
    """Call a method on copies of tensors; say where what it returns shares memory with them.

    Raises:
        CheckFailed: they are others afterwards.
    """
    mode = "training" if network.training else "eval"
    seen: list[tuple[str, Tensor, Tensor, int]] = []
    view = ""
    for layout, gradients in WAYS:
        own = [one.clone(memory_format=layout) if one.dim() == 4 else one.clone() for one in probe]
        seen += [(n, one, one.clone(), one._version) for n, one in zip(names, own, strict=True)]
        result: object = None
        # Whether another layout works is said by another check.
        may_fail = contextlib.suppress(*[Exception] * (layout is torch.channels_last))
        with torch.set_grad_enabled(gradients), failing(f"{method} fails in {mode} mode"), may_fail:
            result = getattr(network, method)(*own)
        for name, one, before, version in seen:
            said = f"{method} changes the {name} that it is given, in {mode} mode; use operations"
            # The version counts changes that happen to keep the values (a ReLU of an image).
            require(
                one._version == version and torch.equal(one, before),
                f"{said} that are not in place (x * 2, ReLU without inplace), or clone it first.",
            )
            said = f"{method} switches on the gradients of the {name} that it is given"
            require(not one.requires_grad, f"{said}; use x.detach().requires_grad_().")
        if set(_memory(own)) & set(_memory(result)):
            what = " or the ".join(names)
            view = f"{method} returns a view of the {what} that it is given; return a clone"
    return view


def _memory(value: Any) -> Iterator[int]:
    if isinstance(value, Tensor):
        yield value.untyped_storage().data_ptr()
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _memory(one)


def check_random_state(subject: Subject) -> Outcome:
    """In eval mode no global random generator is used, and making a network seeds none."""
    network = subject.fresh()
    before = random_states()
    subject.outputs(network, subject.probe(network))
    # A table that is drawn once for each size is there already for the sizes of other checks.
    list(_rare(subject, network))
    drawn = changed_states(before)
    said = f"A call in eval mode changes the random state of {drawn}"
    require(not drawn, f"{said}; draw no random numbers in eval mode, and seed nothing.")
    made, ends = [], []
    few = sum(p.numel() for p in network.parameters()) > LARGE
    for seed in (5, 6) if few else (5, 6, 5):
        seed_all(seed)
        before = random_states()
        made.append(list(subject.raw().parameters()))
        ends.append(random_states())
        alone = all(ends[-1][library] == before[library] for library in ("numpy", "random"))
        said = "Making a network changes the global random state of numpy or random"
        require(alone, f"{said}; draw from torch, which training seeds.")
    said = "Making a network seeds the global random generator of torch"
    require(ends[0]["torch"] != ends[1]["torch"], f"{said}; leave seeding to the caller.")
    same = few or difference(made[0], made[-1]) == 0
    said = "Two networks made after the same seed have other weights"
    require(same, f"{said}; draw them from the global generator of torch, which training seeds.")
    return passed("torch, numpy and random are left alone")


def check_global_settings(subject: Subject) -> Outcome:
    """Making, running and training a network leaves the settings of torch as they are."""
    before = settings()

    def compare(what: str) -> None:
        changed = changed_setting(before)
        said = f"{what} changes torch's {changed} for the whole process; leave that to the caller."
        require(not changed, said)

    network = subject.make()
    compare("Making the network")
    probe = subject.probe(network, 2)
    for mode in ("training", "eval"):
        subject.kind.plain(network.train(mode == "training"), *probe)
        compare(f"A call in {mode} mode")
    return passed("data type, threads, gradients, determinism as before")


def check_full_precision(subject: Subject) -> Outcome:
    """In float32 nothing is computed in 16 bits: that is for autocast, which callers turn on."""
    network = subject.fresh()
    for training in (False, True):
        with Meter() as meter:
            subject.outputs(network.train(training), subject.probe(network, 2))
        said = f"What is of float32 goes through {min(meter.halves, default='')} in 16 bits"
        require(not meter.halves, f"{said}; leave out .half(), .bfloat16() and autocast inside.")
    return passed("float32 stays float32")
