"""``ugpnet restore``: photographs in, better ones out."""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import Annotated, Literal

import typer

from ugpnet_core.cli.batch import Batch, Choices, WatchedBatch
from ugpnet_core.cli.default_model import DEFAULT_MODEL
from ugpnet_core.cli.files import (
    AsJson,
    Extension,
    InputOption,
    Inputs,
    Out,
    Overwrite,
    Recursive,
    SkipExisting,
    Suffix,
    named_inputs,
)
from ugpnet_core.cli.pipe import piped
from ugpnet_core.cli.stopping import stoppable
from ugpnet_core.cli.telling import RESTORING
from ugpnet_core.errors import ConfigError


class FacesChoice(str, Enum):
    """What ``--faces`` takes."""

    auto = "auto"
    off = "off"


class PrecisionChoice(str, Enum):
    """What networks compute in."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class EngineChoice(str, Enum):
    """What computes."""

    torch = "torch"
    onnx = "onnx"
    ray = "ray"


class BackgroundChoice(str, Enum):
    """What ``--background`` takes."""

    restore = "restore"
    keep = "keep"


def restore(
    out: Out,
    inputs: Inputs = None,
    more_inputs: InputOption = None,
    model: Annotated[
        str, typer.Option("-m", "--model", help="Name (see list-models) or model file.")
    ] = DEFAULT_MODEL,
    faces: Annotated[
        FacesChoice,
        typer.Option(help="auto: faces get believable detail; off: nothing is invented."),
    ] = FacesChoice.auto,
    background: Annotated[
        BackgroundChoice, typer.Option(help="keep: change faces only, leave all else as it came.")
    ] = BackgroundChoice.restore,
    save_all: Annotated[
        bool,
        typer.Option("--save-all", help="Write NAME_reg.png and NAME_syn.png (x_reg, x_syn), too."),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Degrade each result again, compare it with its input, and write a heat map of "
            "where they disagree, NAME_check.png.",
        ),
    ] = False,
    fidelity: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="0: the restored image; 1: the plain regression."),
    ] = 0.0,
    tile: Annotated[
        str,
        typer.Option(
            metavar="auto|N",
            help="Pixels of a side that are computed at once; less needs less memory.",
        ),
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[
        PrecisionChoice,
        typer.Option(help="auto: bfloat16 where the device has it, which is faster."),
    ] = PrecisionChoice.auto,
    suffix: Suffix = "",
    ext: Extension = None,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of JPEG and WebP.")] = 95,
    strip_metadata: Annotated[
        bool,
        typer.Option(
            "--strip-metadata", help="Leave out EXIF, places, captions; the colour profile stays."
        ),
    ] = False,
    skip_existing: SkipExisting = False,
    overwrite: Overwrite = False,
    recursive: Recursive = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Wait for new files in folders, such as a scanner's, until Ctrl-C; what is there "
            "and has no result is restored first.",
        ),
    ] = False,
    as_json: AsJson = False,
    engine: Annotated[
        EngineChoice,
        typer.Option(
            help="onnx: onnxruntime, with -m FILE.onnx or a model that is exported first; ray: the "
            "machines of a cluster (docs/scale.md)."
        ),
    ] = EngineChoice.torch,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Of --engine ray (default: for each GPU, or every two cores)."),
    ] = None,
) -> None:
    """Restore photographs, of any size and content, with a trained model.

    The regression network restores the whole photograph; faces are found, and the generative prior
    adds believable detail to them. What is clean stays as it is, grey stays grey, and colours stay.
    Where a photograph is not what the model was made for, a note says so and more of it is kept.

    In a folder, files are images by their content, whatever they are called; what is left out is
    said. Results are called like their files. No file is replaced unless --overwrite says so. After
    Ctrl-C, the same command with --skip-existing goes on.

    Examples: ugpnet restore photos -o restored --background keep

    ugpnet restore photos -o photos --suffix _restored --ext jpg --quality 90

    cat a.jpg | ugpnet restore - -o - > b.jpg

    ugpnet restore scans -o restored --watch
    """
    if engine is EngineChoice.ray:
        from ugpnet_core.cli.cluster import restore_on_cluster
        from ugpnet_core.engines.worker import Settings

        if (
            save_all
            or check
            or watch
            or as_json
            or strip_metadata
            or suffix
            or ext
            or quality != 95
        ):
            raise ConfigError(
                "--engine ray knows no --save-all, --check, --watch, --json, --strip-metadata, "
                "--suffix, --ext and --quality."
            )
        restore_on_cluster(
            named_inputs(inputs, more_inputs),
            out,
            model,
            Settings(_tile(tile), fidelity, faces.value, background.value, precision.value),
            device=device,
            workers=workers,
            recursive=recursive,
            overwrite=overwrite,
            skip_existing=skip_existing,
        )
        return
    with (
        stoppable(),
        piped(
            named_inputs(inputs, more_inputs), out, alone=not (save_all or check), as_json=as_json
        ) as pipe,
    ):
        from ugpnet_core.devices import keep_memory
        from ugpnet_core.engines.choice import choose_engine
        from ugpnet_core.inference.batch import further_results, restore_files
        from ugpnet_core.inference.outputs import Naming
        from ugpnet_core.inference.restorer import Restorer

        naming = Naming(further_results(save_all, check), suffix, ext)
        choices = Choices(recursive, skip_existing, overwrite, as_json)
        batch = (WatchedBatch if watch else Batch)(RESTORING, pipe, naming, choices)
        keep_memory()
        chosen = choose_engine(
            "onnx" if engine is EngineChoice.onnx else "torch",
            model,
            device=device,
            faces=faces.value,
            say=lambda text: typer.echo(f"note: {text}", err=True),
        )
        restorer = Restorer(
            chosen.model,
            device=chosen.device,
            tile=_tile(tile),
            fidelity=fidelity,
            faces=chosen.faces,
            background=background.value,
            precision=precision.value,
        )

        restorer.on_tile = batch.telling.part
        batch.run(
            partial(
                restore_files,
                restorer,
                save_all=save_all,
                check=check,
                quality=quality,
                strip=strip_metadata,
            ),
            restorer.scale,
        )


def _tile(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    try:
        return int(text)
    except ValueError as error:
        raise typer.BadParameter(f"'auto' or a number of pixels, not {text!r}.") from error
