"""Networks of ncnn (https://github.com/Tencent/ncnn): a text file of layers, ``.param``, and their
weights one after the other, ``.bin``.

The formats are described in the project's wiki, "param and model file structure" and "operation
param weight table". Layers have no names that mean anything, only an order.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ugpnet_core.errors import WeightsError

MAGIC = b"7767517"
FLOAT16 = 0x01306B47
FLOAT32 = (0, 0x0002C056)
MOST_LAYERS = 100_000
# Layers that have no weights.
PLAIN = frozenset(
    [
        "AbsVal",
        "BinaryOp",
        "Clip",
        "Concat",
        "Crop",
        "Dropout",
        "Eltwise",
        "ELU",
        "Exp",
        "Flatten",
        "GELU",
        "HardSigmoid",
        "HardSwish",
        "Input",
        "Interp",
        "Log",
        "Mish",
        "Noop",
        "Padding",
        "Permute",
        "PixelShuffle",
        "Pooling",
        "Power",
        "ReLU",
        "Reorg",
        "Reshape",
        "SELU",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Softplus",
        "Split",
        "Swish",
        "TanH",
        "UnaryOp",
    ]
)
Layer = dict[str, Tensor]
Settings = Mapping[int, float]


class _Weights:
    """The bytes of a ``.bin``, read in order."""

    def __init__(self, content: bytes, path: Path) -> None:
        self.content = content
        self.path = path
        self.position = 0

    def take(self, count: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """So many numbers as float32, from whole words of 4 bytes."""
        size = count * dtype.itemsize
        end = self.position + -(-size // 4) * 4
        if count < 0 or end > len(self.content):
            raise WeightsError(f"{self.path} is damaged: it ends too early; get it again.")
        piece = bytearray(self.content[self.position : self.position + size])
        self.position = end
        return torch.frombuffer(piece, dtype=dtype).float() if count else torch.empty(0)

    def take_flagged(self, count: int) -> Tensor:
        """So many numbers behind a word that says how they are stored."""
        (flag,) = struct.unpack("<I", self._word())
        if flag not in (FLOAT16, *FLOAT32):
            raise WeightsError(
                f"{self.path} has quantised weights, which cannot be trained on; use the network "
                "in float16 or float32."
            )
        return self.take(count, torch.float16 if flag == FLOAT16 else torch.float32)

    def _word(self) -> bytes:
        word = self.content[self.position : self.position + 4]
        if len(word) < 4:
            raise WeightsError(f"{self.path} is damaged: it ends too early; get it again.")
        self.position += 4
        return word


def is_ncnn(begin: bytes) -> bool:
    """Whether a file that begins so is a ``.param``."""
    return begin.startswith(MAGIC)


def read_ncnn(path: Path) -> list[Layer]:
    """The layers with weights of a network, in the order in which they run: "weight" and, where
    there is one, "bias"; all float32, convolutions (out, in, height, width).

    Args:
        path: the ``.param``; the ``.bin`` of the same name lies beside it.

    Raises:
        WeightsError: one of the two is missing or damaged, or has layers that are not known here.
    """
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise WeightsError(f"{path} has its weights in {weights.name}; put that beside it.")
    source = _Weights(weights.read_bytes(), weights)
    layers = []
    for kind, settings in _described(path):
        if kind in PLAIN:
            continue
        if kind not in READERS:
            raise WeightsError(
                f"{path} has a layer {kind[:40]!r}, which cannot be read; use the network in "
                "PyTorch's format."
            )
        layers.append(READERS[kind](source, settings))
    if source.position != len(source.content):
        raise WeightsError(f"{weights} is not of {path.name}: it holds more; get both again.")
    return layers


def _described(path: Path) -> Sequence[tuple[str, Settings]]:
    """Kind and settings of every layer."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[2:]
        if len(lines) > MOST_LAYERS:
            raise ValueError("layers")
        described = []
        for words in filter(None, (line.split() for line in lines)):
            start = 4 + int(words[2]) + int(words[3])
            pairs = (word.partition("=") for word in words[start:])
            # Keys below -23300 have lists, which no weights depend on.
            settings = {int(key): float(value) for key, _, value in pairs if int(key) > -23300}
            described.append((words[0], settings))
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path} is damaged ({error}); get it again.") from error
    return described


def _size(settings: Settings, key: int, otherwise: float = 0) -> int:
    return int(settings.get(key, otherwise))


def _convolution(source: _Weights, settings: Settings) -> Layer:
    out, count = _size(settings, 0), _size(settings, 6)
    width = _size(settings, 1)
    height = _size(settings, 11, width)
    if min(out, width, height) < 1 or count % (out * width * height):
        raise WeightsError(f"{source.path} is not of the layers beside it; get both again.")
    weight = source.take_flagged(count).reshape(out, -1, height, width)
    return {"weight": weight, **_bias(source, settings, 5, out)}


def _dense(source: _Weights, settings: Settings) -> Layer:
    out, count = _size(settings, 0), _size(settings, 2)
    if out < 1 or count % out:
        raise WeightsError(f"{source.path} is not of the layers beside it; get both again.")
    weight = source.take_flagged(count).reshape(out, count // out)
    return {"weight": weight, **_bias(source, settings, 1, out)}


def _slopes(source: _Weights, settings: Settings) -> Layer:
    return {"weight": source.take(_size(settings, 0))}


def _bias(source: _Weights, settings: Settings, key: int, count: int) -> Layer:
    return {"bias": source.take(count)} if settings.get(key) else {}


READERS: Mapping[str, Callable[[_Weights, Settings], Layer]] = {
    "Convolution": _convolution,
    "ConvolutionDepthWise": _convolution,
    "InnerProduct": _dense,
    "PReLU": _slopes,
}


def count_of(layers: Sequence[Layer]) -> int:
    """How many numbers there are."""
    return sum(math.prod(value.shape) for layer in layers for value in layer.values())
