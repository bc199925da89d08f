"""Networks in ncnn's format become checkpoints of backbones."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core import cli
from ugpnet_core.checkpoints.file import read_checkpoint_file
from ugpnet_core.checkpoints.state_dict import load_weights
from ugpnet_core.errors import WeightsError
from ugpnet_core.model_files.conversion import convert
from ugpnet_core.model_files.inspection import inspect

State = dict[str, Tensor]
SIZES: dict[str, Any] = {"num_feat": 3, "num_block": 2, "num_grow_ch": 2}
FLAGS = {"float16": 0x01306B47, "float32": 0}


def written(state: State, path: Path, precision: str = "float16") -> Path:
    """An RRDBNet's convolutions as ncnn's own tools write them."""
    lines, content = ["Input in 0 1 data"], b""
    for index, (key, weight) in enumerate(state.items()):
        if not key.endswith(".weight"):
            continue
        out, _, height, width = weight.shape
        lines.append(
            f"Convolution Conv_{index} 1 1 {index} {index}b 0={out} 1={width} 11={height} 4=1 5=1 "
            f"6={weight.numel()} 9=2 -23310=1,2.000000e-01"
        )
        lines.append(f"Split split_{index} 1 2 {index}b {index}c {index}d")
        raw = weight.numpy().astype("<f2" if precision == "float16" else "<f4").tobytes()
        content += struct.pack("<I", FLAGS[precision]) + raw + b"\0" * (-len(raw) % 4)
        bias = state[key.removesuffix("weight") + "bias"]
        content += bias.numpy().astype("<f4").tobytes()
    path.write_text(f"7767517\n{len(lines)} {len(lines)}\n" + "\n".join(lines) + "\n")
    path.with_suffix(".bin").write_bytes(content)
    return path


def rrdbnet(scale: int) -> State:
    network: Any = ug.create_backbone("rrdbnet", scale=scale, **SIZES)
    # Numbers that float16 holds exactly.
    return {key: value.half().float() for key, value in network.state_dict().items()}


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_rrdbnet_is_converted_key_for_key(scale: int, precision: str, tmp_path: Path) -> None:
    state = rrdbnet(scale)
    path = written(state, tmp_path / "net.param", precision)
    out = tmp_path / "net.safetensors"
    for inputs in ([path], [path.with_suffix(".bin")], [path.with_suffix(".bin"), path]):
        made = convert(inputs, out, licence="BSD-3-Clause")
        assert (made.kind, made.layout) == ("backbone file", "ncnn")
        network: Any = ug.create_backbone("rrdbnet", weights=out, scale=scale, **SIZES)
        assert all(torch.equal(value, state[k]) for k, value in network.state_dict().items())
    facts = inspect(out)
    assert facts["backbone"] == {"name": "rrdbnet", "options": {"scale": scale, **SIZES}}
    assert facts["licence"] == "BSD-3-Clause"


def test_other_files_of_that_name_are_what_they_are(tmp_path: Path) -> None:
    written(rrdbnet(4), tmp_path / "net.param")
    torch.save({"weight": torch.ones(2)}, tmp_path / "net.pth")
    assert read_checkpoint_file(tmp_path / "net.pth").container == "PyTorch archive"
    assert read_checkpoint_file(tmp_path / "net.bin").container == "ncnn"


def test_inspect_tells_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(rrdbnet(4), tmp_path / "net.param")
    facts = inspect(path)
    assert facts["backbone"]["options"]["num_block"] == 2
    out = tmp_path / "rrdbnet.safetensors"
    command = facts["use"][-1].partition(": ")[2].split()
    assert cli.main([*command[1:-1], str(out)]) == 0
    assert "backbone file from ncnn layout" in capsys.readouterr().out
    with pytest.raises(WeightsError, match=r"layers have no names; .* ugpnet convert"):
        load_weights(torch.nn.Conv2d(3, 3, 3), path)


def shortened(path: Path) -> None:
    weights = path.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:-8])


def lengthened(path: Path) -> None:
    weights = path.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes() + b"\0" * 4)


def quantised(path: Path) -> None:
    weights = path.with_suffix(".bin")
    weights.write_bytes(struct.pack("<I", 0x000D4B38) + weights.read_bytes()[4:])


def apart(path: Path) -> None:
    path.with_suffix(".bin").unlink()


def of_other_layers(path: Path) -> None:
    path.write_text(path.read_text() + "LSTM lstm 1 1 a b 0=8 1=99\n")


def garbled(path: Path) -> None:
    path.write_text(path.read_text() + "Convolution conv one 1 a b\n")


def impossible(path: Path) -> None:
    path.write_text(path.read_text().replace("0=3 1=3", "0=7 1=3", 1))


def another_network(path: Path) -> None:
    lines = path.read_text().splitlines()[:4]
    path.write_text("\n".join(lines) + "\n")
    path.with_suffix(".bin").write_bytes(struct.pack("<I", 0) + np.zeros(84, "<f4").tobytes())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (shortened, "ends too early"),
        (lengthened, "is not of net.param"),
        (quantised, "quantised"),
        (apart, "has its weights in net.bin; put that beside it"),
        (of_other_layers, "layer 'LSTM'"),
        (garbled, "is damaged"),
        (impossible, "is not of the layers beside it"),
        (another_network, "of no backbone that is installed"),
    ],
)
def test_what_cannot_be_read_says_why(
    change: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    path = written(rrdbnet(4), tmp_path / "net.param")
    change(path)
    out = tmp_path / "out.safetensors"
    with pytest.raises(WeightsError, match=said):
        convert([path], out)
    assert not out.exists()
