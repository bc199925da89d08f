"""A result depends on the input and the weights alone: not on neighbours, earlier calls, luck."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from ugpnet_core.testing.alike import Circumstance, Circumstances, Usual, alike, train_once
from ugpnet_core.testing.differences import CLOSE, SAME, difference
from ugpnet_core.testing.kinds import Probe, tensor_of
from ugpnet_core.testing.report import CheckFailed, require
from ugpnet_core.testing.state import fingerprint
from ugpnet_core.testing.surroundings import seed_all, settings_kept

BATCHES = (2, 3, 4, 5, 8, 9, 16, 6, 7, 12, 32)
# Slow networks are shown as many batches as this many seconds allow, and seven at least.
PATIENCE = 5.0
KEEP_NOTHING = "keep nothing from call to call in attributes, module variables or default arguments"


@alike("three calls, one result")
def check_determinism(usual: Usual) -> Circumstances:
    """In eval mode the same input gives the same again, with and without gradients."""
    advice = "in eval mode draw no random numbers (noise maps are buffers), and keep nothing"
    for seed in (1, 2):
        # Noise may be drawn without a trace from a copy of the random state.
        seed_all(seed)
        yield Circumstance("The next time", partial(usual.of, usual.network), advice)
    run = partial(usual.subject.kind.run, usual.network, *usual.probe)
    advice = "let it depend on self.training alone, not on is_grad_enabled()"
    yield Circumstance("Where gradients are on", run, advice, CLOSE)


@alike("with 1, 2, 3 and 4 threads the same")
def check_threads(usual: Usual) -> Circumstances:
    """The number of threads that torch may use does not count."""
    advice = "compute nothing from the number of threads or processors"
    unused = usual.twin()
    for threads in (1, 2, 3, 4):
        with settings_kept():
            torch.set_num_threads(threads)
            for network in (usual.network, unused):
                run = partial(usual.of, network)
                yield Circumstance(f"With torch.set_num_threads({threads})", run, advice, CLOSE)


@alike("under torch.inference_mode as under no_grad")
def check_inference_mode(usual: Usual) -> Circumstances:
    """Under no_grad and torch.inference_mode nothing is kept for gradients and all is the same."""
    graph = any(made.requires_grad for made in usual.expected)
    said = "Under torch.no_grad the result comes with gradients, which fills the memory; leave out"
    require(not graph, f"{said} enable_grad() and set_grad_enabled(True).")
    when = "Under torch.inference_mode, which restoring uses,"
    advice = "let it depend on self.training alone, and use nothing of autograd in eval mode"
    unused, trained = usual.twin(), usual.trained()  # what restores has often been trained before
    for one in (usual.network, unused, trained):
        expected = usual.of(trained) if one is trained else usual.expected
        yield Circumstance(when, partial(_inferred, usual, one), advice, SAME, expected)
    when, advice = "Once it has been called under torch.inference_mode", "keep no tensors of a call"
    for one in (usual.network, unused):
        yield Circumstance(when, partial(_trained_on, usual, one), advice, CLOSE)


def _inferred(usual: Usual, network: Any) -> Probe:
    with torch.inference_mode():
        made = usual.subject.kind.run(network, *usual.probe)
    return tuple(one.clone() for one in made)


def _trained_on(usual: Usual, network: Any) -> Probe:
    """What a network gives with gradients, before it has to train: as after a validation, when
    training goes on."""
    made = usual.subject.kind.run(network, *usual.probe)
    train_once(usual.subject, network)
    return made


@alike("alone as in batches")
def check_batch_independence(usual: Usual) -> Circumstances:
    """In eval mode, one result does not depend on its batch or its place in it."""
    advice = (
        "in eval mode compute nothing over the batch dimension (a mean over dim 0, batch "
        "statistics, sorting), and treat all counts alike"
    )
    started = time.perf_counter()
    for index, count in enumerate(BATCHES):
        if index >= 7 and time.perf_counter() - started > PATIENCE:
            break
        place = count // 2 if count != 5 else 0
        when = f"As number {place + 1} in a batch of {count}"
        yield Circumstance(when, partial(_among_others, usual, count, place), advice, CLOSE)


def _among_others(usual: Usual, count: int, place: int) -> Probe:
    """What a network makes of an input at a place in a batch."""
    batch = []
    for one in usual.probe:
        others = [torch.zeros_like(one), torch.ones_like(one), 1 - one]
        parts = [others[index % 3] for index in range(count)]
        batch.append(torch.cat([*parts[:place], one, *parts[place + 1 :]]))
    made = usual.subject.outputs(usual.network, tuple(batch))
    require(all(len(one) == count for one in made), f"{len(made[0])} results come out")
    return tuple(one[place : place + 1] for one in made)


@alike("other inputs, training and other networks leave no trace")
def check_hidden_state(usual: Usual) -> Circumstances:
    """Nothing but the input and the state dict counts: no other inputs, training or networks."""
    subject, network = usual.subject, usual.network
    other = subject.fresh(1)
    usual.of(other)
    advice = "keep nothing in class attributes or module variables"
    for one in (network, usual.twin()):
        when = "Once other networks of this class exist, with the same weights"
        yield Circumstance(when, partial(usual.of, one), advice)
    changed = subject.outputs(network, subject.probe(network, 1, 1))
    said = f"Two different {subject.kind.given}s give the same {subject.kind.parts[0]}"
    different = difference(changed[:1], usual.expected[:1]) > 0
    require(different, f"{said}; compute them from the input, and keep no results.")
    yield from _after_others(usual)
    yield from _after_training(usual)
    _check_that_nothing_changes(usual)
    unused = subject.fresh()
    for one in (unused, network):
        one.load_state_dict(other.state_dict(), strict=False)
    when, advice = (
        "With weights that are loaded after the first call",
        "keep nothing made of weights",
    )
    yield Circumstance(when, partial(usual.of, network), advice, SAME, usual.of(unused))


def _after_others(usual: Usual) -> Circumstances:
    """Other inputs: of other values, counts and sizes. What a network keeps from its very first
    input shows in one that has seen another one first."""
    subject, network = usual.subject, usual.network
    when = f"After other {subject.kind.given}s"
    for probe in _others(usual):
        unused = usual.twin()
        try:
            expected = subject.outputs(unused, probe)
        except CheckFailed:
            continue  # which the check of sizes says
        yield Circumstance(
            when, partial(subject.outputs, network, probe), KEEP_NOTHING, SAME, expected
        )
        for one in (network, unused):
            yield Circumstance(when, partial(usual.of, one), KEEP_NOTHING)
    if subject.word == "backbone":
        advice = (
            "compute head from the features alone; what the network adds to the image belongs into "
            "forward, as kind='residual' says, or into the features"
        )
        run = partial(_head_after_others, usual)
        yield Circumstance("Once another image came between forward_features and head", run, advice)


def _others(usual: Usual) -> Iterator[Probe]:
    subject, network, probe = usual.subject, usual.network, usual.probe
    yield tuple(torch.zeros_like(one) for one in probe)
    yield tuple(torch.cat([torch.ones_like(one)] * 2) for one in probe)
    yield tuple(1 - one for one in probe)
    yield subject.probe(network, 3, 1)
    for size in [] if subject.size else subject.kind.sizes(network):
        yield subject.kind.probe(network, 2, 1, size)


@torch.no_grad()
def _head_after_others(usual: Usual) -> Probe:
    features = tensor_of(usual.network, "forward_features", *usual.probe)
    usual.subject.outputs(usual.network, usual.subject.probe(usual.network, 1, 1))
    return features, tensor_of(usual.network, "head", features)


def _after_training(usual: Usual) -> Circumstances:
    network, kept = usual.network, copy.deepcopy(usual.network.state_dict())
    buffers = {name: value.clone() for name, value in network.named_buffers() if name not in kept}
    with contextlib.suppress(RuntimeError):  # which the check of gradients says
        train_once(usual.subject, network)
    network.eval().load_state_dict(kept, strict=False)  # which the check of saving says
    with torch.no_grad():
        for name, value in buffers.items():  # what a state dict leaves out
            network.get_buffer(name).copy_(value)
    when = "After a call in training mode and with the state dict from before"
    advice = "register what training changes as a buffer"
    yield Circumstance(when, partial(usual.of, network), advice)


def _check_that_nothing_changes(usual: Usual) -> None:
    new, network = usual.subject.fresh(), usual.network
    kept = copy.deepcopy(new.state_dict())
    usual.of(new)
    now = new.state_dict()
    changed = sorted(kept.keys() ^ now.keys())
    changed += [n for n in now if n in kept and difference([now[n]], [kept[n]]) > 0]
    said = f"A call in eval mode changes {', '.join(map(repr, changed[:1]))} of the state dict"
    require(not changed, f"{said}; change that in training only.")
    _call(usual, 5)  # what is made once for a size, such as a mask, is in place after that
    acts = {
        "A call": partial(_call, usual, 6),
        "train() followed by eval()": partial(_turn, network),
    }
    for what, act in acts.items():
        before = fingerprint(network)
        act()
        after = fingerprint(network)
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        said = f"{what} changes {', '.join(changed[:1])}"
        require(not changed, f"{said}; keep nothing but parameters and buffers, of training only.")
    training = [name or "the network" for name, one in network.named_modules() if one.training]
    said = f"eval() leaves {', '.join(training[:1])} in training mode"
    require(not training, f"{said}; call super().train(mode).")


def _call(usual: Usual, seed: int) -> None:
    usual.subject.outputs(usual.network, usual.subject.probe(usual.network, 1, seed))
    usual.of(usual.network)


def _turn(network: Any) -> None:
    network.train()
    network.eval()
