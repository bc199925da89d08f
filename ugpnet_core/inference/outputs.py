"""Where the result for each input file goes: names that clash with nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ugpnet_core.errors import ConfigError
from ugpnet_core.image import EXTENSIONS, list_images

_LOSSY = {".jpg", ".jpeg", ".webp"}


@dataclass(frozen=True)
class Job:
    """One file to read, where its result goes, and the name it had below its input folder."""

    source: Path
    target: Path
    name: str

    def beside(self, suffix: str) -> Path:
        """A further result next to the target: ``a.jpg`` and ``_reg`` give ``a_reg.png``."""
        return self.target.with_name(f"{self.target.stem}{suffix}.png")


def plan(
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    recursive: bool = False,
    suffixes: Sequence[str] = (),
    lossless: bool = False,
) -> list[Job]:
    """Find the files and give each a target of its own.

    ``out`` is a file where there is one input, which is a file, and ``out`` has an image
    extension; it is a folder otherwise. In a folder, results keep the names of their files, and
    the tree below an input folder; one that cannot be written gets ``.png``; of equal names,
    later ones are numbered. Files inside ``out`` are results, and not restored again.

    Args:
        suffixes: of the further results, see :meth:`Job.beside`.
        lossless: results of JPEG and WebP files get ``.png``, too.

    Returns:
        Jobs in the order of the inputs. An input that does not exist has one, too: reading it is
        what fails.

    Raises:
        ConfigError: a result would overwrite an input.
    """
    out = Path(out)
    sources = _sources([Path(item) for item in inputs], out, recursive)
    single = len(inputs) == 1 and not Path(inputs[0]).is_dir() and not out.is_dir()
    if single and out.suffix.lower() in EXTENSIONS:
        jobs = [Job(source, out, name.as_posix()) for source, name in sources]
    else:
        jobs, taken = [], set[str]()
        for source, name in sources:
            job = _free(source, name, out / _named(name, lossless), suffixes, taken)
            taken |= _claims(job, suffixes)
            jobs.append(job)
    _protect([source for source, _ in sources], jobs, suffixes)
    return jobs


def _sources(inputs: list[Path], out: Path, recursive: bool) -> list[tuple[Path, Path]]:
    """Each file once, with its path below its input folder."""
    found: dict[Path, tuple[Path, Path]] = {}
    results = out.resolve()
    for item in inputs:
        is_folder = item.is_dir()
        for file in list_images([item], recursive=recursive) if is_folder else [item]:
            real = file.resolve()
            own_result = results != item.resolve() and results in real.parents
            if not (is_folder and own_result):
                found.setdefault(
                    real, (file, file.relative_to(item) if is_folder else Path(file.name))
                )
    return list(found.values())


def _named(name: Path, lossless: bool) -> Path:
    extension = name.suffix.lower()
    keep = extension in EXTENSIONS and not (lossless and extension in _LOSSY)
    return name if keep else name.with_suffix(".png")


def _free(source: Path, name: Path, wish: Path, suffixes: Sequence[str], taken: set[str]) -> Job:
    number = 1
    while True:
        stem = wish.stem if number == 1 else f"{wish.stem}_{number}"
        job = Job(source, wish.with_name(stem + wish.suffix), name.as_posix())
        if not _claims(job, suffixes) & taken:
            return job
        number += 1


def _claims(job: Job, suffixes: Sequence[str]) -> set[str]:
    """Everything a job writes, as a file system that ignores case would compare it."""
    return {str(path).casefold() for path in (job.target, *map(job.beside, suffixes))}


def _protect(sources: list[Path], jobs: list[Job], suffixes: Sequence[str]) -> None:
    real = {source.resolve() for source in sources}
    identities = {_identity(source) for source in sources} - {None}
    for job in jobs:
        for path in (job.target, *map(job.beside, suffixes)):
            if path.resolve() in real or _identity(path) in identities:
                raise ConfigError(
                    f"{path} is an input and would be overwritten; choose another -o."
                )


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths name one file, also through links and where neither exists yet."""
    if one.resolve() == other.resolve():
        return True
    identity = _identity(one)
    return identity is not None and identity == _identity(other)


def _identity(path: Path) -> tuple[int, int] | None:
    """What two names of one file share, also through links and on systems that ignore case."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
