"""``ugpnet evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ugpnet_core.cli.console import output
from ugpnet_core.metrics.metric import ALL_METRICS, USUAL_METRICS

Model = Annotated[str, typer.Option("-m", "--model", help="Name of a model, or a model file.")]
Data = Annotated[Path, typer.Option("--data", help="Folder of photographs, read recursively.")]
Degraded = Annotated[
    Path | None,
    typer.Option(
        "--degraded", help="Folder of images that are degraded already, with the same names."
    ),
]
Pattern = Annotated[
    str | None,
    typer.Option("--pattern", help="How the degraded images are called: {stem}x4, {name}, ..."),
]
Task = Annotated[str | None, typer.Option("--task", help="Default: the model's own task.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of degradations and crops.")]
Count = Annotated[int | None, typer.Option("--count", min=1, help="Only the first N files.")]
Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", help="Folder for per-image.csv and summary.json (default: none)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON, for programs.")]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        help="Folder to write web pages to, which open from disk: all pictures with a slider "
        "between any two, sortable by every figure.",
    ),
]
Perceptual = Annotated[
    Path | None,
    typer.Option(
        "--perceptual-weights",
        help="Network of LPIPS and the Fréchet distance: a SqueezeNet 1.1 file, or a folder with "
        "vgg16*.pth. Default: UGPNET_PERCEPTUAL, else VGG16 in torch's cache.",
    ),
]
Inception = Annotated[
    str | None,
    typer.Option(
        "--inception",
        help="Network of the FID: a file pt_inception-2015-12-05-*.pth, or 'download'. Default: "
        "UGPNET_INCEPTION, else one in torch's cache; without, the FID is not computed.",
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        help=f"Figures, separated by commas, of {', '.join(ALL_METRICS)}. Default: "
        f"{','.join(USUAL_METRICS)}.",
    ),
]
Faces = Annotated[
    str, typer.Option("--faces", help="What measures identity and landmarks: dlib, or a plugin's.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps, ...")]
Baselines = Annotated[
    bool, typer.Option("--baselines", help="Also OpenCV's non-local means, at its best.")
]


def evaluate(
    model: Model,
    data: Data,
    degraded: Degraded = None,
    pattern: Pattern = None,
    task: Task = None,
    seed: Seed = 0,
    count: Count = None,
    out: Out = None,
    as_json: Json = False,
    report: Report = None,
    perceptual_weights: Perceptual = None,
    inception: Inception = None,
    metrics: Metrics = None,
    faces: Faces = "dlib",
    device: Device = "auto",
    baselines: Baselines = False,
) -> None:
    """Measure a model on a folder of photographs.

    They are degraded with fixed seeds, or with --degraded they have partners in another folder.
    Beside every mean stands an interval: how far it would move with other photographs.

    Example: ugpnet evaluate -m portraits-denoise --data photos --report report
    """
    from contextlib import nullcontext

    from ugpnet_core.cli.measuring import (
        degraded_photographs,
        find_networks,
        print_evaluation,
        print_problems,
    )
    from ugpnet_core.devices import choose_device, keep_memory
    from ugpnet_core.errors import ConfigError
    from ugpnet_core.evaluation.evaluate import evaluate_on, frechet_ratio
    from ugpnet_core.evaluation.photographs import find_photographs, paired_set
    from ugpnet_core.image.patterns import STEM
    from ugpnet_core.model_files.model import load_model
    from ugpnet_core.progress import Bar
    from ugpnet_core.reports.files import as_json as as_json_text
    from ugpnet_core.reports.files import summary_of, write_csv, write_json
    from ugpnet_core.reports.html import HtmlReport

    if degraded is not None and task is not None:
        raise ConfigError("--degraded images have been degraded already; leave out --task.")
    if degraded is None and pattern is not None:
        raise ConfigError("--pattern says how --degraded images are called; give these, too.")
    where = choose_device(device)
    keep_memory()
    chosen = USUAL_METRICS if metrics is None else [key.strip() for key in metrics.split(",")]
    networks = find_networks(perceptual_weights, inception, where, chosen, faces)
    files = None if degraded is not None else find_photographs(data, count)
    network = load_model(model)
    if degraded is not None:
        test_set = paired_set(
            data,
            degraded,
            network.resolution,
            scale=network.scale,
            count=count,
            pattern=pattern or STEM,
        )
    else:
        test_set = degraded_photographs(data, files or [], network, task, seed)

    console = output()
    folders = [folder for folder in (data, degraded) if folder is not None]
    pages = None if report is None else HtmlReport(report, Path(model).stem, folders)
    with pages or nullcontext(), Bar() as bar:
        result = evaluate_on(
            network,
            test_set,
            networks=networks,
            baselines=baselines,
            device=where,
            keep=pages.pictures(test_set.title) if pages else None,
            progress=bar,
        )
        if pages:
            pages.finish(result)
    ratio = frechet_ratio(result)
    summary = summary_of(
        result,
        model=model,
        seed=seed,
        more={
            "frechet_x_hat_over_x_reg": ratio,
            "non_local_means_strength": result.tuned.get("non-local means"),
        },
    )
    if out is not None:
        write_csv(result, out / "per-image.csv")
        write_json(summary, out / "summary.json")
    if as_json:
        print(as_json_text(summary).decode(), end="")
    else:
        print_evaluation(result, console)
        if ratio is not None:
            console.print(f"Fréchet distance of x_hat: {ratio:.2f} times that of x_reg.")
        if out is not None:
            console.print(f"Per image, and a summary: {out}", soft_wrap=True)
        if report is not None:
            console.print(f"Report: {report / 'index.html'}", soft_wrap=True)
    print_problems(result)
