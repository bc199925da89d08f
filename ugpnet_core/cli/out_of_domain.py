"""``ugpnet out-of-domain``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ugpnet_core.cli.console import output
from ugpnet_core.cli.evaluate import Count, Data, Device, Inception, Model, Perceptual, Seed, Task

OutOfDomain = Annotated[
    Path,
    typer.Option("--out-of-domain", help="Folder of photographs unlike those of --data."),
]
Out = Annotated[
    Path, typer.Option("-o", "--out", help="Folder for out-of-domain.md, .json and .png.")
]
Pictures = Annotated[
    int,
    typer.Option("--pictures", min=1, help="Photographs of each folder that are shown."),
]


def out_of_domain(
    model: Model,
    data: Data,
    out_of_domain: OutOfDomain,
    out: Out,
    pictures: Pictures = 4,
    task: Task = None,
    seed: Seed = 0,
    count: Count = None,
    perceptual_weights: Perceptual = None,
    inception: Inception = None,
    device: Device = "auto",
) -> None:
    """See what becomes of a model out of the domain of its prior (Fig. 7 of the paper).

    Measures x_reg, x_syn and x_hat on two folders: photographs of what the prior learned, and
    others. How much x_hat gains over x_syn, in and out of domain, tells how robust the fusion is
    where the synthesis fails. Of both folders, the centred square is resized to the model's size.

    Example: ugpnet out-of-domain -m portraits-denoise --data portraits --out-of-domain animals
    -o study
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
    from ugpnet_core.studies.out_of_domain import out_of_domain_study
    from ugpnet_core.studies.out_of_domain_files import conclusion, write_study

    where = choose_device(device)
    networks = find_networks(perceptual_weights, inception, where)
    files = {folder: find_photographs(folder, count) for folder in (data, out_of_domain)}
    network = load_model(model)
    inside, outside = (
        degraded_photographs(folder, files[folder], network, task, seed)
        for folder in (data, out_of_domain)
    )
    with Bar() as bar:
        study = out_of_domain_study(
            network,
            inside,
            outside,
            networks=networks,
            device=where,
            pictured=pictures,
            progress=bar,
        )
    console = output()
    for name, domain in (("In domain", study.inside), ("Out of domain", study.outside)):
        console.print(name)
        print_evaluation(domain.evaluation, console)
    console.print(conclusion(study), soft_wrap=True)
    paths = write_study(study, out, model=model, seed=seed)
    console.print(f"Written: {', '.join(map(str, paths))}", soft_wrap=True)
    problems = (*study.inside.evaluation.problems, *study.outside.evaluation.problems)
    print_problems(replace(study.inside.evaluation, problems=problems))
