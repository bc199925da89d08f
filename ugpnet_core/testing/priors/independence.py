"""An image depends on its codes and the weights alone, and the codes stay as they were."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ugpnet_core.protocols import TrainablePrior
from ugpnet_core.testing.differences import CLOSE, SAME, difference, percent
from ugpnet_core.testing.priors.subject import (
    PriorSubject,
    called,
    codes_for,
    made_by,
    random_codes,
    synthesized,
)
from ugpnet_core.testing.report import CheckFailed, Outcome, passed
from ugpnet_core.testing.state import changes, fingerprint, loaded
from ugpnet_core.testing.surroundings import changed_setting, random_states, settings


def check_determinism(subject: PriorSubject) -> Outcome:
    """The same codes give the same image again: noise maps are stored, not drawn."""
    prior = subject.fresh()
    codes = codes_for(prior)
    first = made_by(prior, codes)
    for _ in range(2):
        apart = difference(made_by(prior, codes), first)
        if apart > SAME:
            raise CheckFailed(
                f"The same codes give another image the next time ({percent(apart)} apart); store "
                "noise maps as buffers, and keep nothing from call to call."
            )
    if isinstance(prior, TrainablePrior):
        z = random_codes(prior, 2)
        with torch.no_grad():
            pair = [called(prior, "__call__", z) for _ in range(2)]
        apart = difference(*pair)
        if apart > SAME:
            raise CheckFailed(
                f"The same z gives another image the next time ({percent(apart)} apart); draw "
                "noise only where randomize_noise is asked for."
            )
    return passed("three calls, one image")


def check_hidden_state(subject: PriorSubject) -> Outcome:
    """Nothing but codes and the state dict counts: not other codes, training or networks."""
    prior = subject.fresh()
    codes = codes_for(prior)
    first = made_by(prior, codes)
    others = codes_for(prior, 3, 1)
    made_by(prior, others)
    _compare(prior, codes, first, "After other codes", "keep nothing from call to call")
    other, twin = subject.fresh(1), subject.fresh()
    made_by(other, codes)
    loaded(twin, prior.state_dict())
    for one in (prior, twin):
        _compare(
            one,
            codes,
            first,
            "Once other networks of this class exist",
            "keep nothing in class attributes or module variables",
        )
    kept = {name: value.clone() for name, value in prior.state_dict().items()}
    image, features = synthesized(prior.train(), *others)
    if image.requires_grad:
        (image.sum() + features.sum()).backward()
    prior.eval()
    if loaded(prior, kept):
        advice = "register what training changes as a buffer"
        _compare(prior, codes, first, "After a call in training mode", advice)
    used, unused = subject.fresh(), subject.fresh()
    weights = subject.fresh(1, everywhere=True).state_dict()
    made_by(used, codes)
    if loaded(used, weights) and loaded(unused, weights):
        advice = "do not keep what was computed from weights"
        _compare(used, codes, made_by(unused, codes), "With weights loaded after a call", advice)
    before = fingerprint(used)
    for each in (others, codes):
        made_by(used, each)
    changed = changes(before, fingerprint(used))
    if changed:
        raise CheckFailed(
            f"Every call changes {changed[0]}; keep nothing from call to call, or register it as a "
            "buffer."
        )
    return passed("other codes, training and other networks leave no trace")


def _compare(
    prior: Any, codes: tuple[Tensor, Tensor], first: tuple[Tensor, Tensor], when: str, advice: str
) -> None:
    apart = difference(made_by(prior, codes), first)
    if apart > SAME:
        raise CheckFailed(
            f"{when}, the same codes give another image ({percent(apart)} apart); {advice}."
        )


def check_batch_independence(subject: PriorSubject) -> Outcome:
    """In eval mode, the image of a code does not depend on its batch or its place in it."""
    prior = subject.fresh()
    own = codes_for(prior)
    alone = made_by(prior, own)
    for count in (2, 3, 5):
        place = count - 2
        base, styles = codes_for(prior, count, count)
        base[place], styles[place] = own[0][0], own[1][0]
        together = made_by(prior, (base, styles))
        apart = difference([each[place : place + 1] for each in together], alone)
        if apart > CLOSE:
            raise CheckFailed(
                f"The image of a code changes by {percent(apart)} when it is number {place + 1} in "
                f"a batch of {count}; compute nothing over the batch dimension in eval mode, and "
                "give each code the same noise."
            )
    return passed("alone as in batches of 2, 3 and 5")


def check_random_state(subject: PriorSubject) -> Outcome:
    """No global random generator is used in eval mode, and making a prior seeds none."""
    prior = subject.fresh()
    before = random_states()
    made_by(prior, codes_for(prior))
    if isinstance(prior, TrainablePrior):
        with torch.no_grad():
            called(prior, "__call__", random_codes(prior, 1))
            prior.mean_latent(8, torch.Generator().manual_seed(0))
    for library, state in random_states().items():
        if state != before[library]:
            raise CheckFailed(
                f"A call in eval mode changes the random state of {library}; draw from the "
                "generator that is given, and seed nothing."
            )
    ends = []
    for seed in (5, 6):
        torch.manual_seed(seed)
        started = random_states()
        subject.raw()
        ends.append((started, random_states()))
    (start, one), (_, other) = ends
    if one["torch"] == other["torch"]:
        raise CheckFailed(
            "Making a prior seeds the global random generator of torch; draw noise maps from a "
            "generator of their own."
        )
    for library in ("numpy", "random"):
        if start[library] != one[library]:
            raise CheckFailed(
                f"Making a prior changes the global random state of {library}; draw from torch, "
                "which training seeds."
            )
    return passed("torch, numpy and random are left alone")


def check_global_settings(subject: PriorSubject) -> Outcome:
    """Making, running and training a prior leaves the settings of torch as they are."""
    before = settings()

    def compare(what: str) -> None:
        if changed := changed_setting(before):
            raise CheckFailed(
                f"{what} changes torch's {changed} for the whole process; leave that to the caller."
            )

    prior: Any = subject.make()
    compare("Making the prior")
    codes = codes_for(prior, 2)
    for mode in ("training", "eval"):
        prior.train(mode == "training")
        prior.synthesize(*codes)
        compare(f"A call in {mode} mode")
    return passed("data type, threads, gradients, determinism as before")


def check_input_unchanged(subject: PriorSubject) -> Outcome:
    """The codes that a prior is given stay as they were, in both modes."""
    prior = subject.fresh()
    base, styles = codes_for(prior, 2)
    for training in (False, True):
        prior.train(training)
        for layout in (torch.contiguous_format, torch.channels_last):
            given = {"base code": base.clone(memory_format=layout), "styles": styles.clone()}
            before = {name: (value.clone(), value._version) for name, value in given.items()}
            with torch.no_grad():
                called(prior, "synthesize", *given.values())
            for name, value in given.items():
                copy, version = before[name]
                if value._version != version or not torch.equal(value, copy):
                    raise CheckFailed(
                        f"synthesize changes the {name} that it is given; use operations that are "
                        "not in place (x = x * 2, not x *= 2), or clone it first."
                    )
    return passed("base code and styles are not changed")
