"""``ugpnet restore``: photographs in, better ones out."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import typer

from ugpnet_core.cli.default_model import DEFAULT_MODEL
from ugpnet_core.cli.files import Recursive, SkipExisting, report, require, tracked
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
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Images and folders.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the results, or a file for one image.")
    ],
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
    skip_existing: SkipExisting = False,
    recursive: Recursive = False,
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

    Example: ugpnet restore photos -o restored --background keep
    """
    if engine is EngineChoice.ray:
        from ugpnet_core.cli.cluster import restore_on_cluster
        from ugpnet_core.engines.worker import Settings

        if save_all or check or device != "auto":
            raise ConfigError("--engine ray knows no --save-all, --check and --device.")
        restore_on_cluster(
            inputs,
            out,
            model,
            Settings(_tile(tile), fidelity, faces.value, background.value, precision.value),
            workers=workers,
            recursive=recursive,
            skip_existing=skip_existing,
        )
        return

    from ugpnet_core.devices import keep_memory
    from ugpnet_core.engines.choice import choose_engine
    from ugpnet_core.inference.batch import further_results, restore_files
    from ugpnet_core.inference.outputs import plan
    from ugpnet_core.inference.restorer import Restorer

    suffixes = further_results(save_all, check)
    jobs = require(plan(inputs, out, recursive=recursive, suffixes=suffixes), inputs)
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
    results = restore_files(
        restorer, jobs, save_all=save_all, check=check, skip_existing=skip_existing
    )
    report(tracked(results, len(jobs), "Restoring"), "restored", out)


def _tile(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    try:
        return int(text)
    except ValueError as error:
        raise typer.BadParameter(f"'auto' or a number of pixels, not {text!r}.") from error
