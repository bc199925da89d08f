"""The photographs that methods are measured on: read one by one, and degraded or paired.

What a degraded image looks like depends on the seed and the file's name only, not on the order of
files, the batch, or what else is measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, cast, runtime_checkable

import numpy as np
from torch import Tensor

from ugpnet_core.config import TaskConfig
from ugpnet_core.degradations.pairing import pair
from ugpnet_core.errors import ConfigError, ImageError
from ugpnet_core.evaluation.repeating import DRAWS, repeatable_scale, repeated
from ugpnet_core.factory import create_task_at
from ugpnet_core.image import center_square, image_size, list_images, read_image, resize
from ugpnet_core.image.pairs import MatchedPair, listed, match_pairs
from ugpnet_core.image.patterns import STEM
from ugpnet_core.metrics.pixel import quantised
from ugpnet_core.plugins import TaskEntry, find, validate_options
from ugpnet_core.protocols import Task
from ugpnet_core.seeding import rng_for

LeaveOut = Callable[[str, str], None]
"""Takes the name of a file that was left out, and why."""


class Sample(NamedTuple):
    """A photograph of the set, in 8-bit levels.

    Attributes:
        name: relative to the folder of photographs, with "/".
        clean: x_gt, (3, r, r) in [0, 1].
        degraded: x, (3, r / scale, r / scale).
        kernel: of sum 1, (K, K), where the task blurs with one and says with which.
        degrade: the task with what it drew for this photograph; for files that were degraded
            elsewhere, the task without its noise, or None where no task is known.
        has_truth: whether ``clean`` is the photograph; else nobody knows it, and the degraded image
            stands there.
    """

    name: str
    clean: Tensor
    degraded: Tensor
    kernel: Tensor | None = None
    degrade: Callable[[Tensor], Tensor] | None = None
    has_truth: bool = True


@runtime_checkable
class KnownKernel(Protocol):
    """A task that can tell which blur kernel it draws."""

    def drawn_kernel(self, rng: np.random.Generator) -> Tensor:
        """The kernel (K, K) that calling the task with an equal ``rng`` convolves with."""


@dataclass(frozen=True)
class TestSet:
    """Photographs of one resolution r, and how they are degraded.

    Attributes:
        files: the photographs.
        root: the folder that names and seeds are relative to.
        resolution: r; every photograph is cropped to its centred square and resized.
        task: the degradation; None: ``degraded`` has the files.
        degraded: by photograph, the degraded file that belongs to it. None as well: the files are
            degraded themselves, and nobody knows what they were.
        scale: how many times smaller a degraded image is.
        seed: with a file's name, it fixes the file's degradation.
        unused: further photographs of the set, which are not measured.
        known: the task by which files have been degraded, where that is known.
    """

    __test__ = False  # pytest takes the name for one of its own

    files: Sequence[Path]
    root: Path
    resolution: int
    task: TaskConfig | None = None
    degraded: Mapping[Path, Path] | None = None
    scale: int = 1
    seed: int = 0
    unused: Sequence[Path] = ()
    known: TaskConfig | None = None

    @property
    def title(self) -> str:
        """The task's name, or "pairs"."""
        if self.task is not None:
            return self.task.name
        return "real" if self.degraded is None else "pairs"

    def name_of(self, file: Path) -> str:
        """The file's name below the folder, with "/"."""
        if file.is_relative_to(self.root):
            return file.relative_to(self.root).as_posix()
        return file.name

    def samples(self, leave_out: LeaveOut) -> Iterator[Sample | None]:
        """Read one photograph after the other; None in the place of one that was reported."""
        task = create_task_at(self.task, self.resolution) if self.task else None
        known = create_task_at(self.known, self.resolution) if self.known else None
        for file in self.files:
            try:
                sample = self._sample(file, task)
                if known is not None:
                    sample = sample._replace(degrade=repeated(known, self.seed, sample.name))
                yield sample
            except (ImageError, OSError) as error:
                leave_out(self.name_of(file), str(error))
                yield None

    def _sample(self, file: Path, task: Task | None) -> Sample:
        name = self.name_of(file)
        clean = quantised(center_square(read_image(file).pixels, self.resolution))
        if task is None and self.degraded is None:
            side = self.degraded_side
            degraded = quantised(center_square(read_image(file).pixels, side))
            # Nobody knows the photograph: what stands there gives sizes, and is never compared.
            return Sample(name, enlarged(degraded, self.resolution), degraded, has_truth=False)
        if task is None:
            assert self.degraded is not None
            pixels = read_image(self.degraded[file]).pixels
            return Sample(name, clean, quantised(center_square(pixels, self.degraded_side)))
        kernel = None
        if isinstance(task, KnownKernel):
            kernel = task.drawn_kernel(rng_for(self.seed, name))
        clean, degraded = pair(task, clean, rng_for(self.seed, name))

        def again(image: Tensor) -> Tensor:
            return pair(task, image, rng_for(self.seed, name))[1]

        return Sample(name, quantised(clean), quantised(degraded), kernel, again)

    @property
    def degraded_side(self) -> int:
        """Pixels of a degraded image's side."""
        return -(-self.resolution // self.scale)

    def protocol(self) -> dict[str, str]:
        """How photographs become samples, in words."""
        side, small = self.resolution, self.degraded_side
        words = {
            "photographs": f"RGB, largest centred square, antialiased bicubic to {side}x{side}, "
            "8 bits",
        }
        if self.task is None and self.degraded is None:
            words["photographs"] = (
                "degraded as they are, RGB, largest centred square, antialiased bicubic to "
                f"{small}x{small}, 8 bits; without ground truth"
            )
            words["task"] = "not known"
        elif self.task is None:
            words["task"] = (
                f"pairs: degraded files of {small}x{small} as they are; those as large as their "
                f"photographs cropped to their largest centred square, antialiased bicubic to "
                f"{small}x{small}"
            )
        else:
            words["task"] = f"{task_words(self.task, side)}, seed {self.seed} and file name"
        if self.known is not None:
            pairs = f"{words['task']}; " if self.degraded is not None else ""
            words["task"] = (
                f"{pairs}taken for {task_words(self.known, side)}; degraded again as the mean of "
                f"{DRAWS} draws"
            )
        words["compared"] = (
            "every image clamped to [0, 1] and rounded to 8 bits, no border cut off"
        ) + (f"; degraded ones bicubically enlarged {self.scale} times" if self.scale > 1 else "")
        return words


def degraded_set(
    files: Sequence[Path], root: Path, resolution: int, task: TaskConfig, seed: int = 0
) -> TestSet:
    """Photographs that are degraded by a task on the fly.

    Raises:
        PluginError: there is no such task.
        ConfigError: its options cannot be right.
    """
    scale = create_task_at(task, resolution).scale
    return TestSet(files, root, resolution, task=task, scale=scale, seed=seed)


def paired_set(
    clean: Path,
    degraded: Path,
    resolution: int,
    *,
    scale: int | None = None,
    count: int | None = None,
    pattern: str = STEM,
    task: TaskConfig | None = None,
) -> TestSet:
    """Photographs with degraded images in another folder, one for each.

    Args:
        scale: how many times smaller the degraded images are; default: as the task makes them, or
            1.
        count: only the first ones.
        pattern: how the degraded images are called, see :func:`ugpnet_core.image.match_pairs`.
        task: as for :func:`real_set`.

    A degraded image has the size of its photograph divided by ``scale``, and is cropped and
    resized as that is; or it has the size that the set asks for, and is taken as it is.

    Raises:
        ImageError: a folder has no image, an image has no partner or several, or a degraded image
            another size; the message lists the first ten.
        PluginError, ConfigError: as :func:`real_set`.
    """
    if task is not None:
        scale = repeatable_scale(task, resolution, scale)
    scale = scale or 1
    every = match_pairs(clean, degraded, pattern)
    _refuse_several(every, pattern)
    pairs = every[:count]
    side = -(-resolution // scale)
    wrong = []
    for each in pairs:
        with suppress(ImageError):  # one that cannot be read is left out and named later
            size, whole = image_size(each.degraded), image_size(each.clean)
            if size != (side, side) and not _is_smaller(size, whole, scale):
                wrong.append(
                    f"{each.degraded} is {size[1]}x{size[0]} and its photograph "
                    f"{whole[1]}x{whole[0]}"
                )
    if wrong:
        times = f"{scale} times smaller than their photographs" if scale > 1 else "of that size"
        raise ImageError(
            f"Degraded images have to be {times}, or {side}x{side}: {listed(wrong)}; replace or "
            "remove them."
        )
    partners = {pair.clean: pair.degraded for pair in pairs}
    unused = [pair.clean for pair in every[len(pairs) :]]
    return TestSet(
        list(partners),
        clean,
        resolution,
        degraded=partners,
        scale=scale,
        unused=unused,
        known=task,
    )


def _refuse_several(pairs: Sequence[MatchedPair], pattern: str) -> None:
    counts = Counter(pair.name for pair in pairs)
    several = [name for name, count in counts.items() if count > 1]
    if several:
        raise ImageError(
            f"By the pattern {pattern!r} photographs have several degraded images, and are "
            f"measured with one: {listed(several)}; name one, as '{{stem}}_1'."
        )


def real_set(
    folder: Path,
    resolution: int,
    *,
    scale: int | None = None,
    count: int | None = None,
    task: TaskConfig | None = None,
) -> TestSet:
    """Photographs that are degraded, and of which nobody knows what they were.

    Args:
        scale: how many times larger they are to become; default: as the task makes them smaller, or
            1.
        count: only the first ones.
        task: what has degraded them, as far as anyone knows; results can be degraded by it again.

    Raises:
        ImageError: there is none.
        PluginError: there is no such task.
        ConfigError: its options cannot be right, it has another scale, or what it draws for an
            image is more than noise.
    """
    files = find_photographs(folder)
    if task is not None:
        scale = repeatable_scale(task, resolution, scale)
    return TestSet(
        files[:count],
        folder if folder.is_dir() else folder.parent,
        resolution,
        scale=scale or 1,
        unused=files[len(files[:count]) :],
        known=task,
    )


def _is_smaller(size: tuple[int, int], whole: tuple[int, int], scale: int) -> bool:
    """Whether an image has a photograph's size divided by ``scale``, rounded either way."""
    return all(
        side in (full // scale, -(-full // scale)) for side, full in zip(size, whole, strict=True)
    )


def find_photographs(folder: Path, count: int | None = None) -> list[Path]:
    """The images of a folder, recursively and sorted, or one image file.

    Raises:
        ImageError: there is none.
    """
    files = list_images([folder], recursive=True)[:count]
    if not files:
        raise ImageError(f"There is no image in {folder}; give a folder of photographs.")
    return files


def check_scale(test_set: TestSet, scale: int, of: str) -> None:
    """Refuse a set whose images a network would enlarge by another factor.

    Raises:
        ConfigError: the scales differ.
    """
    if test_set.scale != scale:
        raise ConfigError(
            f"Task {test_set.title!r} makes images {test_set.scale} times smaller and {of} "
            f"enlarges {scale} times; choose a task that fits the model."
        )


def task_words(task: TaskConfig, resolution: int) -> str:
    """A task's name and all its options, those left open included, as a protocol shows them."""
    entry = find(TaskEntry, task.name).entry
    fitted = {"resolution": resolution} if "resolution" in entry.options.model_fields else {}
    options = validate_options(entry, fitted | task.options)
    settings = ", ".join(f"{n} {value}" for n, value in options.items() if value is not None)
    return f"{task.name}{f' ({settings})' if settings else ''}"


def enlarged(image: Tensor, resolution: int) -> Tensor:
    """A degraded image (3, h, w) or (N, 3, h, w) at the photograph's size, 8-bit levels."""
    return quantised(resize(image, (resolution, resolution)))


def present(samples: Iterator[Sample | None]) -> Iterator[Sample]:
    """Samples without the gaps of files that were left out."""
    return cast("Iterator[Sample]", (sample for sample in samples if sample is not None))
