"""Results of another program as a method: a folder of images, one for each photograph.

Nothing is guessed: a photograph without a result, with two, or with one of another size is an
error that lists the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from ugpnet_core.errors import ConfigError, ImageError
from ugpnet_core.evaluation.methods import Batch, Method, Runner
from ugpnet_core.evaluation.photographs import TestSet
from ugpnet_core.image import center_square, image_size, list_images, read_image
from ugpnet_core.image.pairs import listed
from ugpnet_core.image.patterns import NAME, STEM, composed, meant


class ResultFolder(Runner):
    """One method whose images are files.

    Args:
        folder: of the files, read recursively.
        pattern: how a file is called, see :func:`match_results`.

    Raises:
        ImageError: files are missing, doubled, or of another size; the message lists them.
        ConfigError: the pattern does not name the photograph.
    """

    is_timed = False

    def __init__(
        self, name: str, folder: Path, test_set: TestSet, pattern: str = STEM, group: str = ""
    ) -> None:
        self.methods = (Method(name, "network", group),)
        self.folder = folder
        self.resolution = test_set.resolution
        names = [test_set.name_of(file) for file in test_set.files]
        others = [test_set.name_of(file) for file in test_set.unused]
        self.files = match_results(folder, names, pattern, others)
        self._whole = self._check_sizes(test_set)
        # What was made of files that their owner may want to know: which, by what, in order.
        self._notices: dict[str, dict[str, None]] = {}

    def _check_sizes(self, test_set: TestSet) -> int:
        """How many results are as large as their photographs, and of no size that was asked for."""
        side = (self.resolution, self.resolution)
        whole, wrong = 0, []
        for file in test_set.files:
            result = self.files[test_set.name_of(file)]
            allowed = [side]
            if test_set.degraded is not None:
                with suppress(ImageError):  # a photograph that cannot be read is left out later
                    allowed.append(image_size(file))
            size = image_size(result)
            whole += size != side
            if size not in allowed:
                height, width = size
                wrong.append(f"{result} ({width}x{height})")
        if wrong:
            words = " or as large as the photograph" if test_set.degraded is not None else ""
            raise ImageError(
                f"Results have to be {side[0]}x{side[1]}{words}, and are not: {listed(wrong)}; "
                "make them of the degraded images of this comparison (ugpnet compare --inputs)."
            )
        return whole

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """Read the files of a batch."""
        images = [self._read(self.files[sample.name]) for sample in batch.samples]
        # Whole pictures of pairs are cropped and resized as their photographs are.
        fitted = [center_square(image, self.resolution) for image in images]
        return {self.methods[0].name: torch.stack(fitted)}

    def _read(self, file: Path) -> Tensor:
        image = read_image(file)
        notices = list(image.notices)
        if image.alpha is not None and float(image.alpha.min()) < 1:
            notices.append("It is transparent in places, which is not counted.")
        for notice in notices:
            files = self._notices.setdefault(notice.removesuffix("."), {})
            files[file.relative_to(self.folder).as_posix()] = None
        return image.pixels

    def protocol(self) -> dict[str, str]:
        """Where the images are from, and what was done to them."""
        words = f"files of {self.folder}, made by another program"
        if self._whole:
            words += (
                f"; {self._whole} of {len(self.files)}, as large as their photographs, cropped to "
                f"their largest centred square, antialiased bicubic to "
                f"{self.resolution}x{self.resolution}"
            )
        for notice, files in self._notices.items():
            words += f"; {listed(list(files))}: {notice}"
        return {self.methods[0].name: words}


def match_results(
    folder: Path, names: Sequence[str], pattern: str = STEM, others: Sequence[str] = ()
) -> dict[str, Path]:
    """Find the result of each photograph.

    Args:
        folder: of the results, read recursively.
        names: of the photographs, below their folder, with "/".
        pattern: the result's name below ``folder``: ``{stem}`` stands for the photograph's name
            without its extension and ``{name}`` for the whole of it, ``*`` for anything but "/".
            Without an extension of its own, the result may have any. Photographs in subfolders
            have their results in the subfolders of the same names, or all in ``folder`` itself.
        others: names of further photographs of the set: where a star lets a file belong to two, it
            does to that of the longer name.

    Returns:
        The files by the photograph's name.

    Raises:
        ImageError: results are missing, or doubled; the message lists the first ten of each.
        ConfigError: the pattern has neither ``{stem}`` nor ``{name}``.
    """
    if STEM not in pattern and NAME not in pattern:
        raise ConfigError(
            f"The pattern {pattern!r} does not say which photograph a result belongs to; write "
            f"{STEM} where the photograph's name stands, as in '{STEM}_out.png'."
        )
    if not folder.is_dir():
        raise ImageError(f"There is no folder {folder}; name the folder of the results.")
    found = _claimed(folder, names, pattern, others if "*" in pattern else ())
    missing = [name for name, files in found.items() if not files]
    doubled = [
        f"{name}: {' and '.join(str(file.relative_to(folder)) for file in files)}"
        for name, files in found.items()
        if len(files) > 1
    ]
    owners: dict[Path, list[str]] = {}
    for name, files in found.items():
        for file in files if len(files) == 1 else ():
            owners.setdefault(file, []).append(name)
    doubled += [
        f"{file.relative_to(folder)} for {' and '.join(mine)}"
        for file, mine in owners.items()
        if len(mine) > 1
    ]
    if missing or doubled:
        parts = [f"results of {len(missing)} photographs are missing: {listed(missing)}"] * bool(
            missing
        )
        parts += [f"it is not clear which result belongs where: {listed(doubled)}"] * bool(doubled)
        raise ImageError(
            f"In {folder} {'; and '.join(parts)}; add or remove files, or give another pattern "
            f"(it is {pattern!r}, and the folder has {_inside(folder)})."
        )
    return {name: files[0] for name, files in found.items()}


def _inside(folder: Path) -> str:
    images = list_images([folder], recursive=True)
    if not images:
        return "no images; linked folders in it are not looked into"
    return f"{len(images)} images, such as {images[0].relative_to(folder).as_posix()}"


def _claimed(
    folder: Path, names: Sequence[str], pattern: str, others: Sequence[str]
) -> dict[str, list[Path]]:
    """The files that may be the result of each photograph."""
    files: dict[str, list[Path]] = {}
    for file in list_images([folder], recursive=True):
        files.setdefault(composed(file.relative_to(folder).as_posix()), []).append(file)
    everyone, paths = [*names, *others], sorted(files)
    claims = {name: _meant(name, pattern, paths) for name in everyone}
    # One layout for all: a file at the top is nobody's where others lie in subfolders.
    if not any(found for name, found in claims.items() if "/" in name):
        claims = {name: _meant(PurePosixPath(name).name, pattern, paths) for name in everyone}
    longest: dict[str, int] = {}
    for name, found in claims.items():
        for path in found:
            longest[path] = max(longest.get(path, 0), _length(name))
    return {
        name: [
            file
            for path in claims[name]
            if "*" not in pattern or _length(name) == longest[path]
            for file in files[path]
        ]
        for name in names
    }


def _meant(name: str, pattern: str, paths: Sequence[str]) -> list[str]:
    whole = composed(name)
    stem = PurePosixPath(whole).with_suffix("").as_posix()
    return meant(composed(pattern), stem, whole, paths)


def _length(name: str) -> int:
    return len(composed(PurePosixPath(name).stem))
