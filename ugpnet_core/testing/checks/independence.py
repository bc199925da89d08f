"""A result depends on the input and the weights alone: not on neighbours, earlier calls, luck."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.testing.differences import CLOSE, SAME, difference, percent
from ugpnet_core.testing.kind import Probe
from ugpnet_core.testing.report import CheckFailed, Outcome, passed
from ugpnet_core.testing.state import changes, fingerprint, loaded
from ugpnet_core.testing.subject import Subject
from ugpnet_core.testing.surroundings import (
    changed_setting,
    random_states,
    seed_all,
    settings,
    settings_kept,
)

# As many parameters make a network that is made as few times as possible.
LARGE = 2e7
BATCHES = (2, 3, 4, 5, 8, 9, 16, 6, 7, 12, 32)
# Slow networks are shown as many batches as this many seconds allow, and seven at least.
PATIENCE = 5.0


def check_batch_independence(subject: Subject) -> Outcome:
    """In eval mode, one result does not depend on its batch or its place in it."""
    network, given = subject.fresh(), subject.kind.given
    probe = subject.probe(network)
    alone = subject.outputs(network, probe)
    others = [tuple(map(torch.zeros_like, probe)), tuple(map(torch.ones_like, probe))]
    others.append(tuple(1 - one for one in probe))
    shown: list[int] = []
    started = time.perf_counter()
    for count in BATCHES:
        if len(shown) >= 7 and time.perf_counter() - started > PATIENCE:
            break
        shown.append(count)
        place = count // 2 if count != 5 else 0
        batch = [others[index % len(others)] for index in range(count)]
        batch[place] = probe
        together = subject.outputs(network, tuple(map(torch.cat, zip(*batch, strict=True))))
        if any(len(result) != count for result in together):
            raise CheckFailed(
                f"A batch of {count} {given}s gives {len(together[0])} results; give one for each."
            )
        apart = difference([result[place : place + 1] for result in together], alone)
        if apart > CLOSE:
            raise CheckFailed(
                f"The {subject.kind.result} of one {given} changes by {percent(apart)} when it is "
                f"number {place + 1} in a batch of {count}; in eval mode compute nothing over the "
                "batch dimension (a mean over dim 0, batch statistics, sorting), and treat all "
                "counts alike."
            )
    return passed(f"alone as in batches of {', '.join(map(str, sorted(shown)))}")


def check_determinism(subject: Subject) -> Outcome:
    """In eval mode the same input gives the same again, with and without gradients."""
    network, kind = subject.fresh(), subject.kind
    probe = subject.probe(network)
    first = subject.outputs(network, probe)
    for seed in (1, 2):
        # Noise may be drawn without a trace from a copy of the random state.
        seed_all(seed)
        apart = difference(subject.outputs(network, probe), first)
        if apart > SAME:
            raise CheckFailed(
                f"The same {kind.given} gives another {kind.result} the next time "
                f"({percent(apart)} apart); in eval mode draw no random numbers (noise maps are "
                "buffers), and keep nothing from call to call."
            )
    apart = difference(kind.run(network, *probe), first)
    if apart > CLOSE:
        raise CheckFailed(
            f"Where gradients are on, the same {kind.given} gives another {kind.result} "
            f"({percent(apart)} apart); let it depend on self.training alone, not on "
            "is_grad_enabled()."
        )
    return passed("three calls, one result")


def check_threads(subject: Subject) -> Outcome:
    """The number of threads that torch may use does not count."""
    network = subject.fresh()
    probe = subject.probe(network, 2)
    expected = subject.outputs(network, probe)
    other = subject.fresh()
    loaded(other, network.state_dict())
    for threads in (1, 2, 3, 4):
        with settings_kept():
            torch.set_num_threads(threads)
            made = [subject.outputs(one, probe) for one in (network, other)]
        apart = max(difference(one, expected) for one in made)
        if apart > CLOSE:
            raise CheckFailed(
                f"With {threads} thread{'s' if threads > 1 else ''} the same {subject.kind.given} "
                f"gives another {subject.kind.result} ({percent(apart)} apart); compute nothing "
                "from the number of threads or processors."
            )
    return passed("with 1, 2, 3 and 4 threads the same")


def check_hidden_state(subject: Subject) -> Outcome:
    """Nothing but the input and the state dict counts: no other inputs, training or networks."""
    network, kind = subject.fresh(), subject.kind
    probe = subject.probe(network)
    first = subject.outputs(network, probe)
    other, twin = subject.fresh(1), subject.fresh()
    loaded(twin, network.state_dict())
    subject.outputs(other, probe)
    for one in (network, twin):
        _compare(
            subject,
            subject.outputs(one, probe),
            first,
            "Once other networks of this class exist, the same weights give",
            "keep nothing in class attributes or module variables",
        )
    if difference(first[:1], subject.outputs(network, subject.probe(network, 1, 1))[:1]) == 0:
        raise CheckFailed(
            f"Two different {kind.given}s give the same {kind.parts[0]}; compute them from the "
            "input, and keep no results from call to call."
        )
    _check_other_inputs(subject, network, twin, probe, first)
    _check_after_training(subject, network, probe, first)
    _check_that_nothing_is_kept(subject, network, probe)
    _check_new_weights(subject, network, other.state_dict(), probe)
    return passed(f"other {kind.given}s, training and other networks leave no trace")


def _compare(
    subject: Subject, made: Probe, expected: Probe, when_it_gives: str, advice: str
) -> None:
    apart = difference(made, expected)
    if apart > SAME:
        raise CheckFailed(
            f"{when_it_gives} another {subject.kind.result} ({percent(apart)} apart); {advice}."
        )


def _check_other_inputs(
    subject: Subject, network: Any, twin: Any, probe: Probe, first: Probe
) -> None:
    """Show other inputs to two equal networks in opposite orders."""
    others = subject.kind.others(network, subject.size)
    forwards = [_after_others(subject, network, other) for other in others]
    backwards = [_after_others(subject, twin, other) for other in reversed(others)]
    pairs: list[tuple[Probe | None, Probe | None]] = list(
        zip(forwards, reversed(backwards), strict=True)
    )
    # What a network keeps from its very first input shows only in one that saw another one first.
    late = [subject.fresh(), subject.fresh()]
    for one, earlier in zip(late, (others[0], others[-1]), strict=True):
        loaded(one, network.state_dict())
        _after_others(subject, one, earlier)
    pairs += [(subject.outputs(one, probe), first) for one in (network, twin, *late)]
    given = subject.kind.given
    for made, expected in pairs:
        if made is not None and expected is not None:
            when = f"After other {given}s the same {given} gives"
            advice = (
                "keep nothing from call to call in attributes, module variables or default "
                "arguments"
            )
            _compare(subject, made, expected, when, advice)


def _after_others(subject: Subject, network: Any, probe: Probe) -> tuple[Tensor, Tensor] | None:
    """The result of a network that has been used; None where a new one fails on the input too,
    which is for the check of sizes to say."""
    try:
        return subject.outputs(network, probe)
    except CheckFailed as failed:
        try:
            subject.outputs(subject.fresh(), probe)
        except CheckFailed:
            return None
        raise CheckFailed(
            f"After {subject.kind.given}s of other sizes, {str(failed)[0].lower()}"
            f"{str(failed)[1:].rstrip('.')}; keep nothing of one call for the next."
        ) from failed


def _check_after_training(subject: Subject, network: Any, probe: Probe, first: Probe) -> None:
    kept = copy.deepcopy(network.state_dict())
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    made = subject.kind.train(network.train(), *subject.probe(network, 2, 3))
    loss = sum((each.sum() for each in made), made[0].new_zeros(()))
    if loss.requires_grad:
        with contextlib.suppress(RuntimeError):  # which the check of gradients says
            loss.backward()
    network.eval()
    if not loaded(network, kept):
        return
    with torch.no_grad():
        for name, value in network.named_buffers():
            if name in buffers and name not in kept:  # what a state dict leaves out
                value.copy_(buffers[name])
    when = f"After a call in training mode, the same {subject.kind.given} and state dict give"
    advice = "register what training changes as a buffer"
    _compare(subject, subject.outputs(network, probe), first, when, advice)


def _check_new_weights(
    subject: Subject, used: Any, weights: Mapping[str, Tensor], probe: Probe
) -> None:
    unused = subject.fresh()
    if loaded(used, weights) and loaded(unused, weights):
        when = "Weights that are loaded after the first call, or before it, give"
        expected = subject.outputs(unused, probe)
        advice = "do not keep what was computed from weights"
        _compare(subject, subject.outputs(used, probe), expected, when, advice)


def _check_that_nothing_is_kept(subject: Subject, network: Any, probe: Probe) -> None:
    # What is made once for a size, such as a mask, is in place after the first call.
    subject.outputs(network, probe)
    before = fingerprint(network)
    for one in (subject.probe(network, 1, 1), probe):
        subject.outputs(network, one)
    changed = changes(before, fingerprint(network))
    if changed:
        raise CheckFailed(
            f"Every call changes {changed[0]}; keep nothing from call to call, or register it as a "
            "buffer."
        )


def check_random_state(subject: Subject) -> Outcome:
    """In eval mode no global random generator is used, and making a network seeds none."""
    network = subject.fresh()
    before = random_states()
    # A table that is drawn once for each size is there already for the sizes of other checks.
    for probe in (subject.probe(network), *subject.kind.unseen(network, subject.size)):
        with contextlib.suppress(CheckFailed):  # which the check of sizes says
            subject.outputs(network, probe)
    for library, state in random_states().items():
        if state != before[library]:
            raise CheckFailed(
                f"A call in eval mode changes the random state of {library}; draw no random "
                "numbers in eval mode, and seed nothing."
            )
    ends, made = [], []
    # Making a large network takes seconds.
    again = [5] if sum(p.numel() for p in network.parameters()) < LARGE else []
    for seed in [5, 6, *again]:
        seed_all(seed)
        started = random_states()
        made.append(list(subject.raw().parameters()))
        ends.append((started, random_states()))
    (start, one), (_, other) = ends[:2]
    if one["torch"] == other["torch"]:
        raise CheckFailed(
            "Making a network seeds the global random generator of torch; leave seeding to the "
            "caller."
        )
    for library in ("numpy", "random"):
        if start[library] != one[library]:
            raise CheckFailed(
                f"Making a network changes the global random state of {library}; draw from torch, "
                "which training seeds."
            )
    if again and difference(made[0], made[2]) > 0:
        raise CheckFailed(
            "Two networks made after the same seed have other weights; draw initial values from "
            "the global generator of torch, which training seeds."
        )
    return passed("torch, numpy and random are left alone")


def check_global_settings(subject: Subject) -> Outcome:
    """Making, running and training a network leaves the settings of torch as they are."""
    before = settings()

    def compare(what: str) -> None:
        if changed := changed_setting(before):
            raise CheckFailed(
                f"{what} changes torch's {changed} for the whole process; leave that to the caller."
            )

    network = subject.make()
    compare("Making the network")
    probe = subject.probe(network, 2)
    for mode in ("training", "eval"):
        network.train(mode == "training")
        subject.kind.plain(network, *probe)
        compare(f"A call in {mode} mode")
    return passed("data type, threads, gradients, determinism as before")
