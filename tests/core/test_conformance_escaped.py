"""Defects that show elsewhere: in another process or mode, in large images, to a finite difference;
and good networks of the same kinds, which no check may accuse."""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from ugpnet_core.networks.regression import RegressionNetwork
from ugpnet_core.plugins import BackboneEntry, Options
from ugpnet_core.protocols import PriorOutput
from ugpnet_core.testing import Result, Subject, check_backbone, run_checks, subject_of


class Good(RegressionNetwork):
    """Keeps every promise; what breaks one derives from it."""

    kind = "direct"
    feature_channels = 8

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.feature_channels = width
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward_features(self, x: Tensor) -> Tensor:
        features: Tensor = F.gelu(self.first(x))
        return features

    def head(self, f: Tensor) -> Tensor:
        image: Tensor = self.last(f)
        return image


# --- other processes

NAMES = {"a", "be", "sea", "deer", "eagle", "effort", "general", "agencies", "enjoyment"}


class OrderOfASet(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        for name in NAMES:
            f = torch.sin(f + len(name))
        return f


class LayersOfASet(Good):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({name: nn.Conv2d(8, 8, 1) for name in NAMES})

    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        return f + sum((self.layers[name](f) for name in sorted(self.layers)), f)


class SortedLayers(LayersOfASet):
    def __init__(self) -> None:
        Good.__init__(self)
        self.layers = nn.ModuleDict({name: nn.Conv2d(8, 8, 1) for name in sorted(NAMES)})


class WeightsOfAHash(Good):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(hash("first") % 2**32)
        self.first.weight.data = torch.randn(self.first.weight.shape, generator=generator)


# --- restoring


class CrashesInInferenceMode(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        if torch.is_inference_mode_enabled():
            torch.autograd.grad(self.first(x).sum(), self.first.weight)
        return super().forward_features(x)


class OtherInInferenceMode(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x) * (0.9 if torch.is_inference_mode_enabled() else 1)


class KeepsGraphs(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(True):
            return super().forward_features(x)


class KeepsATableOfInference(Good):
    table: Tensor | None = None

    def forward_features(self, x: Tensor) -> Tensor:
        if self.table is None or self.table.dtype != x.dtype or self.table.device != x.device:
            self.table = 2 * x.new_ones(8, 1, 1)
        return super().forward_features(x) * self.table


class DescendsInside(Good):
    """Unrolled: a step along the gradient of a term of its own, which needs no graph outside."""

    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        return f - 0.1 * (f - F.avg_pool2d(f, 3, 1, 1))


class HalfInside(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x).half().to(x.dtype)


class AutocastInside(Good):
    def head(self, f: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().head(f).to(f.dtype)


class NormInFloat32(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        norm = f.float().square().mean(1, keepdim=True).add(1e-6).sqrt()
        return f / norm.to(f.dtype)


class CountsThreads(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x) * (1 + 0.01 * torch.get_num_threads())


class OtherForEight(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x.flip(0) if len(x) % 8 == 0 else x)


class OtherFromSixteenOn(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x * 0.9 if len(x) >= 16 else x)


# --- gradients


class PartlyDetached(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        return f.detach() + 0.01 * f


class DetachedInTraining(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        return f.detach() * 0.9 + 0.1 * f if self.training else f


class ImagePartlyDetached(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(0.5 * x + 0.5 * x.detach())


class WeightPartlyDetached(Good):
    def head(self, f: Tensor) -> Tensor:
        weight = 0.5 * (self.last.weight + self.last.weight.data)
        return F.conv2d(f, weight, self.last.bias, padding=1)


class Noisy(Good):
    """Dropout, batch statistics and a spectral norm that moves with every call in training."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(8)
        parametrizations.spectral_norm(self.first)

    def forward_features(self, x: Tensor) -> Tensor:
        return F.dropout(self.norm(super().forward_features(x)), 0.2, self.training)


class Rounds(Good):
    """Gradients pass straight through what is rounded."""

    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        return f + ((8 * f).round() / 8 - f).detach()


# --- large images


class WrongShapeAbove100(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        return f[..., :-1] if x.shape[3] > 100 else f


class ZerosAbove200(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        return 0 * f if min(x.shape[2:]) > 200 else f


class EndsAtRow256(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        return torch.cat([f[:, :, :256], 0 * f[:, :, 256:]], 2)


class Scrambles(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        n, c, h, w = f.shape
        return f.mT.reshape(n, c, h, w) if h != w else f


class FainterAbove150(Good):
    def head(self, f: Tensor) -> Tensor:
        return super().head(f) * (0.9 if f.shape[-1] > 150 else 1)


class InstanceNorm(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return F.instance_norm(super().forward_features(x))


class Squeezes(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        return f * torch.sigmoid(4 * f.mean((2, 3), keepdim=True))


class Upsamples(Good):
    scale = 2
    size_multiple = 4

    def forward_features(self, x: Tensor) -> Tensor:
        f = F.interpolate(F.avg_pool2d(super().forward_features(x), 4), scale_factor=8.0)
        return f


class Attention(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        tokens = f.flatten(2).mT
        attended = (tokens @ tokens.mT / 3).softmax(-1) @ tokens
        return f + attended.mT.reshape(f.shape)


# --- what users will not like


class ReturnsItsInput(Good):
    feature_channels = 3

    def __init__(self) -> None:
        super().__init__(3)

    def forward_features(self, x: Tensor) -> Tensor:
        return x[:]

    def head(self, f: Tensor) -> Tensor:
        image: Tensor = self.last(self.first(f))
        return image


class HeadCuts(Good):
    def head(self, f: Tensor) -> Tensor:
        return f[:, :3]


class Sleeps(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        time.sleep(0.02)
        return super().forward_features(x)


class Spectral(Good):
    def __init__(self) -> None:
        super().__init__()
        parametrizations.spectral_norm(self.first)
        parametrizations.weight_norm(self.last)


class SpectralByHooks(Good):
    def __init__(self) -> None:
        super().__init__()
        nn.utils.spectral_norm(self.first)


class SpectralWithALambda(Spectral):
    def __init__(self) -> None:
        super().__init__()
        self.act = lambda x: x


def checked(network: Any, check: str) -> Result:
    """The result of one check."""
    return run_checks(subject_of(network), only=[check])[check]


@pytest.mark.parametrize(
    ("network", "check", "said"),
    [
        (CrashesInInferenceMode, "inference_mode", "Under torch.inference_mode"),
        (OtherInInferenceMode, "inference_mode", "gives another result"),
        (KeepsGraphs, "inference_mode", "leave out enable_grad"),
        (KeepsATableOfInference, "inference_mode", "it fails"),
        (HalfInside, "full_precision", "16 bits"),
        (AutocastInside, "full_precision", "16 bits"),
        (CountsThreads, "threads", "the number of threads or processors"),
        (OtherForEight, "batch_independence", "in a batch of 8"),
        (OtherFromSixteenOn, "batch_independence", "in a batch of 16"),
        (PartlyDetached, "true_gradients", "leave out detach()"),
        (DetachedInTraining, "true_gradients", "in training mode"),
        (ImagePartlyDetached, "true_gradients", "the image"),
        (WeightPartlyDetached, "true_gradients", "'last.weight'"),
        (WrongShapeAbove100, "large_images", "1 image of 112x112 give features (1, 8, 112, 111)"),
        (ZerosAbove200, "large_images", "The same content gives another result"),
        (EndsAtRow256, "large_images", "The same content"),
        (Scrambles, "large_images", "5x7 patches"),
        (FainterAbove150, "large_images", "The same content gives another result"),
        (SpectralWithALambda, "pickling", "keep no lambdas"),
    ],
    ids=lambda p: getattr(p, "__name__", None),
)
def test_a_defect_is_caught(network: type[Any], check: str, said: str) -> None:
    result = checked(network, check)
    assert result.status == "failed", result
    assert said in result.message
    assert result.message.endswith(".")


@pytest.mark.parametrize(
    ("network", "check"),
    [
        (DescendsInside, "inference_mode"),
        (Noisy, "inference_mode"),
        (NormInFloat32, "full_precision"),
        (NormInFloat32, "true_gradients"),
        (Noisy, "true_gradients"),
        (Spectral, "true_gradients"),
        (InstanceNorm, "large_images"),
        (Squeezes, "large_images"),
        (Upsamples, "large_images"),
        (Spectral, "pickling"),
        (Spectral, "deep_copy"),
        (SpectralByHooks, "pickling"),
    ],
    ids=lambda p: getattr(p, "__name__", None),
)
def test_a_good_network_of_that_kind_passes(network: type[Any], check: str) -> None:
    result = checked(network, check)
    assert result.status == "passed", result


@pytest.mark.parametrize(
    ("network", "check", "said"),
    [
        (Attention, "large_images", "the square of the number of pixels"),
        (Rounds, "true_gradients", "rounding passes gradients on purpose"),
        (ReturnsItsInput, "input_unchanged", "returns a view of the image"),
        (HeadCuts, "input_unchanged", "returns a view of the feature map"),
        (Sleeps, "runs", "users will wait long"),
    ],
    ids=lambda p: getattr(p, "__name__", None),
)
def test_what_breaks_no_promise_is_a_warning(
    network: type[Any], check: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ugpnet_core.testing.checks.shapes.SLOW", 0.015)
    result = checked(network, check)
    assert result.status == "warning", result
    assert said in result.message
    assert run_checks(subject_of(network), only=[check]).ok


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (OrderOfASet, "with the same weights"),
        (LayersOfASet, "parameters in another order"),
        (WeightsOfAHash, "made after the same seed has other weights"),
        (SortedLayers, ""),
    ],
)
def test_other_processes_give_the_same(
    network: type[Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each takes seconds to import torch; one in a million has the order of this one by chance.
    monkeypatch.setattr("ugpnet_core.testing.checks.processes.HASH_SEEDS", ("1",))
    result = checked(network, "other_process")
    assert result.status == ("failed" if said else "passed"), result
    assert said in result.message


SCRIPT = """
from ugpnet_core.testing import run_checks, subject_of
print('once')
for network in (SortedLayers, OrderOfASet):
    result, = run_checks(subject_of(network), only=['other_process']).results
    print(result.status, result.message)
"""


def test_a_script_that_checks_what_it_defines(tmp_path: Path) -> None:
    """It is sent to the other processes with what it defines, and is not run again there."""
    script = Path(__file__).read_text().split("class WeightsOfAHash")[0] + SCRIPT
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    once, good, bad = done.stdout.splitlines()
    assert once == "once"
    if importlib.util.find_spec("cloudpickle"):
        assert good == "passed the same in 2 other processes"
        assert bad.startswith("failed In another process")
    else:
        assert "install cloudpickle" in good
        assert "install cloudpickle" in bad


def test_without_cloudpickle_what_cannot_be_imported_is_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    result = checked(lambda: Good(), "other_process")
    assert result.status == "not run"
    assert "install cloudpickle" in result.message
    monkeypatch.setattr(Good, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Good", Good, raising=False)
    assert checked(Good, "other_process") == dataclasses.replace(result, seconds=mock.ANY)


class WidthOptions(Options):
    width: int = 64


def make(width: int) -> nn.Module:
    """The factory of an entry."""
    return Good(width)


def test_most_checks_take_the_small_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ugpnet_core.testing.subject.resolve", lambda factory: make)
    entry = BackboneEntry(
        name="wide",
        description="A test.",
        factory="x:make",
        kind="direct",
        feature_channels=64,
        options=WidthOptions,
        small={"width": 5},
        parameters=64 * 28 + 64 * 27 + 3,
    )
    only = ["declared_values", "shapes"]
    subject = subject_of(entry)
    assert subject.small is not None
    assert subject.small[1] == "width=5"
    report = run_checks(subject, only=only)
    assert report.ok, report
    assert "(3, 5, 16, 24)" in report["shapes"].message
    assert "(3, 64, 16, 24)" in run_checks(subject, only=only, full=True)["shapes"].message
    assert subject_of(entry, width=7).small is None


class Decoder(nn.Module):
    """A good prior."""

    resolution, base_size, base_channels, num_styles, style_dim = 16, 8, 4, 1, 3
    feature_channels = 4

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.scale = nn.Linear(3, 4)
        self.to_rgb = nn.Conv2d(4, 3, 1)

    def synthesize(self, base: Tensor, styles: Tensor) -> PriorOutput:
        x = self.conv(F.interpolate(base, scale_factor=2.0))
        f = F.gelu(x * (1 + self.scale(styles[:, 0])[..., None, None]))
        return PriorOutput(torch.sigmoid(self.to_rgb(f)), f)


class DecoderOfThreads(Decoder):
    def synthesize(self, base: Tensor, styles: Tensor) -> PriorOutput:
        return super().synthesize(base / torch.get_num_threads(), styles)


class DecoderOfInference(Decoder):
    def synthesize(self, base: Tensor, styles: Tensor) -> PriorOutput:
        return super().synthesize(base * (1 - torch.is_inference_mode_enabled() / 2), styles)


class DecoderPartlyDetached(Decoder):
    def synthesize(self, base: Tensor, styles: Tensor) -> PriorOutput:
        return super().synthesize(base, 0.9 * styles.detach() + 0.1 * styles)


class DecoderInHalves(Decoder):
    def synthesize(self, base: Tensor, styles: Tensor) -> PriorOutput:
        return super().synthesize(base.half().to(base.dtype), styles)


class DecoderForEight(Decoder):
    def synthesize(self, base: Tensor, styles: Tensor) -> PriorOutput:
        return super().synthesize(base * (1 + (len(base) == 8)), styles)


@pytest.mark.parametrize(
    ("network", "check"),
    [
        (DecoderOfThreads, "threads"),
        (DecoderOfInference, "inference_mode"),
        (DecoderPartlyDetached, "true_gradients"),
        (DecoderInHalves, "full_precision"),
        (DecoderForEight, "batch_independence"),
    ],
)
def test_priors_are_held_to_the_same(network: type[nn.Module], check: str) -> None:
    def status(make: type[nn.Module]) -> str:
        subject = Subject(name="it", make=make, word="prior")
        return run_checks(subject, only=[check])[check].status

    assert status(network) == "failed"
    assert status(Decoder) == "passed"


def test_a_factory_that_fails_is_one_line() -> None:
    def fails() -> nn.Module:
        raise ValueError("no luck")

    (result,) = check_backbone(fails).results
    assert result.name == "builds"
    assert "ValueError: no luck" in result.message
