"""What checkpoints hold is read exactly, and what trainings keep beside weights is data."""

from __future__ import annotations

import collections
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ugpnet_core.checkpoints.file import read_checkpoint_file
from ugpnet_core.checkpoints.state_dict import read_tensors
from ugpnet_core.errors import WeightsError


def test_optimiser_states_are_not_read(tmp_path: Path) -> None:
    content = read_checkpoint_file(_training_state(tmp_path / "w.pth")).content
    assert not isinstance(content["optimizer"]["state"][0]["exp_avg"], torch.Tensor)
    assert torch.equal(content["params"]["a"].load(), torch.arange(6.0).view(2, 3).T)


def _training_state(path: Path) -> Path:
    torch.save(
        {
            "params": {"a": torch.arange(6.0).view(2, 3).T},
            "optimizer": {"state": {0: {"exp_avg": torch.ones(3), "step": np.int64(3)}}},
            "counter": collections.Counter([1, 1, 2]),
            "best": np.float32(0.5),
            "names": {"b", "a"},
            "history": np.arange(4, dtype=np.float16).reshape(2, 2),
            "dtype": torch.float32,
            "shape": torch.Size([1, 2]),
            "device": torch.device("cpu"),
            "default": collections.defaultdict(list, {"x": [1]}),
        },
        path,
    )
    return path


def test_what_trainings_keep_beside_weights_is_data(tmp_path: Path) -> None:
    content = read_checkpoint_file(_training_state(tmp_path / "w.pth")).content
    assert content["counter"] == {1: 2, 2: 1}
    assert content["best"] == 0.5
    assert content["names"] == {"a", "b"}
    assert content["shape"] == (1, 2)
    assert content["default"] == {"x": [1]}
    assert torch.equal(content["history"].tensor.load(), torch.arange(4).view(2, 2).half())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("new", [True, False])
def test_whole_objects_beside_weights_hide_nothing(new: bool, tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()  # its state is kept by parameters
    rare = {
        "loss.complex": torch.ones(2, dtype=torch.complex64),
        "loss.shared": torch.ones(1).expand(3),
        **({"loss.unsigned": torch.ones(2).to(torch.uint16)} if new else {}),
        "loss.sparse": torch.eye(2).to_sparse(),
        "loss.quantised": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    }
    content = {
        "state_dict": {
            **{f"net_g.{key}": value for key, value in _restormer().items()},
            **rare,
        },
        "optimizer": optimizer,
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 3),
        "loss": torch.nn.MSELoss(),
        "seen": {(1, (2, 3)): "x", frozenset({(1, (2, 3))}): "y"},
        "memory": torch.ones(2).untyped_storage(),
    }
    torch.save(content, tmp_path / "w", _use_new_zipfile_serialization=new)
    assert read_tensors(tmp_path / "w").keys() == _restormer().keys()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("new", [True, False])
def test_a_network_that_was_saved_as_an_object_is_its_weights(new: bool, tmp_path: Path) -> None:
    inner = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    network = torch.nn.Sequential(inner, torch.nn.PReLU())
    for content in (network, {"model": None, "ema": torch.nn.DataParallel(network), "epoch": 1}):
        torch.save(content, tmp_path / "w", _use_new_zipfile_serialization=new)
        read = read_tensors(tmp_path / "w")
        assert read.keys() == network.state_dict().keys()
        assert all(torch.equal(read[key], value) for key, value in network.state_dict().items())


def test_a_network_beside_a_state_dict_is_none(tmp_path: Path) -> None:
    state = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)).state_dict()
    loss = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3))
    torch.save({"restorer": state, "criterion": loss}, tmp_path / "w")
    assert read_tensors(tmp_path / "w").keys() == state.keys()


def test_a_network_that_holds_itself_ends(tmp_path: Path) -> None:
    layer: Any = torch.nn.Linear(2, 2)
    layer.again = torch.nn.Sequential(layer)
    torch.save({"net": layer}, tmp_path / "w")
    assert read_tensors(tmp_path / "w").keys() == {"weight", "bias"}


@pytest.mark.filterwarnings("ignore")
def test_names_of_layers_that_repeat_each_other_take_no_memory(tmp_path: Path) -> None:
    layer = torch.nn.Module()
    shared = torch.nn.Parameter(torch.ones(2, 2))
    layer._parameters = dict.fromkeys(map(str, range(20_000)), shared)
    for _ in range(30):
        outer = torch.nn.Module()
        outer._modules = {"a" * 60_000: layer}
        layer = outer
    torch.save(layer, tmp_path / "w")
    tracemalloc.start()
    with pytest.raises(WeightsError, match="Python objects"):
        read_tensors(tmp_path / "w")
    assert tracemalloc.get_traced_memory()[1] < 1e8
    tracemalloc.stop()


def _restormer() -> dict[str, torch.Tensor]:
    return {"encoder_level1.0.attn.qkv_dwconv.weight": torch.ones(3)}


@pytest.mark.parametrize("kind", ["sparse", "quantised"])
def test_a_tensor_of_the_network_itself_is_not_left_out(kind: str, tmp_path: Path) -> None:
    rare = {
        "sparse": lambda: torch.eye(2).to_sparse(),
        "quantised": lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    }
    torch.save({**_restormer(), "patch_embed.weight": rare[kind]()}, tmp_path / "w")
    with pytest.raises(WeightsError, match=r"'patch_embed\.weight' in .* cannot be read"):
        read_tensors(tmp_path / "w")


def test_a_header_that_begins_like_a_pickle_is_none(tmp_path: Path) -> None:
    path = tmp_path / "w"
    for pad in range(64):
        save_file({"w": torch.ones(3)}, path, metadata={"note": " " * 8 * pad})
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    assert torch.equal(read_tensors(path)["w"], torch.ones(3))


@pytest.mark.parametrize("new", [True, False])
def test_every_type_and_layout_of_tensor_is_read_exactly(new: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = torch.randn(4, 5, 6)
    state = {
        "plain": base,
        "turned": base.permute(2, 0, 1),
        "part": base[1:3, ::2, 4],
        "tied": base,
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 3),
        "parameter": torch.nn.Parameter(base.clone()),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }
    for kind in ("float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8"):
        state[kind] = (base * 10).to(getattr(torch, kind))
    state["bool"] = base > 0
    for kind in ("float8_e4m3fn", "float8_e5m2", "uint16", "uint64") if new else ():
        state[kind] = base.abs().to(getattr(torch, kind))
    torch.save(state, tmp_path / "w", _use_new_zipfile_serialization=new)
    read = read_tensors(tmp_path / "w")
    assert read.keys() == state.keys()
    for key, value in state.items():
        assert read[key].dtype == value.dtype
        assert torch.equal(read[key].double(), value.detach().double()), key
    plain = pickle.dumps(state)
    (tmp_path / "w").write_bytes(plain)
    read = read_tensors(tmp_path / "w")
    assert all(torch.equal(v.double(), state[k].detach().double()) for k, v in read.items())
