"""Defects that hide: each shows only in some situation, and still the conformance checks see it."""

from __future__ import annotations

import contextvars
import functools
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ugpnet_core.networks.regression import RegressionNetwork
from ugpnet_core.plugins import BackboneEntry
from ugpnet_core.testing import (
    CheckFailed,
    Declared,
    Report,
    Subject,
    check_backbone,
    check_declared_values,
    check_names,
    run_checks,
    subject_of,
)

pytestmark = pytest.mark.usefixtures("no_other_process")


class Good(RegressionNetwork):
    """Keeps every promise; what breaks one derives from it."""

    kind = "direct"
    feature_channels = 8

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward_features(self, x: Tensor) -> Tensor:
        features: Tensor = nn.functional.leaky_relu(self.first(x), 0.2)
        return features

    def head(self, f: Tensor) -> Tensor:
        image: Tensor = self.last(f)
        return image


class FromSixOn(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        return f - f.mean(0) if len(f) > 5 else f


class MultipliedByNothing(Good):
    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Conv2d(8, 8, 1)

    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        extra: Tensor = self.extra(f)
        return f + 1e-20 * extra


class ClampsBehindTheBack(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        x.data.clamp_(0, 1)
        return super().forward_features(x)


class SwitchesTheImage(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        if not x.requires_grad:
            x.requires_grad_()
        return super().forward_features(x)


class ChangesTheImageBefore(Good):
    before: Tensor | None = None

    def forward_features(self, x: Tensor) -> Tensor:
        if self.before is not None and not torch.is_grad_enabled():
            self.before.data.zero_()
        self.before = x.detach()
        return super().forward_features(x)


class ChangesOddImages(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        if x.shape[-1] % 2:
            x[..., -1] = 0
        return super().forward_features(x)


class CopiesTheRandomState(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            noise = torch.randn(1, 8, 1, 1)
        return super().forward_features(x) + noise.to(x)


class LooksAtGradients(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        return f * 1.1 if torch.is_grad_enabled() else f


class HeadRemembersTheImage(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        self.image = x.detach()
        return super().forward_features(x)

    def head(self, f: Tensor) -> Tensor:
        return super().head(f) + self.image


class TensorThatCounts(Good):
    def __init__(self) -> None:
        super().__init__()
        self.calls = torch.zeros(())

    def forward_features(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return super().forward_features(x)


def _nothing(*given: object) -> None:
    """A hook."""


class HooksEveryCall(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        self.first.register_forward_hook(_nothing)
        return super().forward_features(x)


CALLS = contextvars.ContextVar("CALLS", default=0)


class CountsInAContext(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        CALLS.set(CALLS.get() + 1)
        return super().forward_features(x)


class CountsInTheEnvironment(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        os.environ["UGPNET_TEST_CALLS"] = os.environ.get("UGPNET_TEST_CALLS", "") + "x"
        return super().forward_features(x)


@functools.cache
def _drawn(height: int, width: int) -> Tensor:
    return torch.randn(1, 8, 1, 1)


class DrawsOnceForASize(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x) + _drawn(*x.shape[2:]).to(x)


class UnseededWeights(Good):
    def __init__(self) -> None:
        super().__init__()
        drawn = np.random.default_rng().standard_normal((8, 3, 3, 3))
        self.first.weight.data = torch.from_numpy(drawn.astype("float32"))


class SwitchesTensorFloats(Good):
    def __init__(self) -> None:
        super().__init__()
        torch._C._set_cudnn_allow_tf32(not torch._C._get_cudnn_allow_tf32())


class GrowsWithTheLargest(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        LARGEST["width"] = max(LARGEST["width"], x.shape[-1])
        return super().forward_features(x) + 0.01 * LARGEST["width"]


LARGEST = {"width": 0}


class EndsAt64(Good):
    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.randn(1, 8, 64, 64))

    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x) + self.places[..., : x.shape[2], : x.shape[3]]


class WindowsAbove32(Good):
    size_multiple = 4

    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        n, c, h, w = f.shape
        return f if max(h, w) <= 32 else f.view(n, c, h // 16, 16, w // 16, 16).view(n, c, h, w)


class MoreChannelsForLargeImages(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        return f if x.shape[-1] < 60 else torch.cat([f, f[:, :1]], 1)

    def head(self, f: Tensor) -> Tensor:
        return super().head(f[:, :8])


class NoGradientsInEval(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(self.training and torch.is_grad_enabled()):
            return super().forward_features(x)


class LearnsAtTheFirstCall(Good):
    mean: Tensor
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))

    def forward_features(self, x: Tensor) -> Tensor:
        if not self.seen:
            self.mean.copy_(x.detach().mean())
            self.seen.fill_(1)
        return super().forward_features(x - self.mean.to(x))


class DropsItsBuffer(Good):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("spare", torch.zeros(1))

    def forward_features(self, x: Tensor) -> Tensor:
        self._buffers.pop("spare", None)
        return super().forward_features(x)


class ForwardOfEvalOnly(Good):
    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        return super().forward(x)


class RemembersEveryImage(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        IMAGES.add(float(x.detach().sum()))
        return super().forward_features(x)


IMAGES: set[float] = set()


# What takes seconds is tried on networks of its own, in test_conformance_escaped.py.
SLOW = ("speed", "other_process", "large_images")


def checked(network: type[Any]) -> Report:
    """All but what takes seconds for each network."""
    names = [name for name in check_names() if name not in SLOW]
    return run_checks(subject_of(network), only=names)


HIDING: Mapping[type[nn.Module], tuple[str, str]] = {
    FromSixOn: ("batch_independence", "in a batch of 8"),
    MultipliedByNothing: ("gradients", "'extra.weight' gets a gradient of zero"),
    ClampsBehindTheBack: ("input_unchanged", "changes the image"),
    SwitchesTheImage: ("input_unchanged", "switches on the gradients of the image"),
    ChangesTheImageBefore: ("input_unchanged", "changes the image"),
    ChangesOddImages: ("input_unchanged", "changes the image"),
    CopiesTheRandomState: ("determinism", "draw no random numbers"),
    LooksAtGradients: ("determinism", "Where gradients are on"),
    HeadRemembersTheImage: ("hidden_state", "compute head from the features alone"),
    TensorThatCounts: ("hidden_state", "attribute 'calls'"),
    HooksEveryCall: ("hidden_state", "attribute '_forward_hooks' of layer 'first'"),
    CountsInAContext: ("hidden_state", "variable 'CALLS'"),
    CountsInTheEnvironment: ("hidden_state", "environment variables"),
    DrawsOnceForASize: ("random_state", "changes the random state of torch"),
    UnseededWeights: ("random_state", "after the same seed"),
    SwitchesTensorFloats: ("global_settings", "cudnn.allow_tf32"),
    GrowsWithTheLargest: ("hidden_state", "After other images"),
    EndsAt64: ("sizes", "image of 65x67"),
    WindowsAbove32: ("sizes", "image of 68x76"),
    NoGradientsInEval: ("gradients", "The image gets no gradient in eval"),
    LearnsAtTheFirstCall: ("hidden_state", "A call in eval mode changes 'mean'"),
    DropsItsBuffer: ("hidden_state", "A call in eval mode changes 'spare'"),
    ForwardOfEvalOnly: ("input_unchanged", "forward fails in training mode"),
    RemembersEveryImage: ("hidden_state", "A call changes variable 'IMAGES'"),
    MoreChannelsForLargeImages: ("sizes", "give features (1, 9, 65, 67)"),
}


@pytest.fixture(autouse=True)
def _environment_kept() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_without_a_defect_all_is_well() -> None:
    check_backbone(Good).raise_if_failed()


@pytest.mark.parametrize("network", HIDING, ids=lambda network: network.__name__)
def test_a_defect_that_hides_is_caught_by_its_check_alone(network: type[Any]) -> None:
    check, said = HIDING[network]
    failed = {one.name: one.message for one in checked(network).failed}
    assert list(failed) == [check], failed
    assert said in failed[check]


def test_all_values_that_disagree_are_named() -> None:
    declared = Declared(feature_channels=16, size_multiple=4)
    with pytest.raises(CheckFailed, match=r"feature_channels=16 and .* 8, size_multiple=4 and"):
        check_declared_values(Subject(name="x", make=Good, declared=declared))


def _leaves() -> nn.Module:
    raise SystemExit(3)


def test_a_factory_that_leaves_python_cannot_be_made() -> None:
    failed = check_backbone(_leaves).failed
    assert [one.name for one in failed] == ["builds"]
    assert failed[0].message.startswith("The network cannot be made: SystemExit: 3;")


def test_a_factory_that_cannot_be_imported_is_no_matter_of_options() -> None:
    entry = BackboneEntry(
        name="x", description="x", factory="no_such:Net", kind="direct", feature_channels=8
    )
    (failed,) = check_backbone(entry).failed
    assert failed.message.endswith("or install what it imports.")
