"""ONNX export for real: a declared yes and a declared no are held to the truth.

tests/core/test_conformance.py covers what surrounds them, without exporting anything.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ugpnet_core.networks.regression import RegressionNetwork
from ugpnet_core.testing import CheckFailed, Declared, Subject
from ugpnet_core.testing.checks.forms import check_exports_onnx


class Exportable(RegressionNetwork):
    kind = "direct"
    feature_channels = 4

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 3, 3, padding=1)

    def forward_features(self, x: Tensor) -> Tensor:
        return torch.relu(self.first(x))

    def head(self, f: Tensor) -> Tensor:
        image: Tensor = self.last(f)
        return image


class Unexportable(Exportable):
    def forward_features(self, x: Tensor) -> Tensor:
        f = super().forward_features(x)
        # What Python looks at while it runs cannot be written into a file.
        return f * 2 if float(f.detach().sum()) > 0 else f


@pytest.mark.parametrize(
    ("network", "declared", "said"),
    [
        (Exportable, True, None),
        (Exportable, False, "declare exports_onnx=True"),
        (Unexportable, True, "declare exports_onnx=False"),
        (Unexportable, False, None),
    ],
)
def test_onnx_is_held_to_what_is_declared(
    network: type[Exportable], declared: bool, said: str | None
) -> None:
    subject = Subject(
        name="mine", make=network, declared=Declared(exports_onnx=declared), size=(8, 12)
    )
    if said is None:
        assert check_exports_onnx(subject).status == "passed"
        return
    with pytest.raises(CheckFailed, match=said):
        check_exports_onnx(subject)
