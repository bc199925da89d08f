"""``check_backbone``, its report, and the pytest class."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ugpnet_core import testing
from ugpnet_core.errors import ConfigError, UnknownNameError
from ugpnet_core.networks.regression import RegressionNetwork
from ugpnet_core.plugins import BackboneEntry
from ugpnet_core.testing import (
    BackboneConformance,
    CheckFailed,
    Declared,
    Subject,
    check_backbone,
    check_names,
    run_checks,
)

pytestmark = pytest.mark.usefixtures("no_other_process")

QUICK = ("builds", "protocol", "declared_values", "shapes")


class Plain(RegressionNetwork):
    """One convolution for the features, one for the image."""

    kind = "direct"

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.feature_channels = width
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward_features(self, x: Tensor) -> Tensor:
        return self.first(x)  # type: ignore[no-any-return]

    def head(self, f: Tensor) -> Tensor:
        return self.last(f)  # type: ignore[no-any-return]


class Wrong(Plain):
    """Says that it has a channel more."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_channels += 1


class WithInstanceNorm(Plain):
    """The bias before the normalisation has no effect, and a gradient of rounding."""

    def forward_features(self, x: Tensor) -> Tensor:
        f = self.first(x)
        f = f - f.mean((2, 3), keepdim=True)
        return f / (f.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()  # type: ignore[no-any-return]


class Halved(Plain):
    """Without bfloat16 and channels_last."""

    def forward_features(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("not in bfloat16")
        return self.first(x.view(-1).view(x.shape))  # type: ignore[no-any-return]


class Overflowing(Plain):
    """Its loss is infinite from the first step on."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)

    def head(self, f: Tensor) -> Tensor:
        return super().head(f) * 1e38


def broken() -> nn.Module:
    raise ImportError("no module named acme")


def entry(**fields: Any) -> BackboneEntry:
    given = {
        "name": "plain",
        "description": "A test.",
        "factory": f"{__name__}:Plain",
        "kind": "direct",
        "feature_channels": 4,
        **fields,
    }
    return BackboneEntry(**given)


def test_a_name_with_options_is_checked() -> None:
    report = check_backbone("nafnet", width=2, enc_blk_nums=[1], dec_blk_nums=[1])
    assert report.ok, str(report)
    assert report["protocol"].message.startswith("residual, feature channels 2")
    # What the entry declares of the defaults is not held against other options.
    assert report["declared_values"].status == "not declared"
    assert "GMACs at 256x256" in report.speed
    assert report.summary in str(report)


@pytest.mark.parametrize("what", [Plain, Plain(), lambda: Plain(), entry()])
def test_networks_factories_and_entries_are_checked(what: Any) -> None:
    report = check_backbone(what)
    assert report.ok, str(report)


def test_a_network_that_is_checked_stays_as_it_was() -> None:
    network = Plain()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert check_backbone(network).ok
    assert network.training
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())


def test_options_reach_a_factory() -> None:
    assert "feature channels 7" in check_backbone(Plain, width=7)["protocol"].message


def test_what_an_entry_declares_is_verified() -> None:
    wrong = entry(
        feature_channels=5, scale=2, size_multiple=4, parameters=3, bfloat16=False, fixed_size=8
    )
    failed = {result.name for result in check_backbone(wrong).failed}
    assert failed == {"declared_values", "bfloat16"}


@pytest.mark.parametrize(
    ("what", "options", "error"),
    [
        ("nafnet-sid", {}, UnknownNameError),
        ("nafnet", {"widht": 4}, ConfigError),
        (Plain(), {"width": 4}, ConfigError),
        (3, {}, ConfigError),
    ],
)
def test_wrong_usage_is_an_error(what: Any, options: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        check_backbone(what, **options)


def test_what_cannot_be_made_is_one_failure() -> None:
    report = check_backbone(broken)
    (failure,) = report.failed
    assert failure.name == "builds"
    assert "ImportError: no module named acme" in failure.message
    assert len(report.results) == 1  # and no line for each that could not run


def test_a_malformed_entry_is_one_failure() -> None:
    (failure,) = check_backbone(entry(scale=0)).failed
    assert failure.message == "The entry has scale=0, which should be positive."


def test_a_factory_that_keeps_its_network_is_caught() -> None:
    network = Plain()
    (failure,) = check_backbone(lambda: network).failed
    assert "the same network at every call" in failure.message


def test_a_failed_report_raises_every_sentence() -> None:
    report = check_backbone(Wrong)
    with pytest.raises(CheckFailed, match=r"shapes: .* declare feature_channels=4"):
        report.raise_if_failed()
    assert isinstance(CheckFailed(), AssertionError)
    check_backbone(Plain).raise_if_failed()


def test_checks_work_one_by_one() -> None:
    good, wrong = Subject(name="x", make=Plain), Subject(name="x", make=Wrong)
    assert testing.check_shapes(good).status == "passed"
    with pytest.raises(CheckFailed, match=r"\(1, 4, 16, 24\), not \(1, 5, 16, 24\)"):
        testing.check_shapes(wrong)


def test_every_check_has_a_public_name_and_a_promise() -> None:
    from ugpnet_core.testing.suites import SUITES

    for word, suite in SUITES.items():
        assert len(suite.checks) == len(set(check_names(word)))
        for check in suite.checks:
            assert callable(getattr(testing, f"check_{check.name}"))
            assert check.promise.endswith(".")
            earlier = suite.names()[: suite.names().index(check.name)]
            assert set(check.requires) <= set(earlier)
    assert set(testing.__all__) <= set(dir(testing))
    with pytest.raises(AttributeError):
        _ = testing.check_nothing


def test_only_some_checks() -> None:
    report = run_checks(Subject(name="x", make=Wrong), only=["sizes", "builds"])
    assert [result.name for result in report.results] == ["builds", "sizes"]
    assert report.speed == ""
    with pytest.raises(ConfigError, match="did you mean sizes"):
        run_checks(Subject(name="x", make=Plain), only=["size"])


def test_a_declared_no_is_verified_to_be_no() -> None:
    declared = Declared(bfloat16=False, channels_last=False)
    report = run_checks(Subject(name="x", make=Halved, declared=declared))
    assert report.ok, str(report)
    assert "as declared" in report["bfloat16"].message
    assert "not in bfloat16" in report["bfloat16"].message


def test_a_gradient_of_rounding_is_no_failure() -> None:
    report = check_backbone(WithInstanceNorm)
    assert report.ok, str(report)


def test_a_loss_that_is_no_number_is_caught() -> None:
    with pytest.raises(CheckFailed, match="not finite"):
        testing.check_training_step(Subject(name="x", make=Overflowing, loss="charbonnier"))


def test_torch_compile_is_held_to_what_is_declared() -> None:
    def check(network: type[nn.Module], declared: bool, backend: str = "eager") -> str:
        subject = Subject(name="x", make=network, declared=Declared(compiles=declared))
        status: str = testing.check_compiles(subject, backend=backend).status
        return status

    assert check(Plain, True) == "passed"
    with pytest.raises(CheckFailed, match="declare compiles=True"):
        check(Plain, False)
    with pytest.raises(CheckFailed, match="declare compiles=False"):
        check(Plain, True, backend="no such backend")


def test_onnx_is_held_to_what_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    subject = Subject(name="x", make=Plain, declared=Declared(exports_onnx=True))
    outcome = testing.check_exports_onnx(subject)
    assert outcome.status == "not run"
    assert "pip install onnx onnxscript onnxruntime" in outcome.message


# --- the pytest class -----------------------------------------------------------------------------


class TestPlain(BackboneConformance):
    """As the author of a plugin writes it."""

    @pytest.fixture
    def backbone(self) -> Any:
        return Plain, {"width": 3}


class TestExpected(BackboneConformance):
    """With a failure that is known."""

    expected_failures = {"shapes": "to be corrected"}  # noqa: RUF012

    @pytest.fixture
    def backbone(self) -> Any:
        return Wrong

    @pytest.mark.parametrize("check", QUICK)
    def test_check(
        self, check: str, subject: Subject, record_property: Callable[[str, object], None]
    ) -> None:
        if check == "shapes":
            with pytest.raises(pytest.xfail.Exception, match="to be corrected"):
                super().test_check(check, subject, record_property)
        else:
            super().test_check(check, subject, record_property)


def test_the_class_fails_where_a_check_does() -> None:
    said: dict[str, object] = {}
    wrong, good = Subject(name="x", make=Wrong), Subject(name="x", make=Plain)
    with pytest.raises(pytest.fail.Exception, match="declare feature_channels=4"):
        BackboneConformance().test_check("shapes", wrong, said.__setitem__)
    assert said["status"] == "failed"
    with pytest.raises(pytest.fail.Exception, match="take it out of expected_failures"):
        BackboneConformance.test_check(TestExpected(), "shapes", good, said.__setitem__)


# --- imports --------------------------------------------------------------------------------------


def test_importing_the_package_imports_neither_torch_nor_pytest() -> None:
    program = """
import sys, ugpnet_core.testing, ugpnet_core.testing.report
assert not {"torch", "numpy", "pytest"} & set(sys.modules)
from ugpnet_core.testing import check_backbone
assert "pytest" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
