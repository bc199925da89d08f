"""Where the result for each input file goes: names that clash with nothing."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ugpnet_core.errors import ConfigError
from ugpnet_core.image import EXTENSIONS
from ugpnet_core.image.kinds import identify
from ugpnet_core.image.listing import LeftOut, Reason, survey

REGRESSION, SYNTHESIS, CHECK = "_reg", "_syn", "_check"
_LOSSY = {".jpg", ".jpeg", ".webp"}
# Extensions of images that can be read, or that somebody may ask for, and that cannot be written.
_OTHER = {
    ".apng", ".arw", ".avif", ".cr2", ".cr3", ".dds", ".dib", ".dng", ".eps", ".exr", ".gif",
    ".hdr", ".heic", ".heif", ".hif", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jxl", ".mpo",
    ".nef", ".orf", ".pbm", ".pdf", ".pgm", ".pnm", ".ppm", ".psd", ".qoi", ".raf", ".rw2", ".svg",
    ".tga",
} - set(EXTENSIONS)  # fmt: skip
# Kinds of which a file gets this extension if its own cannot be written; others get .png.
_EXTENSIONS = {"JPEG": ".jpg", "MPO": ".jpg", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp"}


@dataclass(frozen=True)
class Job:
    """One file to read, where its result goes, and the name it had below its input folder."""

    source: Path
    target: Path
    name: str

    def beside(self, suffix: str) -> Path:
        """A further result next to the target: ``a.jpg`` and ``_reg`` give ``a_reg.png``."""
        return self.target.with_name(f"{self.target.stem}{suffix}.png")

    def writes(self, suffixes: Sequence[str]) -> tuple[Path, ...]:
        """The target, and the further results next to it."""
        return (self.target, *map(self.beside, suffixes))


@dataclass(frozen=True)
class Naming:
    """How results are called.

    Attributes:
        suffixes: of the further results of each file, see :meth:`Job.beside`.
        suffix: what every result's name gets before its extension.
        extension: of every result (``".png"`` or ``"png"``); None: that of its file.
        lossless: results of JPEG and WebP files get ``.png``, too, where ``extension`` is None.

    Raises:
        ConfigError: the extension is none that can be written, or the suffix is part of a path.
    """

    suffixes: tuple[str, ...] = ()
    suffix: str = ""
    extension: str | None = None
    lossless: bool = False

    def __post_init__(self) -> None:
        if self.extension is not None:
            extension = "." + self.extension.lower().removeprefix(".")
            if extension not in EXTENSIONS:
                raise ConfigError(f"{extension} cannot be written; choose from {_formats()}.")
            object.__setattr__(self, "extension", extension)
        if os.path.basename(self.suffix) != self.suffix or "\0" in self.suffix:
            raise ConfigError(
                f"{self.suffix!r} cannot be part of a file's name; choose another suffix."
            )

    def named(self, source: Path, name: Path) -> Path:
        """The name of a result; what does not end in an extension of images keeps all of its."""
        extension = name.suffix.lower()
        stem = name.stem if extension in {*EXTENSIONS, *_OTHER} else name.name
        ending = self.extension or self._ending(source, name.suffix)
        return name.with_name(f"{stem}{self.suffix}{ending}")

    def _ending(self, source: Path, own: str) -> str:
        ending = own
        if own.lower() not in EXTENSIONS:
            ending = _EXTENSIONS.get(identify(source) or "", ".png")
        return ".png" if self.lossless and ending.lower() in _LOSSY else ending


class Plan(NamedTuple):
    """What there is to do, and what was found and is left out."""

    jobs: list[Job]
    left_out: list[LeftOut]


class Source(NamedTuple):
    """A file, and its path below its input folder."""

    file: Path
    name: Path


class Places:
    """Gives file after file a target of its own in a folder; of equal names, later ones are
    numbered."""

    def __init__(self, out: Path, naming: Naming) -> None:
        self.out, self.naming = out, naming
        self._taken = set[str]()

    def job_for(self, source: Source, *, beside_existing: bool = False) -> Job:
        """The job of a file.

        Args:
            beside_existing: whatever stands there already takes its name as well.
        """
        wish = self.out / self.naming.named(*source)
        suffixes = self.naming.suffixes
        number = 1
        while True:
            stem = wish.stem if number == 1 else f"{wish.stem}_{number}"
            job = Job(source.file, wish.with_name(stem + wish.suffix), source.name.as_posix())
            claims = _claims(job, suffixes)
            if not claims & self._taken and not (beside_existing and existing([job], suffixes)):
                self._taken |= claims
                return job
            number += 1


def plan(
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    recursive: bool = False,
    suffixes: Sequence[str] = (),
    lossless: bool = False,
) -> list[Job]:
    """The jobs of :func:`plan_files`, where nobody asks for what is left out."""
    naming = Naming(tuple(suffixes), lossless=lossless)
    return plan_files(inputs, out, naming, recursive=recursive).jobs


def plan_files(
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    naming: Naming,
    *,
    recursive: bool = False,
) -> Plan:
    """Find the files and give each a target of its own.

    ``out`` is a file where there is one input, which is a file, and ``out`` has an image
    extension; it is a folder otherwise. In a folder, results keep the names of their files, and
    the tree below an input folder; of equal names, later ones are numbered. Files inside ``out``
    and those that a file beside them has as its result are results, and not restored again.

    Returns:
        Jobs in the order of the inputs. An input that does not exist has one, too: reading it is
        what fails.

    Raises:
        ConfigError: a result would overwrite an input, or ``out`` is no name for the results.
        ImageError: an input folder cannot be read.
    """
    out = Path(out)
    folders = [Path(item) for item in inputs]
    single = names_a_file(out, folders, naming)
    sources, left_out = _sources(folders, out, recursive)
    if single:
        jobs = [Job(source, out, name.as_posix()) for source, name in sources]
    else:
        earlier = _earlier_results(sources, out, naming)
        left_out += [LeftOut(source.file, Reason.RESULTS) for source in earlier]
        sources = [source for source in sources if source not in earlier]
        places = Places(out, naming)
        jobs = [places.job_for(source) for source in sources]
    _protect([source for source, _ in sources], jobs, naming.suffixes)
    return Plan(jobs, left_out)


def existing(jobs: Sequence[Job], suffixes: Sequence[str]) -> list[Path]:
    """What stands already where results are to go; a broken link does, too."""
    return [path for job in jobs for path in job.writes(suffixes) if os.path.lexists(path)]


def names_a_file(out: Path, inputs: Sequence[Path], naming: Naming) -> bool:
    """Whether ``out`` is the name of the one result, and not of a folder.

    Raises:
        ConfigError: it is the name of an image, and cannot be that of the result.
    """
    extension = out.suffix.lower()
    if os.path.isdir(out) or extension not in {*EXTENSIONS, *_OTHER}:
        return False
    if extension in _OTHER:
        raise ConfigError(
            f"{out}: {extension} cannot be written; choose from {_formats()}, or a folder."
        )
    if len(inputs) != 1 or os.path.isdir(inputs[0]):
        raise ConfigError(f"{out} is a name for the result of one file; give a folder.")
    if naming.extension is not None or naming.suffix:
        raise ConfigError(f"{out} says how the result is called; leave out --ext and --suffix.")
    return True


def _formats() -> str:
    return " ".join(EXTENSIONS)


def _sources(inputs: list[Path], out: Path, recursive: bool) -> tuple[list[Source], list[LeftOut]]:
    """Each file once, and what else is in the folders."""
    found: dict[str, Source] = {}
    left_out: list[LeftOut] = []
    for source in _named_sources(inputs, out, recursive, left_out):
        first = found.setdefault(os.path.realpath(source.file), source)
        if first.file.name != source.file.name:
            left_out.append(LeftOut(source.file, Reason.SAME_FILE))
    return list(found.values()), left_out


def _named_sources(
    inputs: list[Path], out: Path, recursive: bool, left_out: list[LeftOut]
) -> Iterator[Source]:
    for item in inputs:
        # A folder that cannot be read is one of the files that cannot.
        if not os.path.isdir(item) or not os.access(item, os.R_OK | os.X_OK):
            yield Source(item, Path(item.name))
            continue
        inside = survey([item], recursive=recursive, results=out)
        left_out += inside.left_out
        for file in inside.images:
            yield Source(file, file.relative_to(item))


def _earlier_results(sources: list[Source], out: Path, naming: Naming) -> list[Source]:
    """The sources that an earlier run with the same suffix made of other sources."""
    if not naming.suffix:
        return []
    further = {*naming.suffixes, REGRESSION, SYNTHESIS, CHECK}
    results = set[str]()
    for file, name in sources:
        job = Job(file, out / naming.named(file, name), "")
        results |= {os.path.realpath(path) for path in job.writes(sorted(further))}
    return [source for source in sources if os.path.realpath(source.file) in results]


def _claims(job: Job, suffixes: Sequence[str]) -> set[str]:
    """Everything a job writes, as a file system would compare it that ignores case and how
    accents are written."""
    return {unicodedata.normalize("NFC", str(path)).casefold() for path in job.writes(suffixes)}


def _protect(sources: list[Path], jobs: list[Job], suffixes: Sequence[str]) -> None:
    real = {os.path.realpath(source) for source in sources}
    identities = {_identity(source) for source in sources} - {None}
    for job in jobs:
        for path in job.writes(suffixes):
            if os.path.realpath(path) in real or _identity(path) in identities:
                raise ConfigError(
                    f"{path} is an input and would be overwritten; choose another -o."
                )


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths name one file, also through links and where neither exists yet."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    identity = _identity(one)
    return identity is not None and identity == _identity(other)


def _identity(path: Path) -> tuple[int, int] | None:
    """What two names of one file share, also through links and on systems that ignore case."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
