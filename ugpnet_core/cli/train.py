"""``ugpnet train`` and ``ugpnet config-schema``."""

from __future__ import annotations

import json
import os
import shlex
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ugpnet_core.training.stopping import Stop, Stopped


class StageChoice(str, Enum):
    """What ``--stage`` takes."""

    all = "all"
    prior = "prior"
    restoration = "restoration"
    synthesis = "synthesis"
    fusion = "fusion"


def train(
    config: Annotated[
        Path, typer.Argument(help="Training configuration, YAML; see examples/configs.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Settings to change, for instance fusion.iterations=500."),
    ] = None,
    stage: Annotated[
        StageChoice, typer.Option(help="Train this stage only; those before it must be finished.")
    ] = StageChoice.all,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what was begun in the output folder.")
    ] = False,
    extend: Annotated[
        bool,
        typer.Option(
            "--extend",
            help="Train finished stages on whose settings have changed: more iterations, counted "
            "from the beginning, with their optimisers.",
        ),
    ] = False,
    reuse: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Output of another training, whose finished stages are reused where settings "
            "and inputs are the same; repeatable.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Stop before N minutes are over, with a checkpoint and exit status 3.",
        ),
    ] = None,
) -> None:
    """Train a UGPNet on photographs: restoration, synthesis, fusion (paper 3.4).

    Photographs come from folders or shards (ugpnet shards) and are degraded on the fly, or from
    pairs of folders, clean and degraded. Everything is written to the output folder of the
    configuration: checkpoints, sample pictures, TensorBoard scalars, and at the end one model
    file. Stop it at any moment and start it again with --resume: the result is the same. A
    finished stage is skipped. SIGTERM and SIGUSR1, which batch queues send, end the current step,
    write a checkpoint and exit with status 3, as --minutes does in time.

    Several GPUs: accelerate launch --multi_gpu --num_processes 8 -m ugpnet_core.cli train CONFIG,
    or torchrun --nproc_per_node 8 -m ugpnet_core.cli train CONFIG; on CPUs the same (--multi_gpu
    too), after export ACCELERATE_USE_CPU=true. batch_size is that of each process.

    Example: ugpnet train examples/configs/small.yaml output=runs/mine --resume
    """
    stop = Stop(minutes)  # first of all: the minutes count, and signals come at any time
    try:
        with stop.listening():
            from ugpnet_core.config_files import read_config

            settings = read_config(config, overrides or [])
            from ugpnet_core.devices import keep_memory
            from ugpnet_core.training.run import train as run

            keep_memory()
            run(
                settings,
                stage.value,
                resume=resume,
                extend=extend,
                reuse=reuse or [],
                stop=stop,
                say=lambda text: typer.echo(text, err=True),
            )
    except KeyboardInterrupt as end:
        words = ["ugpnet", "train", str(config), *(overrides or []), "--resume"]
        if stage is not StageChoice.all:
            words += ["--stage", stage.value]
        words += ["--extend"] if extend else []
        words += [f"--reuse={folder}" for folder in reuse or ()]
        if minutes is not None:
            words.append(f"--minutes={minutes:g}")
        what, status = (f"Unfinished: {end}", 3) if isinstance(end, Stopped) else ("Stopped", 130)
        if os.environ.get("RANK", "0") == "0":
            typer.echo(f"{what}. Go on with: {shlex.join(words)}", err=True)
        raise typer.Exit(status) from None


def config_schema() -> None:
    """Print the JSON schema of training configurations, for completion in editors.

    Example: ugpnet config-schema > ugpnet-train.schema.json, and name that file in the first
    line of a configuration: # yaml-language-server: $schema=ugpnet-train.schema.json
    """
    from ugpnet_core.config_files import config_schema as schema

    typer.echo(json.dumps(schema(), indent=2))
