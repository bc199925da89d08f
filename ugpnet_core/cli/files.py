"""What the commands that work on many files share: options, progress, the closing report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ugpnet_core.cli.console import output, plain
from ugpnet_core.errors import ImageError

if TYPE_CHECKING:
    from ugpnet_core.inference.batch import Result

T = TypeVar("T")

SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Leave out images whose results exist.")
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Take images in subfolders, too.")
]


def require(jobs: list[T], inputs: Sequence[Path]) -> list[T]:
    """The jobs, or an error that says where no image was found."""
    if not jobs:
        from ugpnet_core.image import EXTENSIONS

        raise ImageError(
            f"There is no image in {', '.join(map(str, inputs))} (of {' '.join(EXTENSIONS)}); "
            "give another folder, or --recursive to look into subfolders."
        )
    return jobs


def tracked(results: Iterable[Result], total: int, verb: str) -> Iterator[Result]:
    """Show progress on stderr while results come in, and failures as they happen."""
    from ugpnet_core.progress import Bar

    with Bar(verb, total) as bar:
        for result in results:
            if result.error:
                bar.say(f"error: {plain(result.error)}")
            for notice in result.notices:
                bar.say(plain(f"note: {result.job.source}: {notice}."))
            bar.advance()
            yield result


def report(results: Iterable[Result], done: str, out: Path) -> None:
    """Say how many files succeeded, name the others, and exit with status 1 if there are any."""
    every = list(results)
    failed = [result for result in every if result.error]
    skipped = sum(result.skipped for result in every)
    line = f"{len(every) - len(failed) - skipped} of {len(every)} images {done}: {out}"
    console = output()
    console.print(line + (f" ({skipped} skipped)" if skipped else ""), soft_wrap=True)
    looked = [result.faces for result in every if result.faces is not None]
    if looked:
        without = sum(faces == 0 for faces in looked)
        line = f"{sum(looked)} faces in {len(looked) - without} of {len(looked)} images"
        alone = "; the others were restored without the prior" if without else ""
        console.print(line + alone, soft_wrap=True)
    if failed:
        names = ", ".join(str(result.job.source) for result in failed)
        console.print(f"{len(failed)} failed: {plain(names)}", soft_wrap=True)
        raise typer.Exit(1)
