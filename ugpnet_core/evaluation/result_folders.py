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
from ugpnet_core.image.patterns import NAME, STEM, expression


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
        self.files = match_results(folder, names, pattern)
        self._check_sizes(test_set)

    def _check_sizes(self, test_set: TestSet) -> None:
        side = (self.resolution, self.resolution)
        wrong = []
        for file in test_set.files:
            result = self.files[test_set.name_of(file)]
            allowed = [side]
            if test_set.degraded is not None:
                with suppress(ImageError):  # a photograph that cannot be read is left out later
                    allowed.append(image_size(file))
            size = image_size(result)
            if size not in allowed:
                wrong.append(f"{result} ({size[0]}x{size[1]})")
        if wrong:
            whole = " or as large as the photograph" if test_set.degraded is not None else ""
            raise ImageError(
                f"Results have to be {side[0]}x{side[1]}{whole}, and are not: {listed(wrong)}; "
                "make them of the degraded images of this comparison (ugpnet compare --inputs)."
            )

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """Read the files of a batch."""
        images = [read_image(self.files[sample.name]).pixels for sample in batch.samples]
        # Whole pictures of pairs are cropped and resized as their photographs are.
        fitted = [center_square(image, self.resolution) for image in images]
        return {self.methods[0].name: torch.stack(fitted)}

    def protocol(self) -> dict[str, str]:
        """Where the images are from."""
        return {self.methods[0].name: f"files of {self.folder}, made by another program"}


def match_results(folder: Path, names: Sequence[str], pattern: str = STEM) -> dict[str, Path]:
    """Find the result of each photograph.

    Args:
        folder: of the results, read recursively.
        names: of the photographs, below their folder, with "/".
        pattern: the result's name below ``folder``: ``{stem}`` stands for the photograph's name
            without its extension and ``{name}`` for the whole of it, ``*`` for anything but "/".
            Without an extension of its own, the result may have any. A photograph in a subfolder
            may have its result in the subfolder of the same name, or in ``folder`` itself.

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
    files_below = list_images([folder], recursive=True)
    paths = {file.relative_to(folder).as_posix(): file for file in files_below}
    by_key = _by_key(paths)
    found = {name: _results_of(name, pattern, paths, by_key) for name in names}
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
            f"(it is {pattern!r})."
        )
    return {name: files[0] for name, files in found.items()}


def _by_key(paths: Mapping[str, Path]) -> dict[str, list[Path]]:
    """Files by their path below the folder, with and without the extension."""
    found: dict[str, list[Path]] = {}
    for path, file in paths.items():
        for key in (path, PurePosixPath(path).with_suffix("").as_posix()):
            found.setdefault(key, []).append(file)
    return found


def _results_of(
    name: str, pattern: str, paths: Mapping[str, Path], by_key: Mapping[str, list[Path]]
) -> list[Path]:
    """The files that may be the result of a photograph: below the same subfolder, or, where there
    is none, under its name alone."""
    for path in dict.fromkeys((PurePosixPath(name), PurePosixPath(PurePosixPath(name).name))):
        stem, whole = path.with_suffix("").as_posix(), path.as_posix()
        if "*" in pattern:
            files = _like(pattern, stem, whole, paths)
        else:
            files = by_key.get(pattern.replace(NAME, whole).replace(STEM, stem), [])
        if files:
            return files
    return []


def _like(pattern: str, stem: str, name: str, paths: Mapping[str, Path]) -> list[Path]:
    """The files that a pattern with stars means; a star in a photograph's own name is none."""
    matching = expression(pattern, stem, name)
    return [file for path, file in paths.items() if matching.fullmatch(path)]
