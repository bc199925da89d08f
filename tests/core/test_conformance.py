"""The conformance checks: a network that keeps every promise, and many that break one each."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugpnet_core.networks.regression import RegressionNetwork
from ugpnet_core.testing import Declared, Subject, check_names, run_checks

pytestmark = pytest.mark.usefixtures("no_other_process")

TRUE = Declared(
    kind="direct",
    feature_channels=8,
    scale=1,
    size_multiple=1,
    parameters=8 * 28 + 8 * 72 + 8 + 219,
)


class Good(RegressionNetwork):
    """Keeps every promise; what breaks one derives from it."""

    kind: Literal["direct", "residual"] = "direct"
    feature_channels = 8

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward_features(self, x: Tensor) -> Tensor:
        return F.gelu(self.second(F.gelu(self.first(x))))

    def head(self, f: Tensor) -> Tensor:
        image: Tensor = self.last(f)
        return image


class GoodResidual(Good):
    """With a gate that starts at zero, batch statistics, buffers, a mask that is kept for a size,
    tied weights, dropout, and its own loss on the way."""

    kind = "residual"
    size_multiple = 4

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(8)
        self.gate = nn.Parameter(torch.zeros(1, 8, 1, 1))
        self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.again.weight = self.second.weight
        self.register_buffer("table", torch.linspace(0, 1, 8)[:, None, None])
        self.masks: dict[tuple[int, ...], int] = {}

    def forward_supervised(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        self.masks.setdefault(tuple(x.shape), x.shape[2])
        f = F.avg_pool2d(self.norm(self.second(F.gelu(self.first(x)))), 4)
        f = F.dropout(f, 0.1, self.training)
        f = F.interpolate(f, scale_factor=4.0) + self.first(x) * self.table
        f = f + self.gate * self.again(f)
        return f, (x + self.head(f),)

    def forward_features(self, x: Tensor) -> Tensor:
        return self.forward_supervised(x)[0]


class Upsampling(Good):
    """Scale 2."""

    scale = 2

    def forward_features(self, x: Tensor) -> Tensor:
        return F.interpolate(super().forward_features(x), scale_factor=2.0)


class Fixed(Good):
    """One size only, as a fully connected layer asks for."""

    fixed_size = 12

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(8, 12, 12))

    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x) + self.position


# What takes seconds is tried on networks of its own, in test_conformance_escaped.py.
SLOW = ("speed", "other_process", "large_images")


def verdict(make: Callable[[], nn.Module], declared: Declared = TRUE) -> dict[str, str]:
    """The names of the checks that fail, with what they say."""
    names = [name for name in check_names() if name not in SLOW]
    report = run_checks(Subject(name="x", make=make, declared=declared), only=names)
    return {result.name: result.message for result in report.failed}


NOTHING = Declared()
# Large images mean nothing to a network of one size.
PASSING = {"passed", "not declared", "not applicable"}


@pytest.mark.parametrize(
    ("make", "declared"),
    [
        (Good, TRUE),
        (GoodResidual, NOTHING),
        (Upsampling, NOTHING),
        (Fixed, Declared(fixed_size=12)),
    ],
)
def test_good_networks_pass(make: Callable[[], nn.Module], declared: Declared) -> None:
    states = torch.get_rng_state(), random.getstate()
    report = run_checks(Subject(name="x", make=make, declared=declared))
    assert {result.status for result in report.results} <= PASSING, str(report)
    assert report.ok
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


# --- each breaks one promise ----------------------------------------------------------------------


def zoo(check: str, said: str, **declared: Any) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Enter a network into the zoo: which check must fail, alone, and what it must say."""

    def enter(network: type[nn.Module]) -> type[nn.Module]:
        ZOO.append((network, check, said, Declared(**declared) if declared else NOTHING))
        return network

    return enter


ZOO: list[tuple[type[nn.Module], str, str, Declared]] = []


# --- declarations


@zoo("shapes", "declare feature_channels=8")
class WrongChannels(Good):
    feature_channels = 16


@zoo("shapes", "declare scale=2")
class WrongScale(Upsampling):
    scale = 1


@zoo("shapes", "keep the size of what goes in")
class HalfSizeFeatures(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(super().forward_features(x), 2)


@zoo("shapes", "not (1, 3, 16, 24)")
class FourColours(Good):
    def head(self, f: Tensor) -> Tensor:
        return torch.cat([super().head(f), f[:, :1]], 1)


@zoo("protocol", "residual with scale=2")
class ResidualAndLarger(Upsampling):
    kind = "residual"


@zoo("protocol", "lacks the attribute kind")
class NoKind(nn.Conv2d):
    feature_channels = scale = size_multiple = 1
    forward_features = head = nn.Conv2d.forward

    def __init__(self) -> None:
        super().__init__(3, 3, 1)


@zoo("protocol", "has size_multiple=2.0")
class FloatMultiple(Good):
    size_multiple = 2.0  # type: ignore[assignment]


@zoo("builds", "cannot be made: ValueError: no luck")
class Raises(Good):
    def __init__(self) -> None:
        raise ValueError("no luck")


@zoo("declared_values", "has 1027", parameters=1_000)
class WrongCount(Good):
    pass


@zoo("declared_values", "feature_channels=4 and the network has 8", feature_channels=4)
class EntryDisagrees(Good):
    pass


@zoo("forward_agrees", "forward(x) differs from head")
class OtherForward(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).clamp(0, 0.01)


@zoo("forward_agrees", "forward(x) differs from x + head")
class ForgetsTheInput(Good):
    kind = "residual"

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


# --- sizes


@zoo("sizes", "declare size_multiple=8")
class FailsWithout8(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        return f + F.interpolate(F.avg_pool2d(f, 8), scale_factor=8)


@zoo("sizes", "declare size_multiple=8")
class CropsTo8(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        height, width = x.shape[2] // 8 * 8, x.shape[3] // 8 * 8
        return super().forward_features(x[:, :, :height, :width])


@zoo("sizes", "give features (1, 8, 16, 16), not (1, 8, 9, 13)")
class PadsTo8(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(F.pad(x, (0, -x.shape[3] % 8, 0, -x.shape[2] % 8)))


@zoo("runs", "declare size_multiple=24")
class Needs24WhereDeclares8(Good):
    size_multiple = 8

    def forward_features(self, x: Tensor) -> Tensor:
        assert x.shape[2] % 24 == x.shape[3] % 24 == 0
        return super().forward_features(x)


@zoo("runs", "fixed_size=16")
class SquaresOnly(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x) + 0.1 * super().forward_features(x).mT


@zoo("runs", "image")
class LandscapeNever(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        assert x.shape[2] >= x.shape[3]
        return super().forward_features(x)


@zoo("sizes", "image of 24x17")
class PortraitNever(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        if x.shape[2] > x.shape[3] > 2:
            raise ValueError("portrait")
        return super().forward_features(x)


@zoo("sizes", "it takes multiples of 2: declare size_multiple=2")
class NotTheSmallest(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(F.pad(x, (1, 1, 1, 1), mode="reflect"))[..., 1:-1, 1:-1]


@zoo("runs", "declare fixed_size=32 if it takes that size only")
class FixedAndSilent(Good):
    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(8, 32, 32))

    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x) + self.position


@zoo("runs", "forward_features fails on 2 images of 16x16")
class FixedNowhere(Fixed):
    fixed_size = 16


# --- batches


@zoo("batch_independence", "in a batch of 2")
class SubtractsTheBatch(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x - 0.01 * x.mean(0, keepdim=True))


@zoo("batch_independence", "in a batch of 3")
class FromThreeOn(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x - x.mean() if len(x) >= 3 else x)


@zoo("batch_independence", "batch dimension")
class BatchStatistics(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        return f / (f.square().mean((0, 2, 3), keepdim=True) + 1e-3).sqrt()


@zoo("batch_independence", "batch dimension")
class Sorts(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x)[x.mean((1, 2, 3)).argsort()]


@zoo("batch_independence", "batch dimension")
class HeadLooksAround(Good):
    def head(self, f: Tensor) -> Tensor:
        return super().head(f) * f.abs().amax()


# --- state


@zoo("determinism", "The next time")
class CountsItsCalls(Good):
    calls = 0

    def forward_features(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward_features(x) * (1 + 0.01 * self.calls)


@zoo("determinism", "The next time")
class DefaultArgument(Good):
    def forward_features(self, x: Tensor, seen: list[int] = []) -> Tensor:  # noqa: B006
        seen.append(1)
        return super().forward_features(x) + 0.01 * len(seen)


@zoo("determinism", "The next time")
class OwnGenerator(Good):
    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.RandomState(0)

    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x) + 0.01 * self.rng.rand()


SEEN: list[tuple[int, ...]] = []
FEATURES: dict[tuple[int, ...], Tensor] = {}
COUNTER = itertools.count()


@zoo("hidden_state", "variable 'SEEN' of module")
class GlobalList(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        SEEN.append(tuple(x.shape))
        return super().forward_features(x)


@zoo("hidden_state", "variable 'COUNTER' of module")
class GlobalCounter(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x) + (next(COUNTER) >= 10_000)


@zoo("hidden_state", "class attribute ClassCounter.calls")
class ClassCounter(Good):
    calls = 0

    def forward_features(self, x: Tensor) -> Tensor:
        type(self).calls += 1
        return super().forward_features(x) + (self.calls >= 10_000)


@zoo("hidden_state", "attribute 'history' of the network")
class GrowingList(Good):
    def __init__(self) -> None:
        super().__init__()
        self.history: list[float] = []

    def forward_features(self, x: Tensor) -> Tensor:
        self.history.append(x.shape[2])
        return super().forward_features(x)


@zoo("hidden_state", "Two different images give the same features")
class CacheBySize(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or x.device.type != "cpu":
            return super().forward_features(x)
        key = tuple(x.shape)
        if key not in FEATURES:
            FEATURES[key] = super().forward_features(x)
        return FEATURES[key].clone()


@zoo("hidden_state", "After other images")
class RunningPeak(Good):
    peak = 0.0

    def forward_features(self, x: Tensor) -> Tensor:
        self.peak = max(self.peak, float(x.detach().max()))
        return super().forward_features(x / max(self.peak, 0.1))


@zoo("hidden_state", "After other images it fails: forward_features fails on")
class MaskOfTheFirstSize(Good):
    mask: Tensor | None = None

    def forward_features(self, x: Tensor) -> Tensor:
        if self.mask is None:
            self.mask = torch.linspace(0, 1, x.shape[2] * x.shape[3]).view(x.shape[2:])
        return super().forward_features(x) * self.mask.to(x)


@zoo("hidden_state", "After other images")
class LearnsFromTheFirstImage(Good):
    first_mean: float | None = None

    def forward_features(self, x: Tensor) -> Tensor:
        if self.first_mean is None:
            self.first_mean = float(x.detach().mean())
        return super().forward_features(x - self.first_mean)


@zoo("hidden_state", "After other images")
class LearnsFromTheFirstSize(Good):
    first_width: int | None = None

    def forward_features(self, x: Tensor) -> Tensor:
        if self.first_width is None:
            self.first_width = x.shape[3]
        return super().forward_features(x) + 0.01 * self.first_width


@zoo("hidden_state", "register what training changes as a buffer")
class TrainingCounter(Good):
    steps = 0

    def forward_features(self, x: Tensor) -> Tensor:
        self.steps += self.training
        return super().forward_features(x) * (1 + self.steps)


@zoo("hidden_state", "Once other networks of this class exist")
class CountsNetworks(Good):
    made = 0

    def __init__(self) -> None:
        super().__init__()
        CountsNetworks.made += 1

    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x) * CountsNetworks.made


@zoo("hidden_state", "weights that are loaded after the first call")
class KeepsWhatItComputed(Good):
    scaled: Tensor | None = None

    def forward_features(self, x: Tensor) -> Tensor:
        if self.training:
            self.scaled = None
            return super().forward_features(x)
        if self.scaled is None:
            self.scaled = 1 * self.first.weight.detach()
        f = F.gelu(F.conv2d(x, self.scaled.to(x), self.first.bias, padding=1))
        return F.gelu(self.second(f))


# --- the process


@zoo("random_state", "random state of numpy")
class DrawsForNothing(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        np.random.rand()
        return super().forward_features(x)


@zoo("random_state", "seeds the global random generator")
class Seeds(Good):
    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__()


@zoo("global_settings", "number of threads from")
class SetsThreads(Good):
    def __init__(self) -> None:
        super().__init__()
        torch.set_num_threads(torch.get_num_threads() + 1)


@zoo("global_settings", "default data type from torch.float32 to torch.float64")
class SetsTheDefaultType(Good):
    def __init__(self) -> None:
        super().__init__()
        torch.set_default_dtype(torch.float64)


@zoo("global_settings", "gradient mode")
class SwitchesGradientsOff(Good):
    def head(self, f: Tensor) -> Tensor:
        image = super().head(f)
        torch.set_grad_enabled(False)
        return image


# --- in place


@zoo("input_unchanged", "forward_features changes the image that it is given, in eval mode")
class ChangesTheImage(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        x.sub_(0.5)
        return super().forward_features(x)


@zoo("input_unchanged", "in training mode")
class ChangesTheImageInTraining(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        if self.training:
            x.data.mul_(0.9)
        return super().forward_features(x)


@zoo("input_unchanged", "forward_features changes the image")
class ClampsTheImage(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x.clamp_(0, 1)
        return super().forward_features(x)


@zoo("input_unchanged", "forward changes the image")
class OnlyForwardChanges(Good):
    def forward(self, x: Tensor) -> Tensor:
        result = super().forward(x)
        x.zero_()
        return result


@zoo("input_unchanged", "head changes the feature map")
class ChangesTheFeatures(Good):
    def head(self, f: Tensor) -> Tensor:
        return super().head(F.leaky_relu(f, 0.1, inplace=True))


# --- training


@zoo("gradients", "'first.weight' gets no gradient")
class Detaches(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return F.gelu(self.second(F.gelu(self.first(x)).detach())) + x.mean(1, keepdim=True)


@zoo("gradients", "'unused.weight' gets no gradient in training (and 1 more like it)")
class UnusedLayer(Good):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Conv2d(3, 3, 1)


@zoo("gradients", "'gate' gets a gradient of zero")
class TimesZero(Good):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.ones(1))

    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x) + 0 * self.gate


@zoo("gradients", "'second.weight' has requires_grad=False")
class Frozen(Good):
    def __init__(self) -> None:
        super().__init__()
        self.second.weight.requires_grad_(False)


@zoo("gradients", "The image gets no gradient")
class DetachesTheImage(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x.detach())


@zoo("hidden_state", "changes attribute 'count' of the network")
class EvalWrites(Good):
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def train(self, mode: bool = True) -> EvalWrites:
        if not mode:
            self.count.add_(1)
        super().train(mode)
        return self


@zoo("hidden_state", "A call in eval mode changes 'count' of the state dict")
class EvalCounts(Good):
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward_features(self, x: Tensor) -> Tensor:
        self.count.add_(1)
        return super().forward_features(x)


@zoo("hidden_state", "eval() leaves norm in training mode")
class StaysInTraining(Good):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.Dropout(0.0)

    def train(self, mode: bool = True) -> StaysInTraining:
        super().train(mode)
        self.norm.train()
        return self


# --- values


@zoo("plain_images", "A black image gives a result that is not finite")
class DividesByTheRange(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        spread = x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True)
        return super().forward_features(x / spread)


@zoo("plain_images", "in training gives a gradient that is not finite")
class RootOfNothing(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        assert self.second.bias is not None
        p = x.mean(1, keepdim=True) * self.second.bias[:, None, None]
        spread = (p - p.mean((2, 3), keepdim=True)).square().mean((2, 3), keepdim=True)
        return super().forward_features(x) + spread.sqrt()


# --- formats and copies


@zoo("float64", "write no type into the code")
class AlwaysFloat(Good):
    def head(self, f: Tensor) -> Tensor:
        return super().head(f).float()


@zoo("float64", "After .double() it fails: forward_features fails")
class FloatInside(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x.float())


@zoo("other_device", "register 'table' with register_buffer")
class PlainTable(Good):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.linspace(0, 1, 8)[:, None, None]

    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x) * self.table


@zoo("other_device", "device=x.device")
class MakesTensorsOnTheCPU(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x) + torch.ones(x.shape[2:], dtype=x.dtype)


@zoo("save_and_load", "'layers' holds parameters that the network does not know of")
class PlainList(Good):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Conv2d(8, 8, 1)]

    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        return f + self.layers[0](f)  # type: ignore[no-any-return]


@zoo("save_and_load", "'gates' holds parameters")
class PlainDictionary(Good):
    def __init__(self) -> None:
        super().__init__()
        self.gates = {"gate": nn.Parameter(torch.ones(8, 1, 1))}

    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x) * self.gates["gate"]


@zoo("save_and_load", "'scale_of_luck' is not in the state dict")
class RandomAttribute(Good):
    def __init__(self) -> None:
        super().__init__()
        self.scale_of_luck = torch.rand(8, 1, 1)

    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x) * self.scale_of_luck.to(x)


@zoo("save_and_load", "cannot read")
class LazyLayer(Good):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("late", None)

    def forward_features(self, x: Tensor) -> Tensor:
        if self.training:
            self.late = x.new_zeros(1)
        return super().forward_features(x)


@zoo("save_and_load", "gives another result")
class LosesWhatItLearned(Good):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()), persistent=False)

    def forward_features(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = x.detach().mean()
        return super().forward_features(x - self.mean)


@zoo("pickling", "pickle fails")
class Lambda(Good):
    def __init__(self) -> None:
        super().__init__()
        self.act = lambda x: x

    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(self.act(x))  # type: ignore[no-untyped-call]


@zoo("deep_copy", "copy.deepcopy fails")
class KeepsItsGraph(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        self.map = super().forward_features(x)
        return self.map.clone()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__


# --- flags


@zoo("bfloat16", "declare bfloat16=True", bfloat16=False)
class SaysNoToBfloat16(Good):
    pass


@zoo("bfloat16", "make it work, or declare bfloat16=False", bfloat16=True)
class SaysYesToBfloat16(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        return f if not torch.is_autocast_enabled("cpu") else f / 0


@zoo("channels_last", "declare channels_last=True", channels_last=False)
class SaysNoToChannelsLast(Good):
    pass


@zoo("channels_last", "make it work, or declare channels_last=False", channels_last=True)
class SaysYesToChannelsLast(Good):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x.view(len(x), -1).view(x.shape))


@pytest.mark.parametrize(
    ("network", "check", "said", "declared"), ZOO, ids=lambda p: getattr(p, "__name__", "")
)
def test_a_defect_is_caught_by_its_check_alone(
    network: Callable[[], nn.Module], check: str, said: str, declared: Declared
) -> None:
    failed = verdict(network, declared)
    assert list(failed) == [check], failed
    assert said in failed[check]
