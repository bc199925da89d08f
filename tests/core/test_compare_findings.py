"""What check-backbone would find is said of methods of every kind that runs code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from pydantic import BaseModel
from torch import Tensor, nn

import ugpnet_core as ug
from ugpnet_core.config import ModelConfig
from ugpnet_core.config_files import validated
from ugpnet_core.evaluation.results import Evaluation
from ugpnet_core.model_files.model import save_model
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.plugins import BackboneEntry, Installed, Registry
from ugpnet_core.studies.compare import compare
from ugpnet_core.studies.settings import CompareConfig

Fault = Literal["none", "draws", "batch", "range", "hash", "setting"]
SAID = {
    "draws": "its figures cannot be made again",
    "batch": "in a batch than alone",
    "range": "made values from",
    "setting": "float32 products from highest to high where it is made",
}


class Options(BaseModel):
    fault: Fault
    own: bool = True


def weights_of(name: str, shape: torch.Size) -> Tensor:
    """Weights that a plugin carries, with values near 0.5 for images."""
    if name == "last.bias":
        return torch.full(shape, 0.5)
    return torch.linspace(-0.05, 0.05, shape.numel()).reshape(shape)


class Broken(nn.Module):
    """A direct backbone of one layer with a fault."""

    kind = "direct"
    feature_channels = 4
    scale = 1
    size_multiple = 1

    def __init__(self, fault: Fault, own: bool = True) -> None:
        super().__init__()
        self.fault = fault
        self.shift = hash("shift") % 1000 / 1000 if fault == "hash" else 0.0
        self.first = nn.Conv2d(3, 4, 1)
        self.last = nn.Conv2d(4, 3, 1)
        # Without a fault, its values are near 0.5.
        nn.init.uniform_(self.last.weight, -0.05, 0.05)
        with torch.no_grad():
            self.last.get_parameter("bias").fill_(0.5)
            for name, parameter in self.named_parameters() if own else ():  # as published
                parameter.copy_(weights_of(name, parameter.shape))
        if fault == "setting":
            torch.set_float32_matmul_precision("high")
        self.generator = torch.Generator()

    def forward_features(self, x: Tensor) -> Tensor:
        f: Tensor = self.first(x)
        if self.fault == "draws":
            self.generator.seed()
            return f + torch.rand(f.shape, generator=self.generator)
        if self.fault == "batch":
            return f - f.mean(0, keepdim=True)
        return f * 1e4 if self.fault == "range" else f + self.shift

    def head(self, f: Tensor) -> Tensor:
        image: Tensor = self.last(f)
        return image

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


@pytest.fixture(autouse=True)
def broken(installed_plugins: Callable[..., Registry]) -> None:
    entry = BackboneEntry(
        name="broken",
        description="With a fault",
        factory=f"{__name__}:Broken",
        kind="direct",
        feature_channels=4,
        options=Options,
    )
    installed_plugins(Installed(entry, "acme", "1.0"))
    torch.manual_seed(0)


@pytest.fixture
def measured(photographs: Path, tmp_path: Path) -> Callable[..., Evaluation]:
    """A function from a method to its figures."""

    def measure(**method: Any) -> Evaluation:
        content = {
            "name": "trial",
            "output": str(tmp_path / "out"),
            "data": {"photographs": [str(photographs)], "resolution": 32, "count": 2},
            "tasks": ["denoise"],
            "methods": [{"name": "m", **method}],
            "metrics": ["psnr"],
            "cost": None,
            "figures": None,
        }
        (made,) = compare(validated(CompareConfig, content, "compare.yaml")).evaluations
        return made

    return measure


def said(evaluation: Evaluation) -> list[str]:
    assert evaluation.method("m").figures
    return [each.reason for each in evaluation.findings]


@pytest.mark.usefixtures("no_other_process")
@pytest.mark.parametrize("fault", SAID)
def test_of_a_backbone(fault: Fault, measured: Callable[..., Evaluation]) -> None:
    backbone = {"name": "broken", "options": {"fault": fault}}
    (reason,) = said(measured(backbone=backbone))
    assert SAID[fault] in reason


@pytest.mark.usefixtures("no_other_process")
@pytest.mark.parametrize("fault", ["draws", "batch", "range"])
def test_of_a_model(
    fault: Fault,
    measured: Callable[..., Evaluation],
    training_settings: dict[str, Any],
    tmp_path: Path,
) -> None:
    backbone = {"name": "broken", "options": {"fault": fault}}
    settings = ModelConfig.model_validate({**training_settings["model"], "backbone": backbone})
    save_model(build_model(settings), tmp_path / "model.safetensors")
    path = str(tmp_path / "model.safetensors")
    (reason,) = said(measured(model=path, part="regression"))
    assert SAID[fault] in reason


def test_of_other_processes(measured: Callable[..., Evaluation]) -> None:
    (reason,) = said(measured(backbone={"name": "broken", "options": {"fault": "hash"}}))
    assert "has backbone broken, of which check-backbone says" in reason
    assert "PYTHONHASHSEED" in reason


@pytest.mark.usefixtures("no_other_process")
def test_of_a_backbone_that_was_given_no_weights(
    measured: Callable[..., Evaluation], tmp_path: Path
) -> None:
    backbone = {"name": "broken", "options": {"fault": "none", "own": False}}
    first = measured(backbone=backbone)
    torch.rand(1)
    again = measured(backbone=backbone)
    (reason,) = said(again)
    assert "has new random weights (first.weight and 2 more)" in reason
    assert again.images == first.images
    torch.save(Broken("none").state_dict(), tmp_path / "weights.pth")
    assert not said(measured(backbone=backbone, weights=str(tmp_path / "weights.pth")))


@pytest.mark.usefixtures("no_other_process")
@pytest.mark.parametrize("state", [{"version": 2}, "raise"])
def test_whatever_a_network_says_of_its_state_it_has_figures(
    state: Any, measured: Callable[..., Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    def extra(self: nn.Module) -> Any:
        if state == "raise":
            raise RuntimeError("no state")
        return state

    monkeypatch.setattr(Broken, "get_extra_state", extra)
    monkeypatch.setattr(Broken, "set_extra_state", lambda self, state: None)
    reasons = said(measured(backbone={"name": "broken", "options": {"fault": "none"}}))
    assert ["no state" in reason for reason in reasons] == [True] * (state == "raise")


@pytest.mark.usefixtures("no_other_process")
def test_a_plugin_that_raises_anything_has_an_empty_row(
    measured: Callable[..., Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        raise AttributeError("'dict' object has no attribute 'shape'")

    monkeypatch.setattr(Broken, "named_parameters", broken)
    result = measured(backbone={"name": "broken", "options": {"fault": "none"}})
    assert "no attribute 'shape'" in result.method("m").failed
    assert result.method("degraded").figures


@pytest.mark.parametrize(("times", "finding"), [(1, ""), (255, SAID["range"])])
def test_of_a_network_whose_images_spandrel_clamps(
    times: float, finding: str, measured: Callable[..., Evaluation], tmp_path: Path
) -> None:
    network: Any = ug.create_backbone("rrdbnet", scale=1, num_feat=8, num_block=1)
    with torch.no_grad():
        network.get_parameter("conv_last.weight").mul_(times)
    torch.save({"params": network.state_dict()}, tmp_path / "network.pth")
    reasons = said(measured(network=str(tmp_path / "network.pth")))
    assert len(reasons) == bool(finding)
    assert all(finding in reason for reason in reasons)
