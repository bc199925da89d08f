"""What one worker of a cluster does: it holds a Restorer, and takes files from address to address.

It knows nothing of Ray, so that it can be used, and tested, without.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ugpnet_core.engines.addresses import place_at
from ugpnet_core.engines.manifest import Record
from ugpnet_core.errors import ImageError, UGPNetError
from ugpnet_core.image import decode_image
from ugpnet_core.inference.restorer import Restorer
from ugpnet_core.inference.writing import Writing
from ugpnet_core.model_files.model import load_model

ATTEMPTS = 3
# So many workers may die of one file; memory runs out for the next one, too.
DEATHS = 3
# Here is what workers are at, so that the next one knows of what the last one died.
RUNNING = ".running/"
# Before another attempt: stores that are overloaded want to be left alone.
_PAUSE = 1.0


@dataclass(frozen=True)
class Settings:
    """How to restore; see :class:`ugpnet_core.Restorer`."""

    tile: int | Literal["auto"] = "auto"
    fidelity: float = 0.0
    faces: Literal["auto", "off"] = "auto"
    background: Literal["restore", "keep"] = "restore"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


class Worker:
    """Restores one file after the other.

    Args:
        model: content of a model file, as each machine may have another disk.
        domain: of the model.
        source, target: addresses of the folders.
        settings: of the Restorer.
        device: as for a Restorer.
    """

    def __init__(
        self,
        model: bytes,
        domain: str,
        source: str,
        target: str,
        settings: Settings,
        device: str = "auto",
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            path.write_bytes(model)
            network = load_model(path)
        network.config = network.config.model_copy(update={"domain": domain})
        self.restorer = Restorer(network, device=device, **asdict(settings))
        self.source, self.target = place_at(source), place_at(target)
        self.name = f"{socket.gethostname()}:{os.getpid()}"

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Restore one file.

        Args:
            row: ``source`` and ``target``, names below the folders.

        Returns:
            The fields of a :class:`Record`. An image that cannot be read is an error at once;
            anything else is tried three times, as networks and stores fail now and then.
        """
        source, target = row["source"], row["target"]
        begun = time.perf_counter()
        error, attempt = "", 0
        notices: tuple[str, ...] = ()
        mark = RUNNING + hashlib.sha256(source.encode()).hexdigest()[:32]
        marked = False
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if not marked:
                    self._mark(mark, source)
                    marked = True
                notices, error = self._restore(source, target), ""
                break
            except UGPNetError as problem:
                error = str(problem)
                break
            except Exception as problem:
                error = f"{type(problem).__name__}: {problem}"
                if attempt < ATTEMPTS:
                    time.sleep(_PAUSE * attempt)
        with contextlib.suppress(Exception):  # one that stays is counted, and no more
            self.target.remove({mark})
        seconds = time.perf_counter() - begun
        return asdict(Record(source, target, error, seconds, attempt, self.name, notices))

    def _mark(self, mark: str, source: str) -> None:
        """Say that a file is being restored.

        Raises:
            ImageError: others have said so, and have never come back.
        """
        try:
            deaths = int(self.target.read(mark))
        except FileNotFoundError:
            deaths = 0
        if deaths >= DEATHS:
            raise ImageError(
                f"{source}: {deaths} workers died of it; it may need more memory than there is."
            )
        self.target.write(mark, str(deaths + 1).encode())

    def _restore(self, source: str, target: str) -> tuple[str, ...]:
        photo = decode_image(self.source.read(source), Path(source))
        restored = self.restorer.restore_tensor(photo.pixels)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / PurePosixPath(target).name
            Writing()(path, restored.image, photo)
            self.target.write(target, path.read_bytes())
        return (*photo.notices, *restored.notices)
