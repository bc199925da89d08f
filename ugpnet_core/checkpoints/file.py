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
from ugpnet_core.checkpoints.pickles.restricted import ForbiddenError, Inert
from ugpnet_core.checkpoints.pickles.torch_format import read_archive, read_stream
from ugpnet_core.checkpoints.pickles.whole_networks import opened
from ugpnet_core.errors import WeightsError

NCNN = "ncnn"
TENSORFLOW = "dnnlib.tflib."
MAXIMUM_HEADER = 100_000_000  # what the safetensors library accepts
# How files begin that are none of ours.
OTHERS = {
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"7z\xbc\xaf": "a 7z archive; unpack it",
    b"\x89HDF": "an HDF5 file",
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file itself",
    b"<": "a web page; download the file itself",
    b"{": "JSON text",
}


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
    except ForbiddenError as error:
        raise WeightsError(
            f"{path} holds Python objects, which are never loaded; ask for a file with tensors "
            f"only (found: {error})."
        ) from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}); check the file.") from error
    except Exception as error:  # what a damaged file causes depends on the damage
        raise WeightsError(f"{path} is damaged ({_reason(error)}); get it again.") from error
    what = next((words for start, words in OTHERS.items() if begin.startswith(start)), None)
    what = what or ("of an unknown kind" if begin else "empty")
    raise WeightsError(f"{path} is damaged or no weights file: it is {what}; get it again.")


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
