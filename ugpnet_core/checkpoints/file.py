"""What is in a checkpoint file, told by its first bytes and not by its name."""

from __future__ import annotations

import mmap
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ugpnet_core.checkpoints.ncnn import is_ncnn, read_ncnn
from ugpnet_core.checkpoints.pickles.restricted import ForbiddenError, Inert, OtherError
from ugpnet_core.checkpoints.pickles.torch_format import read_archive, read_stream
from ugpnet_core.checkpoints.pickles.whole_networks import opened
from ugpnet_core.errors import WeightsError

NCNN = "ncnn"
TENSORFLOW = "dnnlib.tflib."
MAXIMUM_HEADER = 100_000_000  # what the safetensors library accepts
# How files begin that are none of ours, and what to do.
AGAIN, UNPACKED = "get it again", "unpack it, and give the checkpoint in it"
OTHERS = {
    b"\xff\xd8\xff": ("a JPEG image", AGAIN),
    b"\x89PNG": ("a PNG image", AGAIN),
    b"GIF8": ("a GIF image", AGAIN),
    b"%PDF": ("a PDF document", AGAIN),
    b"PK": ("a ZIP archive without weights", UNPACKED),
    b"\x1f\x8b": ("a gzip archive", UNPACKED),
    b"7z\xbc\xaf": ("a 7z archive", UNPACKED),
    b"\x89HDF": ("an HDF5 file", AGAIN),
    b"version https://git-lfs": ("a pointer of Git LFS", "fetch the file itself"),
    b"<": ("a web page", "download the file itself"),
    b"{": ("JSON text", "give the file of weights that it describes"),
}
# What a folder of a training may hold, and what makes one file of it.
WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".pkl")
SPREAD = "python -m torch.distributed.checkpoint.format_utils dcp_to_torch"


@dataclass(frozen=True)
class Checkpoint:
    """A file's content as plain data, whose tensors are
    :class:`~ugpnet_core.checkpoints.pickles.stored_tensor.StoredTensor` or, from safetensors,
    ordinary ones.

    Attributes:
        path: The file.
        container: The kind of the file: "safetensors", "PyTorch archive", "pickle" or "ncnn".
        content: What is in it; of ncnn, a tuple of layers without names.
        metadata: The metadata, which only safetensors have.
        size: The size of the file in bytes.
    """

    path: Path
    container: str
    content: Any
    metadata: dict[str, str]
    size: int


def read_checkpoint_file(path: str | PathLike[str]) -> Checkpoint:
    """Read a file without executing anything in it.

    Raises:
        WeightsError: it is missing, damaged, no weights file, or holds Python objects.
    """
    path = Path(path)
    if path.suffix == ".bin" and path.with_suffix(".param").is_file():
        path = path.with_suffix(".param")  # the weights of the layers that are described there
    try:
        if path.is_dir():
            raise WeightsError(f"{path} is a folder; {_advice_on(path)}.")
        if not path.is_file():
            raise WeightsError(f"There is no weights file {path}; check the path.")
        with path.open("rb") as file:
            size = path.stat().st_size
            begin = file.read(64)
            header = int.from_bytes(begin[:8], "little")
            # The length that safetensors begin with may look like the beginning of anything.
            if begin[8:9] == b"{" and header <= min(size, MAXIMUM_HEADER):
                tensors, metadata = _read_safetensors(path)
                return Checkpoint(path, "safetensors", tensors, metadata, size)
            if is_ncnn(begin):
                return Checkpoint(path, NCNN, tuple(read_ncnn(path)), {}, size)
            if begin[:4] == b"PK\x03\x04" or begin[:1] == b"\x80":
                view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
                if begin[:1] == b"\x80":
                    content = opened(read_stream(view))
                    _refuse_tensorflow(content, path)
                    return Checkpoint(path, "pickle", content, {}, size)
                content = opened(read_archive(file, view))
                return Checkpoint(path, "PyTorch archive", content, {}, size)
    except WeightsError:
        raise
    except OtherError:
        pass  # which its beginning tells
    except ForbiddenError as error:
        raise WeightsError(
            f"{path} holds Python objects, which are never loaded; ask for a file with tensors "
            f"only (found: {error})."
        ) from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}); check the file.") from error
    except Exception as error:  # what a damaged file causes depends on the damage
        raise WeightsError(f"{path} is damaged ({_reason(error)}); get it again.") from error
    unknown = "of an unknown kind" if begin else "empty", AGAIN
    found = (words for start, words in OTHERS.items() if begin.startswith(start))
    what, advice = next(found, unknown)
    raise WeightsError(f"{path} is damaged or no weights file: it is {what}; {advice}.")


def _advice_on(folder: Path) -> str:
    if (folder / ".metadata").is_file():
        command = f"{SPREAD} {shlex.quote(str(folder))} weights.pth"
        return f"make one file of the parts in it: {command}"
    files = sorted(each for each in folder.iterdir() if each.suffix in WEIGHTS)
    return f"name the file in it, such as {files[0]}" if files else "name a file of weights"


def _refuse_tensorflow(content: Any, path: Path) -> None:
    """Pickles of StyleGAN's TensorFlow versions hold programs, and weights in another layout.

    Raises:
        WeightsError: this is one.
    """
    several = content.values() if isinstance(content, Mapping) else content
    for each in several if isinstance(several, Iterable) else (several,):
        if isinstance(each, Inert) and each.name.startswith(TENSORFLOW):
            new = path.with_name(f"{path.stem}-pytorch.pkl")
            raise WeightsError(
                f"{path} is a network of TensorFlow ({each.name}); translate it first, with "
                "NVIDIA's stylegan2-ada-pytorch: python legacy.py "
                f"--source={shlex.quote(str(path))} --dest={shlex.quote(str(new))}"
            )


def _read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except Exception as error:  # the library's own error, or of a type that torch lacks
        reason = error if isinstance(error, SafetensorError | OSError) else type(error).__name__
        raise WeightsError(
            f"{path} is damaged and cannot be read as safetensors ({reason}); get it again."
        ) from error


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text if 0 < len(text) <= 80 else type(error).__name__
