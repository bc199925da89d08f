"""What decides a method's images: the code of its network, and all that is in its state dict."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from pydantic import BaseModel
from torch import nn

from ugpnet_core.config import ComponentConfig, TaskConfig
from ugpnet_core.evaluation.photographs import degraded_set, find_photographs
from ugpnet_core.metrics.judged import weights_identity
from ugpnet_core.plugins import BackboneEntry, Installed, Registry
from ugpnet_core.studies.code import code_digest, library_versions
from ugpnet_core.studies.compared_methods import Unusable, runners_for
from ugpnet_core.studies.settings import MethodConfig

DENOISE = TaskConfig(name="denoise")

FILES = {
    "acme_net/__init__.py": "",
    "acme_net/network.py": "from acme_net import layers\nimport acme_ops, torch, acme_missing\n",
    "acme_net/layers.py": "GAIN = 1\n",
    "acme_net/unused/deep.py": "",
    "acme_net/readme.txt": "",
    "acme_ops.py": "from acme_space.plugin.inner import x\n",
    "acme_space/plugin/__init__.py": "",
    "acme_space/plugin/inner.py": "x = 1\n",
    "acme_space/other/__init__.py": "",
    "acme_other.py": "",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [each for each in sys.modules if each.startswith("acme_")]:
        del sys.modules[name]


def test_any_file_that_a_network_may_run_counts_and_no_other(place: Path) -> None:
    def now() -> str:
        importlib.invalidate_caches()
        return code_digest({"acme_net.network", "torch.nn.modules.conv", "builtins"})

    first = now()
    assert not [each for each in sys.modules if each.startswith("acme_net.")]
    changing = set()
    for name in FILES:
        before = (place / name).read_text()
        (place / name).write_text(f"{before}# changed\n")
        if now() != first:
            changing.add(name)
        (place / name).write_text(before)
        assert now() == first
    assert changing == {name for name in FILES if "other" not in name and name[-3:] == ".py"}
    # Loaded or not, it is the same.
    for name in ("acme_space.plugin.inner", "acme_net.layers", "acme_other"):
        importlib.import_module(name)
    assert now() == first


def test_what_is_installed_counts_with_all_its_files(place: Path) -> None:
    installed = place / "site-packages"
    installed.mkdir()
    (place / "acme_net").rename(installed / "acme_net")
    sys.path.insert(0, str(installed))
    try:
        importlib.invalidate_caches()
        first = code_digest({"acme_net.network"})
        (place / "acme_ops.py").write_text("changed = 1\n")
        assert code_digest({"acme_net.network"}) == first
        (installed / "acme_net" / "layers.py").write_text("GAIN = 2\n")
        assert code_digest({"acme_net.network"}) != first
    finally:
        sys.path.remove(str(installed))


def test_libraries_count_by_their_versions() -> None:
    assert code_digest({"torch.nn", "numpy", "ugpnet_core.image"}) == code_digest(set())
    assert library_versions()["torch"] == torch.__version__.partition("+")[0] or (
        library_versions()["torch"] == torch.__version__
    )
    assert {"ugpnet-core", "numpy", "spandrel"} <= library_versions().keys()


NETWORK = """
from torch import nn
from acme_net.layers import GAIN

class Net(nn.Sequential):
    kind, feature_channels, scale, size_multiple = "direct", 3, 1, 1

    def forward_features(self, x):
        return x * GAIN

    def head(self, f):
        return f

    def forward(self, x):
        return self.head(self.forward_features(x))

def make(depth):
    return Net()
"""


class Depth(BaseModel):
    depth: int = 1


def test_a_method_has_another_identity_once_its_code_is_another(
    place: Path, photographs: Path, installed_plugins: Callable[..., Registry]
) -> None:
    (place / "acme_net" / "network.py").write_text(NETWORK)
    entry = BackboneEntry(
        name="acme",
        description="Does nothing",
        factory="acme_net.network:make",
        kind="direct",
        feature_channels=3,
        options=Depth,
    )
    test_set = degraded_set(find_photographs(photographs), photographs, 32, DENOISE)
    settings = MethodConfig(name="m", backbone=ComponentConfig(name="acme", options={"depth": 1}))

    def identity(version: str = "1.0") -> str:
        installed_plugins(Installed(entry, "acme", version))
        _, runner = runners_for([settings], test_set, torch.device("cpu"))
        assert not isinstance(runner, Unusable)
        assert runner.identity
        return runner.identity

    first = identity()
    assert identity() == first
    assert identity("1.1") != first
    (place / "acme_net" / "layers.py").write_text("GAIN = 0.5\n")
    assert identity() != first


class Stateful(nn.Module):
    def __init__(self, state: object) -> None:
        super().__init__()
        self.state = state

    def get_extra_state(self) -> object:
        return self.state

    def set_extra_state(self, state: object) -> None:
        self.state = state


@pytest.mark.parametrize("state", [{"gain": 1}, [1], None, torch.ones(2), "text"])
def test_state_that_is_no_tensor_counts(state: object) -> None:
    assert weights_identity(Stateful(state)) == weights_identity(Stateful(state))
    assert weights_identity(Stateful(state)) != weights_identity(Stateful({"gain": 2}))
