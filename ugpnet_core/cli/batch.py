"""A run over many files: what restore and degrade do alike before, while and after they work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ugpnet_core.cli.files import prepare, refuse_both, say
from ugpnet_core.cli.pipe import Piped
from ugpnet_core.cli.result_lines import left_out_record, print_record
from ugpnet_core.cli.telling import AGAIN, ANEW, SKIPPING, Telling, Words

if TYPE_CHECKING:
    from ugpnet_core.inference.outputs import Job, Naming
    from ugpnet_core.inference.turn import Result
    from ugpnet_core.inference.watching import Watch


class Work(Protocol):
    """What a command does with files; see :func:`ugpnet_core.inference.batch.restore_files`."""

    def __call__(
        self, jobs: Iterable[Job], *, skip_existing: bool, overwrite: bool
    ) -> Iterator[Result]:
        """Do it, and yield what became of each."""
        ...


@dataclass(frozen=True)
class Choices:
    """The options that say which files are worked on, and how that is told."""

    recursive: bool = False
    skip_existing: bool = False
    overwrite: bool = False
    as_json: bool = False


class Batch:
    """Files that were found and can be worked on.

    Raises:
        ConfigError: they cannot be called as asked, or a result would replace a file.
        ImageError: there is no image, or no place for results.
    """

    def __init__(self, words: Words, pipe: Piped, naming: Naming, choices: Choices) -> None:
        self._pipe, self._naming, self._choices = pipe, naming, choices
        planned = prepare(
            pipe.inputs,
            pipe.out,
            naming,
            recursive=choices.recursive,
            skip_existing=choices.skip_existing,
            overwrite=choices.overwrite,
        )
        self.jobs = planned.jobs
        for record in filter(None, map(left_out_record, planned.left_out)):
            if choices.as_json:
                print_record(record)
        self.telling = Telling(
            words,
            Path("standard output") if pipe.to_stdout else pipe.out,
            len(self.jobs),
            as_json=choices.as_json,
            silent=pipe.to_stdout,
            hidden=pipe.folder,
            going_on=ANEW if choices.overwrite else SKIPPING,
        )

    def run(self, work: Work, scale: int = 1) -> None:
        """Work on all of them, and tell how it ended.

        Args:
            scale: how many times longer the sides of results are.

        Raises:
            ImageError: the disk has too little room for the results.
            typer.Exit: with 1, a file failed; with 130, it was stopped.
        """
        from ugpnet_core.inference.outputs import existing
        from ugpnet_core.inference.place import check_room

        suffixes, choices = self._naming.suffixes, self._choices
        new = [job for job in self.jobs if not existing([job], suffixes)]
        for notice in check_room(new, scale, suffixes):
            say(f"note: {notice}")
        self.telling.follow(
            work(self.jobs, skip_existing=choices.skip_existing, overwrite=choices.overwrite)
        )
        if self._pipe.to_stdout:
            self._pipe.deliver(self.jobs[0].target)
        self.telling.close()


class WatchedBatch:
    """Files that go on coming into folders.

    Raises:
        ConfigError: what is to be watched is no folder, or results cannot go where they should.
        ImageError: nothing can be written there.
    """

    def __init__(self, words: Words, pipe: Piped, naming: Naming, choices: Choices) -> None:
        from ugpnet_core.inference.place import check_folders
        from ugpnet_core.inference.watching import Watch

        refuse_both(choices.skip_existing, choices.overwrite)
        self._watch = Watch(
            pipe.inputs,
            pipe.out,
            naming,
            recursive=choices.recursive,
            overwrite=choices.overwrite,
            skip_existing=choices.skip_existing,
        )
        check_folders([pipe.out])
        self._inputs = pipe.inputs
        self.telling = Telling(words, pipe.out, None, as_json=choices.as_json, going_on=AGAIN)

    def run(self, work: Work, scale: int = 1) -> None:
        """Work on what comes until somebody stops it.

        Raises:
            typer.Exit: with 130, it was stopped; with 1, the disk is full.
        """
        say(f"Watching {', '.join(map(str, self._inputs))} for new files; Ctrl-C ends it.")
        self.telling.run(_each(self._watch, work))


def _each(watch: Watch, work: Work) -> Iterator[Result]:
    for job, overwrite, skip_existing in watch.arrivals():
        for result in work([job], skip_existing=skip_existing, overwrite=overwrite):
            yield result
            if result.no_room:
                return
