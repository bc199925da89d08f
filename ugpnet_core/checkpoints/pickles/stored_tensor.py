"""Tensors that still lie in a file: their bytes are read when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.checkpoints.pickles.restricted import DamagedError, Inert

STORAGES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
# Others, whose size is known and whose tensors are not read.
UNREAD = {
    "torch.ComplexFloatStorage": torch.complex64,
    "torch.ComplexDoubleStorage": torch.complex128,
    "torch.UntypedStorage": torch.uint8,
    "torch.QInt8Storage": torch.int8,
    "torch.QUInt8Storage": torch.uint8,
    "torch.QInt32Storage": torch.int32,
}
# Types whose tensors lie in untyped storages.
BARE_TYPES = {
    f"torch.{name}": getattr(torch, name)
    for name in ("float8_e4m3fn", "float8_e5m2", "uint16", "uint32", "uint64")
}
# Bytes of a tensor up to which its storage may be shorter: ``torch.ones(1).expand(3)``.
EXPANDED = 4096
DIMENSIONS = 64  # what torch allows
# numpy's codes of one element: kind and bytes.
CODES = {
    "f4": torch.float32,
    "f8": torch.float64,
    "f2": torch.float16,
    "i8": torch.int64,
    "i4": torch.int32,
    "i2": torch.int16,
    "i1": torch.int8,
    "u1": torch.uint8,
    "b1": torch.bool,
}


class Storage:
    """The elements of one or several tensors: bytes of the file, and their type; ``is_read`` is
    whether tensors are made of them."""

    def __init__(
        self, content: memoryview, dtype: torch.dtype, count: int, is_read: bool = True
    ) -> None:
        if type(count) is not int or count < 0 or count * dtype.itemsize > len(content):
            raise DamagedError("a tensor of it claims more than there is")
        self.content = content[: count * dtype.itemsize]
        self.dtype = dtype
        self.count = count
        self.is_read = is_read


class StoredTensor:
    """A tensor in a file: ``shape`` and ``dtype`` are known, :meth:`load` reads it.

    Raises:
        DamagedError: it does not lie within its storage, or repeats many elements of it: a small
            file could claim any size so.
    """

    def __init__(
        self, storage: Storage, offset: int, shape: Sequence[int], stride: Sequence[int]
    ) -> None:
        numbers = (offset, *shape, *stride)
        known = all(type(n) is int and n >= 0 for n in numbers)
        if len(shape) != len(stride) or len(shape) > DIMENSIONS or not known:
            raise DamagedError("a tensor of it has an impossible shape")
        last = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
        count = math.prod(shape)
        repeats = count > storage.count and count * storage.dtype.itemsize > EXPANDED
        if repeats or (count and last >= storage.count):
            raise DamagedError("a tensor of it claims more than there is")
        self.storage = storage
        self.offset = offset
        self.shape = tuple(shape)
        self.stride = tuple(stride)
        self.dtype = storage.dtype

    def load(self) -> Tensor:
        """Read it: a contiguous tensor on the CPU, independent of the file."""
        if math.prod(self.shape) == 0:
            return torch.empty(self.shape, dtype=self.dtype)
        content = self.storage.content
        writable = bytearray(content) if content.readonly else content
        flat = torch.frombuffer(writable, dtype=self.dtype, count=self.storage.count)
        view = flat.as_strided(self.shape, self.stride, self.offset)
        return view.clone(memory_format=torch.contiguous_format)


class NumpyType(Inert):
    """numpy's description of an element, such as ``f8`` and a byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        super().__init__("numpy.dtype", (code,))
        self.code = code.lstrip("<|=") if isinstance(code, str) else ""

    def build(self, state: Any) -> None:
        """Take the byte order."""
        if type(state) is tuple and len(state) > 1 and state[1] == ">":
            self.code = ">" + self.code

    def storage(self, content: Any) -> Storage | None:
        """Bytes as elements of this type; None where they are no numbers of a known kind."""
        dtype = CODES.get(self.code)
        if dtype is None:
            return None
        if isinstance(content, str):  # how old pickles keep bytes
            content = content.encode("latin-1")
        view = memoryview(content)
        return Storage(view, dtype, len(view) // dtype.itemsize)


class NumpyArray(Inert):
    """An array that a pickle rebuilds: empty first, then its state. :attr:`tensor` is None where
    its elements are no numbers."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__("numpy.ndarray", arguments)
        self.tensor: StoredTensor | None = None

    def build(self, state: Any) -> None:
        """Take shape, type, order and bytes."""
        _, shape, dtype, fortran, content = state
        self.fill(content, dtype, shape, fortran)

    def fill(self, content: Any, dtype: Any, shape: Sequence[int], fortran: bool) -> None:
        """Take what :meth:`build` takes, by name."""
        storage = dtype.storage(content) if isinstance(dtype, NumpyType) else None
        if storage is None:
            return
        sizes = shape if fortran else shape[::-1]
        strides = [math.prod(sizes[:index]) for index in range(len(sizes))]
        stride = strides if fortran else strides[::-1]
        self.tensor = StoredTensor(storage, 0, tuple(shape), stride)
