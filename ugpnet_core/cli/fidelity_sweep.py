"""``ugpnet fidelity-sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ugpnet_core.cli.console import output
from ugpnet_core.cli.evaluate import Count, Data, Device, Inception, Model, Perceptual, Seed, Task

Out = Annotated[
    Path, typer.Option("-o", "--out", help="Folder for fidelity.csv, .json, .png and .svg.")
]
Steps = Annotated[
    int, typer.Option("--steps", min=1, help="Into how many parts 0 to 1 is divided.")
]


def fidelity_sweep(
    model: Model,
    data: Data,
    out: Out,
    steps: Steps = 10,
    task: Task = None,
    seed: Seed = 0,
    count: Count = None,
    perceptual_weights: Perceptual = None,
    inception: Inception = None,
    device: Device = "auto",
) -> None:
    """Draw a model's perception-distortion curve: from x_hat to x_reg in steps of --fidelity.

    Measures (1 - t) x_hat + t x_reg for t from 0 to 1 on a folder of photographs, and writes every
    number with its interval, and LPIPS and Fréchet distances against PSNR as a plot. It shows which
    --fidelity of "ugpnet restore" gives what. Needs matplotlib: pip install ugpnet-core[figures].

    Example: ugpnet fidelity-sweep -m portraits-denoise --data photos -o curve
    """
    from ugpnet_core.cli.measuring import (
        Bar,
        degraded_photographs,
        find_networks,
        print_evaluation,
        print_problems,
    )
    from ugpnet_core.evaluation.photographs import find_photographs
    from ugpnet_core.inference.restorer import choose_device
    from ugpnet_core.model_files.model import load_model
    from ugpnet_core.studies.fidelity import fidelity_sweep as sweep
    from ugpnet_core.studies.fidelity_files import (
        check_plot,
        plot_sweep,
        write_sweep_csv,
        write_sweep_json,
    )

    where = choose_device(device)
    networks = find_networks(perceptual_weights, inception, where)
    check_plot(networks.metrics)
    files = find_photographs(data, count)
    network = load_model(model)
    test_set = degraded_photographs(data, files, network, task, seed)
    with Bar() as bar:
        curve = sweep(
            network,
            test_set,
            fidelities=[step / steps for step in range(steps + 1)],
            networks=networks,
            device=where,
            progress=bar,
        )
    console = output()
    print_evaluation(curve.evaluation, console)
    write_sweep_csv(curve, out / "fidelity.csv")
    write_sweep_json(curve, out / "fidelity.json", model=model, seed=seed)
    plot_sweep(curve, [out / "fidelity.png", out / "fidelity.svg"])
    console.print(f"Curve: {out / 'fidelity.png'}, with .svg, .csv and .json", soft_wrap=True)
    print_problems(curve.evaluation)
