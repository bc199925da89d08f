"""``ugpnet evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ugpnet_core.cli.console import output, plain

Model = Annotated[str, typer.Option("-m", "--model", help="Name of a model, or a model file.")]
Data = Annotated[Path, typer.Option("--data", help="Folder of photographs, read recursively.")]
Task = Annotated[str | None, typer.Option("--task", help="Default: the model's own task.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of degradations and crops.")]
Count = Annotated[int | None, typer.Option("--count", min=1, help="Only the first N files.")]
Csv = Annotated[
    Path | None,
    typer.Option("--csv", help="Figures per image (default: evaluation-MODEL-TASK.csv)."),
]
Json = Annotated[Path | None, typer.Option("--json", help="Write a summary for programs.")]
Perceptual = Annotated[
    Path | None,
    typer.Option(
        "--perceptual-weights",
        help="Network of LPIPS and the Fréchet distance: a SqueezeNet 1.1 file, or a folder with "
        "vgg16*.pth. Default: UGPNET_PERCEPTUAL, else VGG16 in torch's cache.",
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps, ...")]
Baselines = Annotated[
    bool, typer.Option("--baselines", help="Also OpenCV's non-local means, at its best.")
]


def evaluate(
    model: Model,
    data: Data,
    task: Task = None,
    seed: Seed = 0,
    count: Count = None,
    csv: Csv = None,
    json: Json = None,
    perceptual_weights: Perceptual = None,
    device: Device = "auto",
    baselines: Baselines = False,
) -> None:
    """Measure a model on a folder of photographs, degraded with fixed seeds."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from ugpnet_core.config import TaskConfig
    from ugpnet_core.errors import ImageError
    from ugpnet_core.evaluation.evaluate import evaluate as run
    from ugpnet_core.evaluation.report import summary_table, write_csv, write_json
    from ugpnet_core.image import list_images
    from ugpnet_core.inference.restorer import choose_device
    from ugpnet_core.losses.perceptual import optional_perceptual
    from ugpnet_core.model_file import load_model

    files = list_images([data], recursive=True)[:count]
    if not files:
        raise ImageError(f"There is no image in {data}; give a folder of photographs.")
    perceptual, missing = optional_perceptual(perceptual_weights)
    network = load_model(model)
    # The task's name alone means the model's settings of it, where it is the model's own.
    other = TaskConfig(name=task) if task and task != network.config.task.name else None
    task_name = (other or network.config.task).name

    console = output()
    errors = Console(stderr=True, markup=False, highlight=False, emoji=False)
    with Progress(
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
    ) as bar:
        shown = bar.add_task("", total=len(files))
        result = run(
            network,
            files,
            root=data if data.is_dir() else data.parent,
            task=other,
            seed=seed,
            perceptual=perceptual,
            baselines=baselines,
            device=choose_device(device),
            progress=lambda stage, done, total: bar.update(
                shown, description=stage, completed=done, total=total
            ),
        )

    console.print("Protocol")
    for subject, words in result.protocol.items():
        console.print(f"  {subject}: {plain(words)}", soft_wrap=True)
    console.print(summary_table(result, perceptual))
    ratio = result.frechet_ratio()
    if ratio is not None:
        console.print(f"Fréchet distance of x_hat: {ratio:.2f} times that of x_reg.")
    if missing:
        console.print(f"LPIPS and Fréchet distance were not computed: {missing}", soft_wrap=True)
    csv = csv or Path(f"evaluation-{Path(model).stem}-{task_name}.csv")
    write_csv(result, csv)
    console.print(f"Per image: {csv}", soft_wrap=True)
    if json is not None:
        write_json(result, json, model=model, task=task_name, seed=seed, perceptual=perceptual)
        console.print(f"Summary: {json}", soft_wrap=True)
    for file, reason in result.problems:
        errors.print(f"left out {plain(file)}: {plain(reason)}", soft_wrap=True)
    if result.problems:
        raise typer.Exit(1)
