"""What the commands that work on many files share: their options, and what is done before work."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ugpnet_core.cli.console import plain
from ugpnet_core.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from ugpnet_core.image.listing import LeftOut
    from ugpnet_core.inference.outputs import Job, Naming, Plan

SHOWN = 3


def _path(text: str | Path) -> Path:
    """A path as it was typed; an empty one is a shell variable that nobody has set, and no name of
    the present folder."""
    if text == "":
        raise typer.BadParameter("an empty name; give a file or a folder.")
    path = Path(text)
    # A file of this name, ``./-``, is no standard stream.
    return path.absolute() if text != "-" and str(path) == "-" else path


Inputs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="INPUT...", help="Images and folders; - is standard input.", parser=_path
    ),
]
InputOption = Annotated[
    list[Path] | None,
    typer.Option(
        "-i", "--input", metavar="<path>", help="An input, too; repeatable.", parser=_path
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "-o",
        "--out",
        "--output",
        metavar="<path>",
        parser=_path,
        help="Folder for the results, a file for one image, or - for standard output.",
    ),
]
Suffix = Annotated[
    str, typer.Option(help="What names of results get before the extension, such as _restored.")
]
Extension = Annotated[
    str | None,
    typer.Option(
        "--ext",
        help="Format of all results: png, jpg, webp, tif, bmp (default: that of the file, and png "
        "for what is not written, such as HEIC).",
    ),
]
SkipExisting = Annotated[
    bool,
    typer.Option(
        "--skip-existing", help="Leave out images whose results exist; goes on after a stop."
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace files that have the names of results; without it, and without "
        "--skip-existing, there must be none.",
    ),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Take images in subfolders, too.")
]
AsJson = Annotated[
    bool, typer.Option("--json", help="A line of JSON for each image on standard output.")
]


def named_inputs(positional: list[Path] | None, by_option: list[Path] | None) -> list[Path]:
    """The inputs, however they were given.

    Raises:
        ConfigError: there are none.
    """
    inputs = [*(by_option or ()), *(positional or ())]
    if not inputs:
        raise ConfigError("There is no input; give images or folders, or - for standard input.")
    return inputs


def prepare(
    inputs: Sequence[Path],
    out: Path,
    naming: Naming,
    *,
    recursive: bool = False,
    skip_existing: bool = False,
    overwrite: bool = False,
) -> Plan:
    """Find the files, say what was left out, and see that the results have a place.

    Raises:
        ConfigError: a result would replace a file that nobody said may be replaced, or cannot be
            called as asked.
        ImageError: there is no image, or nothing can be written to ``out``.
    """
    from ugpnet_core.inference.outputs import plan_files
    from ugpnet_core.inference.place import check_folders

    refuse_both(skip_existing, overwrite)
    planned = plan_files(inputs, out, naming, recursive=recursive)
    require(planned.jobs, inputs, planned.left_out)
    if not (skip_existing or overwrite):
        _refuse_existing(planned.jobs, naming.suffixes)
    check_folders(job.target.parent for job in planned.jobs)
    if planned.left_out:
        say(f"left out: {_told(planned.left_out)}")
    return planned


def refuse_both(skip_existing: bool, overwrite: bool) -> None:
    """Refuse what cannot be meant together."""
    if skip_existing and overwrite:
        raise ConfigError(
            "--skip-existing keeps results that exist and --overwrite replaces them; give one."
        )


def require(jobs: Sequence[Job], inputs: Sequence[Path], left_out: Sequence[LeftOut]) -> None:
    """Raise an error that says where no image was found, and what was there instead."""
    if jobs:
        return
    where = ", ".join(map(str, inputs))
    if left_out:
        raise ImageError(
            f"There is no image to take in {where} (left out: {_told(left_out)}); give another "
            "folder, or --recursive to look into subfolders."
        )
    raise ImageError(f"There is no image in {where}, which is empty; give another folder.")


def say(text: str) -> None:
    """Print a line on stderr that is safe to show."""
    print(plain(text), file=sys.stderr)


def _told(left_out: Sequence[LeftOut]) -> str:
    from ugpnet_core.image.listing import told

    return told(left_out)


def _refuse_existing(jobs: Sequence[Job], suffixes: Sequence[str]) -> None:
    from ugpnet_core.inference.outputs import existing

    there = existing(jobs, suffixes)
    if there:
        more = f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
        raise ConfigError(
            f"{', '.join(map(str, there[:SHOWN]))}{more} would be overwritten; give "
            "--skip-existing (leave those out), --suffix _restored (other names), --overwrite "
            "(replace them), or another -o."
        )
