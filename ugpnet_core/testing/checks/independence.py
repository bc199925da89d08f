"""A result depends on the image and the weights alone: not on neighbours, earlier calls, luck."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.testing.differences import CLOSE, SAME, difference, percent
from ugpnet_core.testing.report import CheckFailed, Outcome, passed
from ugpnet_core.testing.state import changes, fingerprint, loaded
from ugpnet_core.testing.subject import (
    Subject,
    features_of,
    head_of,
    images,
    outputs_of,
    training_outputs_of,
)
from ugpnet_core.testing.surroundings import changed_setting, random_states, seed_all, settings

# As many parameters make a network that is made as few times as possible.
LARGE = 2e7


def check_batch_independence(subject: Subject) -> Outcome:
    """In eval mode, the result for an image does not depend on its batch or its place in it."""
    network = subject.fresh()
    x = subject.images(network)
    dark, bright, noise = torch.zeros_like(x), torch.ones_like(x), 1 - x
    alone = outputs_of(network, x)
    batches = [[x, bright], [noise, dark, x], [x, dark, bright, noise], [bright, x, x, x, dark]]
    batches.append([*batches[1], *batches[2], bright, noise])
    for batch in batches:
        place = next(index for index, one in enumerate(batch) if one is x)
        together = outputs_of(network, torch.cat(batch))
        for result in together:
            if len(result) != len(batch):
                raise CheckFailed(
                    f"A batch of {len(batch)} images gives {len(result)} results; give one for "
                    "each."
                )
        own = [result[place : place + 1] for result in together]
        apart = difference(own, alone)
        if apart > CLOSE:
            raise CheckFailed(
                f"The result for an image changes by {percent(apart)} when it is number "
                f"{place + 1} in a batch of {len(batch)}; in eval mode compute nothing over the "
                "batch dimension (a mean over dim 0, batch statistics, sorting)."
            )
    return passed("alone as in batches of 2, 3, 4, 5 and 9")


def check_determinism(subject: Subject) -> Outcome:
    """In eval mode, the same image gives the same result again, with and without gradients."""
    network = subject.fresh()
    x = subject.images(network)
    first = outputs_of(network, x)
    for seed in (1, 2):
        # Noise may be drawn without a trace from a copy of the random state.
        seed_all(seed)
        apart = difference(outputs_of(network, x), first)
        if apart > SAME:
            raise CheckFailed(
                f"The same image gives another result the next time ({percent(apart)} apart); in "
                "eval mode draw no random numbers, and keep nothing from call to call."
            )
    features = features_of(network, x)
    apart = difference([features, head_of(network, features)], first)
    if apart > CLOSE:
        raise CheckFailed(
            f"Where gradients are on, the same image gives another result ({percent(apart)} "
            "apart); let the result depend on self.training alone, not on is_grad_enabled()."
        )
    return passed("three calls, one result")


def check_hidden_state(subject: Subject) -> Outcome:
    """Nothing but the image and the state dict counts: not other images, training or networks."""
    network = subject.fresh()
    x = subject.images(network)
    first = outputs_of(network, x)
    other, twin = subject.fresh(1), subject.fresh()
    loaded(twin, network.state_dict())
    outputs_of(other, x)
    apart = max(difference(outputs_of(one, x), first) for one in (network, twin))
    if apart > SAME:
        raise CheckFailed(
            f"Once other networks of this class exist, the same weights give another result "
            f"({percent(apart)} apart); keep nothing in class attributes or module variables."
        )
    if difference(first[:1], outputs_of(network, 1 - x)[:1]) == 0:
        raise CheckFailed(
            "Two different images give the same features; compute them from the input, and keep no "
            "results from call to call."
        )
    _check_head(network, x, first)
    _check_other_images(subject, network, twin, x, first)
    _check_after_training(subject, network, x, first)
    _check_that_nothing_is_kept(network, x)
    _check_new_weights(network, subject.fresh(), other.state_dict(), x)
    return passed("other images, training and other networks leave no trace")


def _check_head(network: Any, x: Tensor, first: tuple[Tensor, Tensor]) -> None:
    features, image = outputs_of(network, x)
    with torch.no_grad():
        features_of(network, 1 - x)
        apart = difference([head_of(network, features)], [image])
    if apart > SAME:
        raise CheckFailed(
            f"head gives another result for the same features once forward_features has seen "
            f"another image ({percent(apart)} apart); compute it from the features alone. What "
            "the network adds to the image belongs into forward, as kind='residual' says, or into "
            "the features."
        )


def _check_other_images(
    subject: Subject, network: Any, twin: Any, x: Tensor, first: tuple[Tensor, Tensor]
) -> None:
    """Show other images to two equal networks in opposite orders."""
    height, width = x.shape[2:]
    others = [torch.zeros_like(x), torch.ones_like(x).repeat(2, 1, 1, 1), 1 - x]
    if getattr(network, "fixed_size", None) is None and subject.size is None:
        others += [images(2, (2 * height, width), 1), images(1, (height, width * 2), 2)]
        if network.size_multiple <= 16:  # larger than what any other check has shown to this class
            others.append(images(1, (height, 5 * width), 3))
    forwards = [_after_others(subject, network, other) for other in others]
    backwards = [_after_others(subject, twin, other) for other in reversed(others)]
    apart = max(
        difference(one, another)
        for one, another in zip(forwards, reversed(backwards), strict=True)
        if one is not None and another is not None
    )
    # What a network keeps from its very first image shows only in one that saw another one first.
    late = [subject.fresh(), subject.fresh()]
    for one, earlier in zip(late, (torch.ones_like(x), others[-1]), strict=True):
        loaded(one, network.state_dict())
        _after_others(subject, one, earlier)
    apart = max(apart, *(difference(outputs_of(one, x), first) for one in (network, twin, *late)))
    if apart > SAME:
        raise CheckFailed(
            f"After other images the same image gives another result ({percent(apart)} apart); "
            "keep nothing from call to call in attributes, module variables or default arguments."
        )


def _after_others(subject: Subject, network: Any, image: Tensor) -> tuple[Tensor, Tensor] | None:
    """The result of a network that has been used; None where a new one fails on the image too,
    which is for the check of sizes to say."""
    try:
        return outputs_of(network, image)
    except CheckFailed as failed:
        try:
            outputs_of(subject.fresh(), image)
        except CheckFailed:
            return None
        raise CheckFailed(
            f"After images of other sizes, {str(failed)[0].lower()}{str(failed)[1:].rstrip('.')}; "
            "keep nothing of one call for the next."
        ) from failed


def _check_after_training(
    subject: Subject, network: Any, x: Tensor, first: tuple[Tensor, Tensor]
) -> None:
    kept = copy.deepcopy(network.state_dict())
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    network.train()
    _, image, intermediate = training_outputs_of(network, subject.images(network, 2, 3))
    loss = sum((each.sum() for each in (image, *intermediate)), image.new_zeros(()))
    if loss.requires_grad:
        with contextlib.suppress(RuntimeError):  # which the check of gradients says
            loss.backward()
    network.eval()
    if not loaded(network, kept):
        return
    for name, value in network.named_buffers():
        if name in buffers and name not in kept:  # what a state dict leaves out
            value.copy_(buffers[name])
    apart = difference(outputs_of(network, x), first)
    if apart > SAME:
        raise CheckFailed(
            f"After a call in training mode, the same image and the same state dict give another "
            f"result ({percent(apart)} apart); register what training changes as a buffer."
        )


def _check_new_weights(used: Any, unused: Any, weights: Mapping[str, Tensor], x: Tensor) -> None:
    fits = loaded(used, weights) and loaded(unused, weights)
    apart = difference(outputs_of(used, x), outputs_of(unused, x))
    if fits and apart > SAME:
        raise CheckFailed(
            f"Weights that are loaded after the first call give another result than before it "
            f"({percent(apart)} apart); do not keep what was computed from weights."
        )


def _check_that_nothing_is_kept(network: Any, x: Tensor) -> None:
    # What is made once for a size, such as a mask, is in place after the first call.
    outputs_of(network, x)
    before = fingerprint(network)
    for image in (1 - x, x):
        outputs_of(network, image)
    changed = changes(before, fingerprint(network))
    if changed:
        raise CheckFailed(
            f"Every call changes {changed[0]}; keep nothing from call to call, or register it as a "
            "buffer."
        )


def check_random_state(subject: Subject) -> Outcome:
    """In eval mode no global random generator is used, and making a network seeds none."""
    network = subject.fresh()
    x = subject.images(network)
    before = random_states()
    outputs_of(network, x)
    multiple = network.size_multiple
    if getattr(network, "fixed_size", None) is None and subject.size is None and multiple <= 16:
        # A table that is drawn once for each size is there already for the sizes of other checks.
        with contextlib.suppress(CheckFailed):  # which the check of sizes says
            outputs_of(network, images(1, (9 * multiple, 2 * multiple)))
    for library, state in random_states().items():
        if state != before[library]:
            raise CheckFailed(
                f"A call in eval mode changes the random state of {library}; draw no random "
                "numbers in eval mode, and seed nothing."
            )
    ends = []
    made = []
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
    x = subject.images(network, 2)
    for mode in ("training", "eval"):
        network.train(mode == "training")
        network.head(network.forward_features(x))  # type: ignore[operator]
        compare(f"A call in {mode} mode")
    return passed("data type, threads, gradients, determinism as before")
