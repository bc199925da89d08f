"""Files that mean harm, claim too much, are damaged, or are no weights at all."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ugpnet_core.checkpoints.file import read_checkpoint_file
from ugpnet_core.checkpoints.pickles.restricted import Inert
from ugpnet_core.checkpoints.pickles.stored_tensor import StoredTensor
from ugpnet_core.checkpoints.state_dict import read_tensors
from ugpnet_core.errors import WeightsError
from ugpnet_core.model_files.prior import read_prior

# --- harm ---------------------------------------------------------------------------------------

MARK = "executed"


def text(word: str) -> bytes:
    """The instruction that pushes a word."""
    return b"X" + struct.pack("<I", len(word.encode())) + word.encode()


def called(module: str, name: str, *words: str) -> bytes:
    """The instructions that call a function with words."""
    arguments = b"(" + b"".join(map(text, words)) + b"t"
    return f"c{module}\n{name}\n".encode() + arguments + b"R"


SHELL = f"touch {MARK}"
CODE = f"open({MARK!r}, 'w')"
IMPORT = f"__import__('os').system({SHELL!r})"
ATTACKS = {
    "system": called("os", "system", SHELL),
    "posix": called("posix", "system", SHELL),
    "popen": called("subprocess", "getoutput", SHELL),
    "process": b"csubprocess\nPopen\n((l" + text("touch") + b"a" + text(MARK) + b"atR",
    "eval": called("builtins", "eval", CODE),
    "exec": called("builtins", "exec", IMPORT),
    "python2": called("__builtin__", "eval", CODE),
    "open": called("builtins", "open", MARK, "w"),
    "io": called("_io", "open", MARK, "w"),
    "codecs": called("codecs", "open", MARK, "w"),
    "import": called("importlib", "import_module", "antigravity"),
    "getattr": b"cbuiltins\ngetattr\n(cos\nsystem\n" + text("__call__") + b"tR",
    "partial": b"cfunctools\npartial\n(cos\nsystem\n" + text(SHELL) + b"tR)R",
    "map": b"cbuiltins\nmap\n(cos\nsystem\n(" + text(SHELL) + b"ltR",
    "torch.load": called("torch", "load", MARK),
    "torch.hub": called("torch.hub", "load", MARK, MARK),
    "torch.save": b"ctorch\nsave\n(" + text("x") + text(MARK) + b"tR",
    "numpy": called("numpy.testing._private.utils", "runstring", CODE),
    "numpy.save": called("numpy", "save", MARK, "x"),
    "dotted": called("collections", "OrderedDict.fromkeys", "x"),
    "parent": called("collections.OrderedDict", "__init__", "x"),
    "stack": text("os") + text("system") + b"\x93(" + text(SHELL) + b"tR",
    "newobj": b"csubprocess\nPopen\n(" + text(SHELL) + b"t\x81",
    "newobj_ex": b"csubprocess\nPopen\n(" + text(SHELL) + b"t}\x92",
    "inst": b"(" + text(SHELL) + b"ios\nsystem\n",
    "obj": b"(cos\nsystem\n" + text(SHELL) + b"o",
    "ext": b"\x82\x01",
    "ext4": b"\x84\x01\x00\x00\x00",
    "persistent": b"P" + MARK.encode() + b"\n",
    "binpersid": text(MARK) + b"Q",
    "buffer": b"\x97",
    "readonly": b"\x97\x98",
    # A name from the table with what does not belong to it.
    "build": b"ccollections\nOrderedDict\n)R" + text("x") + b"ccollections\nOrderedDict\nb",
    "state": b"(l}" + text("__class__") + text("x") + b"sb",
    "argument": b"ctorch._tensor\n_rebuild_from_type_v2\n(cbuiltins\nlist\nNNNtR",
    "encode": called("_codecs", "encode", "x", "rot13"),
    "list": b"cbuiltins\nlist\n)R",
}


def bare(attack: bytes) -> bytes:
    return b"\x80\x02" + attack + b"."


def in_a_field(attack: bytes) -> bytes:
    return b"\x80\x02}" + text("params") + b"}(" + text("extra") + attack + b"us."


def thrown_away(attack: bytes) -> bytes:
    return b"\x80\x02" + attack + b"0}."


def in_a_frame(attack: bytes) -> bytes:
    return b"\x80\x04\x95" + struct.pack("<Q", len(attack) + 1) + attack + b"."


def in_a_module(attack: bytes) -> bytes:
    meta = b"}(" + text("class_name") + text("Generator") + text("state") + b"}"
    meta += text("training") + attack + b"s" + text("module_src") + text(CODE) + b"u"
    network = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n(" + meta + b"tR"
    return b"\x80\x02}" + text("G_ema") + network + b"s."


def legacy(object_: bytes, after: bytes = b"") -> bytes:
    """The stream of the older ``torch.save`` around an object."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    parts = [pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, system)]
    return b"".join(parts) + b"\x80\x02" + object_ + b"." + (after or pickle.dumps([], protocol=2))


def embedded(attack: bytes) -> bytes:
    stream = legacy(attack)
    blob = b"B" + struct.pack("<I", len(stream)) + stream
    return b"\x80\x02ctorch.storage\n_load_from_bytes\n(" + blob + b"tR."


def embedded_before(attack: bytes) -> bytes:
    """In one of the small pickles that stand before the object."""
    stream = b"\x80\x02" + attack + b"." + legacy(b"}")
    blob = b"B" + struct.pack("<I", len(stream)) + stream
    return b"\x80\x02ctorch.storage\n_load_from_bytes\n(" + blob + b"tR."


def archive(data: bytes, **records: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", data)
        for name, content in records.items():
            file.writestr(f"archive/data/{name}", content)
    return buffer.getvalue()


PLACES: list[Callable[[bytes], bytes]] = [
    bare,
    in_a_field,
    thrown_away,
    in_a_frame,
    in_a_module,
    lambda attack: legacy(attack),
    lambda attack: legacy(b"}", bare(attack)),
    embedded,
    embedded_before,
    lambda attack: archive(in_a_field(attack)),
]


def check_inert(content: object) -> None:
    """Nothing but plain data and placeholders, all the way down."""
    if isinstance(content, Inert):
        check_inert([content.name, content.arguments, content.state, content.held])
    elif isinstance(content, dict):
        check_inert([*content, *content.values()])
    elif isinstance(content, list | tuple | set | frozenset):
        for each in content:
            check_inert(each)
    else:
        kinds = (str, bytes, int, float, bool, type(None), StoredTensor, memoryview)
        assert type(content) in kinds, content


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_is_executed_wherever_it_hides(
    attack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for index, place in enumerate(PLACES):
        path = Path(f"{index}.pkl")
        path.write_bytes(place(ATTACKS[attack]))
        with pytest.raises(WeightsError) as caught:
            read_tensors(path)
        assert "\n" not in str(caught.value)
        with suppress(WeightsError):
            found = read_prior(path)
            assert found is None or not found.generator
        with suppress(WeightsError):
            check_inert(read_checkpoint_file(path).content)
    assert "antigravity" not in sys.modules
    assert not Path(MARK).exists()


def test_the_attacks_would_work_on_a_reader_that_executes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for attack in ("system", "eval", "stack", "newobj", "inst"):
        Path(MARK).unlink(missing_ok=True)
        program = bare(ATTACKS[attack].replace(b"csubprocess\nPopen", b"cbuiltins\nstr"))
        made: Any = pickle.loads(program)
        if attack == "newobj":
            assert made == SHELL
        else:
            assert Path(MARK).exists(), attack


@pytest.mark.parametrize("protocol", range(6))
def test_what_python_itself_pickles_is_never_called(
    protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (SHELL,)

    monkeypatch.chdir(tmp_path)
    array = np.array([Payload()], dtype=object)
    for content in (
        Payload(),
        {"G_ema": Payload()},
        [Payload()],
        array,
        {"x": (1, {2: Payload()})},
    ):
        Path("w.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
        with pytest.raises(WeightsError):
            read_tensors("w.pkl")
        with suppress(WeightsError):
            assert read_prior("w.pkl") is None
        with suppress(WeightsError):
            check_inert(read_checkpoint_file("w.pkl").content)
    assert not Path(MARK).exists()


# --- memory -------------------------------------------------------------------------------------


def storage_key(count: int, kind: str = "FloatStorage") -> bytes:
    number = pickle.dumps(count, protocol=2)[2:-1]
    words = text("storage") + f"ctorch\n{kind}\n".encode() + text("0") + text("cpu")
    return b"(" + words + number + b"tQ"


def rebuilt(storage: bytes, shape: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(pickle.dumps(n, protocol=2)[2:-1] for n in values) + b"t"

    made = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00"
    return made + numbers(shape) + numbers(stride) + b"\x89}tR"


def state(value: bytes) -> bytes:
    return b"\x80\x02}" + text("w") + value + b"s."


def bombs() -> Iterator[tuple[str, bytes]]:
    huge = struct.pack("<Q", 2**40)
    for name, code in {"bytes": b"\x8e", "text": b"\x8d", "bytearray": b"\x96"}.items():
        yield f"{name} of a terabyte", b"\x80\x05" + code + huge + b"x."
    yield "frame of an exabyte", b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N."
    yield "number of two gigabytes", b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x."
    yield "memo of 2^32 places", b"\x80\x02N" + b"r\xff\xff\xff\xff" + b"j\xff\xff\xff\xff" + b"."
    yield "archive with a huge storage", archive(state(rebuilt(storage_key(2**40), (2,), (1,))))
    short = {"0": b"\0" * 8}
    wide = rebuilt(storage_key(2**40), (2**20, 2**20), (2**20, 1))
    yield "storage larger than its record", archive(state(wide), **short)
    repeated = rebuilt(storage_key(2), (2**20, 2**20), (0, 0))
    yield "tensor that repeats two numbers", archive(state(repeated), **short)
    negative = rebuilt(storage_key(2), (2,), (-1,))
    yield "tensor that runs backwards", archive(state(negative), **short)
    count = pickle.dumps(["0"], protocol=2) + struct.pack("<q", 2**40)
    promised = state(rebuilt(storage_key(2**40), (2,), (1,)))[2:-1]
    yield "older stream with a huge storage", legacy(promised, count + b"\0" * 8)
    yield "older stream that embeds one", embedded(storage_key(2**40))
    zeros = archive(state(rebuilt(storage_key(2**20), (2**20,), (1,))))
    buffer = io.BytesIO(zeros)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data/0", b"\0" * 2**22)
    yield "compressed record", buffer.getvalue()
    yield "header of an exabyte", struct.pack("<Q", 2**60) + b"{}"
    yield "header of 90 megabytes", struct.pack("<Q", 90_000_000) + b"{}"
    header = json.dumps({"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}})
    yield "header with a huge tensor", struct.pack("<Q", len(header)) + header.encode()
    doubled = b"\x80\x02]" + b"2a" * 60 + b"."
    yield "lists within themselves", doubled
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
    kind = b"cnumpy\ndtype\n(" + text("f8") + b"tR"
    large = (
        b"(K\x01(" + pickle.dumps(2**40, protocol=2)[2:-1] + b"t" + kind + b"\x89C\x08xxxxxxxxtb"
    )
    yield "array of a terabyte", b"\x80\x04}" + text("w") + array + large + b"s."
    piece = text("x" * 60_000)
    named = b"c_codecs\nencode\nq\x00(" + piece + text("latin1") + b"tq\x01R"
    yield "copies of one text", b"\x80\x02" + named + b"h\0h\1R" * 50_000 + b"."
    sizes = b"ctorch\nSize\nq\0C" + b"\xff" + b"\0" * 255 + b"\x85q\1R"
    yield "copies of one name", b"\x80\x04" + piece + b"q\0" + b"h\0h\0\x93" * 50_000 + b"."
    lists = b"]q\0" + b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(60)) + b"h<"
    yield "a name that grows when it is shown", b"\x80\x02cnumpy\ndtype\n" + lists + b"\x85R."
    yield "an encoding that does", b"\x80\x02c_codecs\nencode\nN" + lists + b"\x86R."
    yield "copies of one shape", b"\x80\x03" + sizes + b"h\0h\1R" * 200_000 + b"."
    nest = b"\x80\x02cx\ny\nq\0N" + b"\x85q\1h\0h\1R" * 50_000
    yield "deep nesting of placeholders", nest + b"."
    yield "deep nesting", b"\x80\x02N" + b"\x85" * 50_000 + b"."
    yield "deep nesting as a key", b"\x80\x02}N" + b"\x85" * 50_000 + b"Ns."
    for times, tuples in {"deep": b"\x85" * 1_000_000, "doubled": b"2\x86" * 40}.items():
        kind = b"ctorch\nFloatStorage\nN" + tuples
        key = b"(" + text("storage") + kind + text("cpu") + b"K\x01tQ"
        made = state(rebuilt(key, (1,), (1,)))
        yield f"archive with a {times} name of a storage", archive(made, **short)
        yield f"older stream with a {times} name of a storage", legacy(made[2:-1])
    nested = storage_key(1)
    for _ in range(3):
        nested = embedded(nested)[2:-1]
    yield "streams within streams", b"\x80\x02" + nested + b"."
    claims = {"resolution": 2**17, "style_dim": 4, "num_mlp": 1, "narrow": 1 / 512}
    described = {"format": "ugpnet-prior-1", "prior": "stylegan2", "options": json.dumps(claims)}
    header = json.dumps({"__metadata__": described, "generator.x": SCALAR})
    yield "prior file of 131072 pixels", struct.pack("<Q", len(header)) + header.encode() + b"1234"


SCALAR = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
BOMBS = dict(bombs())
MEASURE = """
import resource, sys
import ugpnet_core as ug
from ugpnet_core.errors import WeightsError
from ugpnet_core.checkpoints.state_dict import read_tensors
import ugpnet_core.model_files.prior
import ugpnet_priors.stylegan2.reader, ugpnet_priors.stylegan2.generator
small = {"resolution": 16, "narrow": 0.01, "style_dim": 4}
ug.create_prior("stylegan2", **small)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    options = {} if path.endswith("pixels.bin") else small
    for read in (read_tensors, lambda path: ug.create_prior("stylegan2", weights=path, **options)):
        try:
            read(path)
            assert read is read_tensors and path.endswith("pixels.bin"), path
        except WeightsError as error:
            assert "\\n" not in str(error) and len(str(error)) < 600, error
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_small_file_cannot_take_memory(tmp_path: Path) -> None:
    paths = []
    for name, content in BOMBS.items():
        path = tmp_path / f"{name.replace(' ', '-')}.bin"
        path.write_bytes(content)
        paths.append(str(path))
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, *paths], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 150


# --- damage ---------------------------------------------------------------------------------------


def test_a_file_cut_or_changed_anywhere_is_read_or_refused(tmp_path: Path) -> None:
    state = {"params": {"w": torch.arange(12.0).view(3, 4)}, "n": np.float64(2), "s": {1}}
    torch.save(state, tmp_path / "zip")
    torch.save(state, tmp_path / "old", _use_new_zipfile_serialization=False)
    (tmp_path / "plain").write_bytes(pickle.dumps(state))
    save_file(state["params"], tmp_path / "safe")  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged"
    for source in ("zip", "old", "plain", "safe"):
        content = (tmp_path / source).read_bytes()
        for cut in rng.integers(0, len(content), 40):
            path.write_bytes(content[:cut])
            with pytest.raises(WeightsError):
                read_tensors(path)
        for place in rng.integers(0, len(content), 150):
            changed = bytearray(content)
            changed[place] ^= int(rng.integers(1, 256))
            path.write_bytes(changed)
            try:
                assert sum(value.numel() for value in read_tensors(path).values()) <= 24
                read_prior(path)
            except WeightsError as error:
                assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 40, "a JPEG image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "a PNG image"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"\x1f\x8b\x08" + b"\0" * 40, "a gzip archive; unpack it, and give"),
        (b'{"weight_map": {}}', "JSON text; give the file of weights that it describes"),
        (b"These are no weights.\n" * 9, "unknown kind"),
        (b"\0" * 64, "unknown kind"),
        (archive(b"").replace(b"data.pkl", b"data.txt"), "ZIP archive without weights; unpack it"),
    ],
)
def test_wrong_files_are_named(content: bytes, what: str, tmp_path: Path) -> None:
    for name in ("w.pth", "w.safetensors", "w.pkl"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=what):
            read_tensors(tmp_path / name)
