"""Reading checkpoints safely, fitting them strictly, writing them whole."""

from __future__ import annotations

import argparse
import collections
import datetime
import enum
import functools
import importlib
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import ugpnet_core as ug
from ugpnet_core.atomic import write_whole
from ugpnet_core.checkpoints.file import read_checkpoint_file
from ugpnet_core.checkpoints.recognition import recognise
from ugpnet_core.checkpoints.state_dict import (
    fit,
    load_weights,
    read_safetensors,
    read_tensors,
    write_safetensors,
)
from ugpnet_core.errors import WeightsError
from ugpnet_core.model_files.conversion import convert
from ugpnet_core.model_files.inspection import inspect

State = dict[str, Tensor]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# --- reading --------------------------------------------------------------------------------------


def wrapped(state: State) -> Iterator[dict[str, Any]]:
    other = {key: value + 1 for key, value in state.items()}
    yield dict(state)
    yield {"params": state}
    yield {"params": other, "params_ema": state}
    yield {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}}
    yield {"g": other, "g_ema": state, "d": other, "g_optim": {}}
    yield {"model": {"state_dict": state}}
    prefixed = {f"module.{key}": value for key, value in state.items()}
    yield prefixed
    yield {"params_ema": prefixed, "iter": torch.tensor(3)}
    yield {"state_dict": {f"module._orig_mod.{key}": value for key, value in state.items()}}
    yield {"state_dict": other, "state_dict_ema": state}
    yield {"net_g": state, "net_d": other}


@pytest.mark.parametrize("index", range(11))
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt"])
def test_the_state_dict_is_unwrapped(index: int, suffix: str, tmp_path: Path) -> None:
    state = network().state_dict()
    path = tmp_path / f"weights{suffix}"
    torch.save(list(wrapped(state))[index], path)
    assert same(read_tensors(path), state)


def test_safetensors_are_unwrapped_too(tmp_path: Path) -> None:
    state = network().state_dict()
    save_file({f"module.{key}": value for key, value in state.items()}, tmp_path / "w.safetensors")
    assert same(read_tensors(str(tmp_path / "w.safetensors")), state)


def test_safetensors_are_read_whatever_the_length_of_their_header(tmp_path: Path) -> None:
    # A file begins with that length: 128 looks like a pickle, for instance.
    path = tmp_path / "w.safetensors"
    first_bytes = set()
    for length in range(1, 260):
        save_file({"a" * length: torch.ones(2)}, path)
        first_bytes.add(path.read_bytes()[0])
        assert list(read_tensors(path)) == ["a" * length]
    assert 128 in first_bytes


def test_a_name_that_only_begins_like_a_wrapper_is_a_weight(tmp_path: Path) -> None:
    state = {"d": torch.ones(1), "module.weight": torch.ones(2)}
    torch.save(state, tmp_path / "w.pth")
    assert same(read_tensors(tmp_path / "w.pth"), state)


def test_older_file_formats_are_read(tmp_path: Path) -> None:
    state = network().state_dict()
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert same(read_tensors(tmp_path / "w.pth"), state)


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_python_objects_without_tensors_are_refused_and_never_run(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Payload(mark)))
    torch.save({"net": Payload(mark)}, tmp_path / "inside.pth")
    torch.save(nn.Flatten(), tmp_path / "empty.pth")
    for name in ("plain", "inside", "empty"):
        with pytest.raises(WeightsError, match=r"Python objects, which are never loaded; ask"):
            read_tensors(tmp_path / f"{name}.pth")
    assert not mark.exists()


class Settings(dict[str, Any]):
    """A dictionary of a class of its own, as OmegaConf's containers and Lightning's are."""


class Words(list[str]):
    """A list of a class of its own."""


class Mode(enum.Enum):
    """How the best epoch is chosen."""

    MIN = "min"


class Callback:
    """What training code keeps beside the weights, with arguments by keyword."""

    def __init__(self, *, best: float, folder: Path) -> None:
        self.best = best
        self.folder = folder

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, Any]]:
        return (), {"best": self.best, "folder": self.folder}

    def __new__(cls, **_: Any) -> Callback:
        return super().__new__(cls)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", range(2, 6))
def test_objects_beside_the_tensors_stay_inert(protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    state = network().state_dict()
    content = {
        "state_dict": state,
        "callbacks": {Callback: Callback(best=0.5, folder=tmp_path), Mode.MIN: Mode.MIN},
        "hyper_parameters": Settings(args=argparse.Namespace(lr=0.1), words=Words(["a", "b"])),
        "date": datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc),
        "queue": collections.deque([1, 2], maxlen=3),
        "scheduler": functools.partial(max, 1),
        "complex": 1j,
        "slice": slice(1, 2),
        "random": np.random.RandomState(0).get_state(),
        "generator": np.random.default_rng(0),
        "sparse": torch.eye(2).to_sparse(),
        "payload": Payload(mark),
    }
    torch.save(content, tmp_path / "new", pickle_protocol=protocol)
    torch.save(
        content, tmp_path / "old", pickle_protocol=protocol, _use_new_zipfile_serialization=False
    )
    (tmp_path / "plain").write_bytes(pickle.dumps(content, protocol=protocol))
    for name in ("new", "old", "plain"):
        assert same(read_tensors(tmp_path / name), state)
        read = read_checkpoint_file(tmp_path / name).content
        assert read["hyper_parameters"].held[0] == "args"
        assert read["hyper_parameters"].held[1].state == {"lr": 0.1}
        assert read["hyper_parameters"].held[3].held == ["a", "b"]
        assert read["payload"].arguments[0].name
        callback, mode = read["callbacks"].values()
        assert mode.name.endswith("Mode")
        if protocol >= 4:  # before, keywords are arguments of a call
            (keywords,) = callback.held
            assert keywords["best"] == 0.5
    assert not mark.exists()


def test_a_tensor_that_cannot_be_read_is_never_left_out(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2), "b": torch.eye(2).to_sparse()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"'b' in .* is a tensor that cannot be read"):
        read_tensors(tmp_path / "w.pth")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "whole.pth")
    torch.save(network().state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(network().state_dict(), tmp_path / "whole.safetensors")
    rng = np.random.default_rng(0)
    for source in ("whole.pth", "old.pth", "whole.safetensors"):
        content = (tmp_path / source).read_bytes()
        cuts = [content[:n] for n in (0, 1, 7, 9, 64, len(content) // 2, len(content) - 1)]
        for piece in (*cuts, rng.bytes(500), b"\0" * 500, b"<html>not found</html>"):
            path = tmp_path / f"damaged{Path(source).suffix}"
            path.write_bytes(piece)
            with pytest.raises(WeightsError, match="damaged"):
                read_tensors(path)


@pytest.mark.parametrize("content", [{}, [1, 2], {"epoch": 3}, torch.ones(2), {"params": {}}])
def test_a_file_without_weights_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="holds no state dict"):
        read_tensors(tmp_path / "w.pth")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in ("gone.pth", "gone.safetensors"):
        with pytest.raises(WeightsError, match=r"no weights file .*; check the path"):
            read_tensors(tmp_path / name)


def test_a_folder_says_what_to_give_instead(tmp_path: Path) -> None:
    def said() -> str:
        with pytest.raises(WeightsError, match=f"{tmp_path} is a folder; ") as caught:
            read_tensors(tmp_path)
        return str(caught.value).partition("; ")[2]

    assert said() == "name a file of weights."
    (tmp_path / "config.json").touch()
    (tmp_path / "model.safetensors").touch()
    assert said() == f"name the file in it, such as {tmp_path / 'model.safetensors'}."
    (tmp_path / ".metadata").touch()  # of torch.distributed.checkpoint
    assert said().endswith(f"dcp_to_torch {tmp_path} weights.pth.")


# --- fitting --------------------------------------------------------------------------------------


def test_weights_are_loaded_exactly_whatever_their_type(tmp_path: Path) -> None:
    expected, loaded = network(), network()
    with torch.no_grad():
        for value in (*expected.parameters(), *expected.buffers()):
            value.copy_(value * 3 + 1)
    torch.save(expected.state_dict(), tmp_path / "w.pth")
    load_weights(loaded, tmp_path / "w.pth")
    assert same(loaded.state_dict(), expected.state_dict())
    fit(loaded, {key: value.half() for key, value in expected.state_dict().items()}, "half")
    assert all(value.dtype == torch.float32 for value in loaded.parameters())


def test_batch_counters_may_be_left_out() -> None:
    state = network().state_dict()
    del state["1.num_batches_tracked"]
    fit(network(), state, "file")


def test_what_does_not_fit_changes_nothing_and_says_what_is_wrong() -> None:
    mine = network()
    before = {key: value.clone() for key, value in mine.state_dict().items()}
    state = {key: value + 1 for key, value in before.items()}
    cases: list[tuple[State, str]] = [
        ({**state, "2.weight": torch.ones(1)}, r"0 keys are missing and 1 unknown.*'2\.weight'"),
        ({k: v for k, v in state.items() if k != "0.bias"}, r"1 keys are missing.*'0\.bias'"),
        ({**state, "0.bias": torch.ones(3)}, r"'0\.bias' is \(3,\) there and \(2,\) here"),
        ({}, "6 keys are missing and 0 unknown"),
        (
            {f"a.{k}": v for k, v in state.items()},
            r"6 keys are missing and 7 unknown \(for instance '0\.bias' and 'a\.0\.bias'\)",
        ),
    ]
    for tensors, said in cases:
        with pytest.raises(WeightsError, match=f"file does not fit Sequential: {said}"):
            fit(mine, tensors, "file")
        assert same(mine.state_dict(), before)


def test_weights_of_another_architecture_are_recognised(
    golden: Callable[[str], tuple[State, State]], tmp_path: Path
) -> None:
    generator, _ = golden("stylegan2_basicsr_64")
    torch.save({"params_ema": generator}, tmp_path / "generator.pth")
    with pytest.raises(WeightsError, match=r"looks like a StyleGAN2 generator \(prior 'stylegan2"):
        ug.create_backbone("nafnet", width=2, weights=tmp_path / "generator.pth")
    discriminator, _ = golden("stylegan2_basicsr_64_discriminator")
    assert "StyleGAN2 discriminator" in recognise(discriminator)
    # One key of each, as the published checkpoints have it.
    for key, words in {
        "middle_blks.0.conv1.weight": "NAFNet",
        "resmodule.regression.intro.weight": "no architecture",
        "fusmodule.conv.weight": "a published UGPNet",
        "sam12.conv1.weight": "HINet",
        "body.0.rdb1.conv1.weight": "RRDBNet",
        "input_proj.proj.0.weight": "Uformer",
        "some.weight": "no architecture known here",
        "generator.net.sam12.conv1.weight": "HINet",
    }.items():
        assert recognise({key: torch.ones(1)}).startswith(words)
    assert recognise([]) == "no architecture known here"


def small_network(module: str, name: str, **options: Any) -> nn.Module:
    """A network as another library has it."""
    made: nn.Module = getattr(importlib.import_module(module), name)(**options)
    return made


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (("spandrel.architectures.DRUNet", "DRUNet", {"nc": [4] * 4, "nb": 1}), "DRUNet"),
        (("spandrel.architectures.SPAN", "SPAN", {"num_in_ch": 3, "num_out_ch": 3}), "SPAN"),
        (("spandrel.architectures.NAFNet", "NAFNet", {"enc_blk_nums": [1]}), "NAFNet"),
        (("torchvision.models", "mobilenet_v2", {}), "an image classifier"),
        (("torchvision.models", "vgg11", {}), "an image classifier"),
        (("timm.models", "resnet18", {}), "an image classifier"),
        (("timm.models", "convnext_atto", {}), "an image classifier"),
        (("timm.models", "vit_tiny_patch16_224", {}), "an image classifier"),
        (("timm.models", "swin_tiny_patch4_window7_224", {}), "an image classifier"),
    ],
)
def test_networks_of_other_libraries_are_recognised(
    network: tuple[str, str, dict[str, Any]], words: str
) -> None:
    module, name, options = network
    with torch.device("meta"):
        keys = small_network(module, name, **options).state_dict()
    assert recognise(keys).startswith(words)
    assert recognise([f"model.{key}" for key in keys]).startswith(words)


def test_a_backbone_is_made_with_its_weights(tmp_path: Path) -> None:
    options: dict[str, Any] = {"width": 2, "enc_blk_nums": [1], "dec_blk_nums": [1]}
    one: Any = ug.create_backbone("nafnet", **options)
    torch.save({"params": one.state_dict()}, tmp_path / "w.pth")
    other: Any = ug.create_backbone("nafnet", weights=tmp_path / "w.pth", **options)
    assert same(one.state_dict(), other.state_dict())


PREFIXES = [
    "model.",
    "net_g.",
    "module.",
    "module.model.",
    "model.net_g.",
    "a.b.c.",
    "_orig_mod.x.",
]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_is_left_out_alike_for_loading_inspecting_and_converting(
    prefix: str, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"width": 2, "enc_blk_nums": [1], "dec_blk_nums": [1]}
    made: Any = ug.create_backbone("nafnet", **options)
    path = tmp_path / "lightning.ckpt"

    def save(state: State) -> None:
        inner = {f"{prefix}{key}": value for key, value in state.items()}
        torch.save({"state_dict": inner, "callbacks": {Callback: Mode.MIN}, "epoch": 3}, path)

    save(made.state_dict())
    other: Any = ug.create_backbone("nafnet", weights=path, **options)
    assert same(made.state_dict(), other.state_dict())
    facts = inspect(path)
    assert facts["backbone"]["options"]["width"] == 2
    assert facts["parameters"] == sum(value.numel() for value in made.parameters())
    assert f"restoration.weights={path}" in facts["use"][0]
    # A network that nobody knows, and one whose own keys begin so.
    for nobodys in (network(), nn.ModuleDict({"model": network()})):
        save({key: value + 1 for key, value in nobodys.state_dict().items()})
        before = {key: value + 1 for key, value in nobodys.state_dict().items()}
        load_weights(nobodys, path)
        assert same(nobodys.state_dict(), before)
    small: dict[str, Any] = {"resolution": 16, "style_dim": 4, "num_mlp": 1, "narrow": 1 / 64}
    generator: Any = ug.create_prior("stylegan2", **small)
    save(generator.state_dict())
    convert([path], tmp_path / "prior.safetensors")
    prior: Any = ug.create_prior("stylegan2", weights=tmp_path / "prior.safetensors")
    assert same(prior.state_dict(), generator.state_dict())
    assert "prior" in inspect(path)["kind"]


def test_an_older_layout_keeps_the_prefix_that_is_part_of_it(tmp_path: Path) -> None:
    keys = ["model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"]
    torch.save({f"net.{key}": torch.ones(1) for key in keys}, tmp_path / "w.pth")
    assert list(read_tensors(tmp_path / "w.pth")) == keys


def test_several_networks_in_a_file_are_named(tmp_path: Path) -> None:
    state = network().state_dict()
    path = tmp_path / "gan.ckpt"
    torch.save({"generator": state, "discriminator": state, "epoch": 3}, path)
    said = r"several, under 'discriminator', 'generator'; save the one you mean"
    for read in (read_tensors, inspect, lambda path: convert([path], tmp_path / "x.safetensors")):
        with pytest.raises(WeightsError, match=said):
            read(path)
    flat = {f"{name}.{key}": value for name in ("gen", "dis") for key, value in state.items()}
    torch.save({"state_dict": flat}, path)
    with pytest.raises(WeightsError, match="all of them under 'dis', 'gen'; it looks like"):
        load_weights(network(), path)


# --- writing --------------------------------------------------------------------------------------


def test_tensors_and_metadata_come_back(tmp_path: Path) -> None:
    tied = torch.randn(2, 3)
    state = {"a": tied, "b": tied, "c": tied.T, "d": tied[:1], "e": torch.tensor(3)}
    write_safetensors(state, {"note": "ü"}, tmp_path / "new" / "w.safetensors")
    tensors, metadata = read_safetensors(tmp_path / "new" / "w.safetensors")
    assert same(tensors, state)
    assert metadata == {"note": "ü"}
    assert same(load_file(tmp_path / "new" / "w.safetensors"), state)
    (tmp_path / "other").touch()
    modes = {(tmp_path / name).stat().st_mode for name in ("other", "new/w.safetensors")}
    assert len(modes) == 1


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    failing: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    path = tmp_path / "w.bin"
    write_whole(path, b"old")
    with monkeypatch.context() as patched:
        patched.setattr(os, failing, fail)
        for target in (path, tmp_path / "new.bin"):
            with pytest.raises(type(error)):
                write_whole(target, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["w.bin"]
    assert path.read_bytes() == b"old"
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
