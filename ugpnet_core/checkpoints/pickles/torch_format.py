"""What ``torch.save`` and ``pickle.dump`` write, as plain data and stored tensors.

Three kinds of files: the ZIP archive of ``torch.save`` since 1.6, its older stream of pickles and
raw storages, and a plain pickle whose tensors embed such streams. None of them is executed (see
:mod:`ugpnet_core.checkpoints.pickles.restricted`), and no number in a file makes anything larger
than the file. The table below is all that has a meaning; every other object is :class:`Inert`.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from typing import IO, Any

from ugpnet_core.checkpoints.pickles.restricted import (
    Constructor,
    DamagedError,
    ForbiddenError,
    Inert,
    Named,
    OtherError,
    Stream,
    load,
    pairs,
    plain_key,
)
from ugpnet_core.checkpoints.pickles.stored_tensor import (
    BARE_TYPES,
    STORAGES,
    UNREAD,
    NumpyArray,
    NumpyType,
    Storage,
    StoredTensor,
)

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LOCAL_HEADER = 30


def read_archive(file: IO[bytes], content: memoryview) -> Any:
    """Read a ZIP archive of ``torch.save``.

    Args:
        file: the open file.
        content: its bytes.
    """
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    name = next((name for name in entries if name.rpartition("/")[2] == "data.pkl"), None)
    if name is None:
        raise OtherError
    folder = name.removesuffix("data.pkl")

    def record(name: str) -> memoryview:
        entry = entries[name]
        if entry.compress_type != zipfile.ZIP_STORED:
            raise DamagedError("a part of it is compressed, which weights never are")
        header = content[entry.header_offset : entry.header_offset + LOCAL_HEADER]
        lengths = struct.unpack_from("<HH", header, 26)
        start = entry.header_offset + LOCAL_HEADER + sum(lengths)
        if start + entry.file_size > len(content):
            raise DamagedError("it ends too early")
        return content[start : start + entry.file_size]

    order = f"{folder}byteorder"
    if order in entries and bytes(record(order)) != b"little":
        raise DamagedError("its numbers are in big-endian order")

    def persistent(key: Any) -> Storage | Inert:
        dtype, name, count, is_read = _storage_key(key)
        if dtype is None:
            return Inert(UNREADABLE)
        return Storage(record(f"{folder}data/{name}"), dtype, count, is_read)

    return load(Stream(record(name)), TABLE, persistent)


def read_stream(content: memoryview) -> Any:
    """Read an old stream of ``torch.save``, or a plain pickle."""
    stream = Stream(content)
    first = load(stream, TABLE)
    if first != LEGACY_MAGIC:
        return first
    return _read_legacy(stream, TABLE)


def _read_legacy(stream: Stream, table: Mapping[str, Constructor]) -> Any:
    """Read what follows the magic number: version, system, the object, and its storages."""
    load(stream, {})
    system = load(stream, {})
    if type(system) is not dict or system.get("little_endian") is not True:
        raise DamagedError("its numbers are in big-endian order")
    # The bytes come after the object that needs them, in the order of a list between the two.
    start = stream.position
    sizes: dict[Any, tuple[Any, int, bool]] = {}

    def note(key: Any) -> Storage | Inert:
        if (source := _class_of(key)) is not None:
            return source
        dtype, name, count, is_read = _storage_key(key)
        if dtype is None:
            raise ForbiddenError("a storage of an unknown type")
        sizes[name] = (dtype, count, is_read)
        # Long enough for every check of a shape; never read.
        return _Promise(dtype, count, is_read)

    load(stream, table, note)
    names = load(stream, {})
    storages: dict[Any, Storage] = {}
    for name in map(plain_key, names):
        (count,) = struct.unpack("<q", stream.read(8))
        dtype, claimed, is_read = sizes[name]
        if count < claimed:
            raise DamagedError("a tensor of it claims more than there is")
        view = stream.content[stream.position :]
        storages[name] = Storage(view, dtype, count, is_read)
        stream.position += count * dtype.itemsize

    def found(key: Any) -> Storage | Inert:
        return _class_of(key) or storages[_storage_key(key)[1]]

    return load(Stream(stream.content, start), table, found)


class _Promise(Storage):
    """A storage whose bytes have not been reached yet."""

    def __init__(self, dtype: Any, count: int, is_read: bool) -> None:
        self.content = memoryview(b"")
        self.dtype = dtype
        self.count = count
        self.is_read = is_read


def _class_of(key: Any) -> Named | None:
    """The class that a persistent id mentions: old files keep the source of layers beside it."""
    mentions = type(key) is tuple and len(key) == 4 and key[0] == "module"
    return key[1] if mentions and isinstance(key[1], Named) else None


def _storage_key(key: Any) -> tuple[Any, Any, int, bool]:
    """The type (None where it is unknown), name and number of elements in a persistent id, and
    whether these are read."""
    if type(key) is not tuple or len(key) not in (5, 6) or key[0] != "storage":
        raise ForbiddenError("a persistent id other than a storage")
    kind, name, _, count = key[1:5]
    if len(key) == 6 and key[5] is not None:
        raise ForbiddenError("a view of a storage, from before PyTorch 0.4")
    if type(name) not in (str, int):  # others can take forever to be hashed or written out
        raise ForbiddenError("a storage without a name")
    type_name = kind.name.replace(".storage.", ".") if isinstance(kind, Named) else ""
    dtype = STORAGES.get(type_name) or UNREAD.get(type_name)
    if type(count) is not int or count < 0:
        raise ForbiddenError("a storage of an impossible size")
    return dtype, name, count, type_name in STORAGES


def _embedded(content: Any) -> Any:
    """``torch.storage._load_from_bytes``: a storage as a stream of its own."""
    stream = Stream(memoryview(content))
    if load(stream, {}) != LEGACY_MAGIC:
        raise ForbiddenError("an embedded file that is no storage")
    storage = _read_legacy(stream, {})
    if not isinstance(storage, Storage):
        raise ForbiddenError("an embedded file that is no storage")
    return storage


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredTensor | Inert:
    if isinstance(storage, Inert):
        return storage
    if not isinstance(storage, Storage):
        raise ForbiddenError("a tensor without a storage")
    if not storage.is_read:
        return Inert(UNREADABLE)
    return StoredTensor(storage, offset, tuple(shape), tuple(stride))


def _tensor_of_type(
    storage: Any, offset: Any, shape: Any, stride: Any, grad: Any, hooks: Any, dtype: Any, *_: Any
) -> StoredTensor | Inert:
    """``_rebuild_tensor_v3``: of a type that has no storages of its own, but bytes."""
    known = BARE_TYPES.get(dtype.name) if isinstance(dtype, Named) else None
    if known is None or not isinstance(storage, Storage):
        return Inert(UNREADABLE)
    count = len(storage.content) // known.itemsize
    return StoredTensor(Storage(storage.content, known, count), offset, tuple(shape), tuple(stride))


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _typed(make: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """``_rebuild_from_type_v2``: a tensor with attributes of its own, which are dropped."""
    known = TENSORS.get(make.name) if isinstance(make, Named) else None
    if known is None:
        return Inert(TYPED, (make, kind, arguments, state))
    return known(*arguments)


def _mapping(items: Any = ()) -> dict[Any, Any]:
    if type(items) is dict:
        return dict(items)
    return pairs([part for key, value in items for part in (key, value)])


def _set(items: Any = ()) -> set[Any]:
    return set(map(plain_key, items))


def _encoded(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ForbiddenError("an encoding other than latin1")
    return text.encode("latin-1")


def _scalar(dtype: Any, content: Any) -> Any:
    """A number of numpy as Python's; anything else stays what the file says."""
    storage = dtype.storage(content) if isinstance(dtype, NumpyType) else None
    if storage is None or storage.count != 1:
        return Inert("numpy.generic", (dtype, content))
    return StoredTensor(storage, 0, (), ()).load().item()


def _array(content: Any, dtype: Any, shape: Any, order: Any) -> NumpyArray:
    array = NumpyArray()
    array.fill(content, dtype, shape, order == "F")
    return array


PERSISTENT_OBJECT = "torch_utils.persistence._reconstruct_persistent_obj"
"""The name of what NVIDIA's pickles make their networks with."""

UNREADABLE = "torch._utils._rebuild_tensor of a storage of an unknown type"
TYPED = "torch._tensor._rebuild_from_type_v2"
TENSORS: Mapping[str, Constructor] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_type,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}
TABLE: Mapping[str, Constructor] = {
    **TENSORS,
    TYPED: _typed,
    "torch.storage._load_from_bytes": _embedded,
    "torch.Size": tuple,
    "collections.OrderedDict": _mapping,
    "collections.Counter": _mapping,
    "collections.defaultdict": lambda *_: {},
    "builtins.set": _set,
    "__builtin__.set": _set,
    "_codecs.encode": _encoded,
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray._reconstruct": NumpyArray for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _array for core in ("core", "_core")},
    "numpy.dtype": NumpyType,
    "dnnlib.util.EasyDict": _mapping,
}
