"""``ugpnet compare``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ugpnet_core.cli.console import output


def compare(
    config: Annotated[
        Path, typer.Argument(help="Comparison, YAML; see examples/configs/compare.yaml.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Settings to change, for instance data.count=20."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write an HTML report with all images here.")
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(
            "--inputs",
            help="Write the degraded images of all tasks here, for other programs, and stop.",
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps, ...")] = "auto",
) -> None:
    """Compare methods on tasks and sets of photographs, in tables and pictures.

    Tables 1 and 2 and Figs. 4 to 7 of the paper are such comparisons (examples/configs).

    A method is a part of a trained model (x_reg, x_syn, x_hat), a backbone with its published
    weights, any network that spandrel recognises in a checkpoint, a folder of results that another
    program made (of what --inputs writes), or a classical one. The output folder gets table.md,
    table.tex, table.csv, per-image.csv, results.json and figures. A method that fails leaves an
    empty row, and the exit status is 1. A comparison that was stopped goes on where it was when the
    command is given again. A model with several fidelities is drawn as a curve
    (examples/configs/fidelity.yaml), and several sets of photographs show what becomes of a model
    out of the domain of its prior (examples/configs/out-of-domain.yaml).

    Example: ugpnet compare examples/configs/compare.yaml data.photographs=[photos] data.count=20
    """
    from ugpnet_core.cli.measuring import find_networks, print_evaluation, print_problems
    from ugpnet_core.config_files import read_settings
    from ugpnet_core.devices import choose_device
    from ugpnet_core.progress import Bar
    from ugpnet_core.reports.domains import conclusion
    from ugpnet_core.studies.compare_files import compare_into_folder
    from ugpnet_core.studies.inputs import write_inputs
    from ugpnet_core.studies.settings import CompareConfig

    settings = read_settings(CompareConfig, config, overrides or [])
    if inputs is not None:
        for folder in write_inputs(settings, inputs):
            output().print(f"Degraded images: {folder / 'degraded'}", soft_wrap=True)
        return
    where = choose_device(device)
    networks = find_networks(
        settings.perceptual_weights, settings.inception, where, settings.metrics, settings.faces
    )
    with Bar() as bar:
        result = compare_into_folder(settings, networks, where, report=report, progress=bar)
    console = output()
    for evaluation in result.evaluations:
        console.print(f"\n{evaluation.title}")
        print_evaluation(evaluation, console)
    for study in result.domains:
        console.print(f"{study.task}: {conclusion(study)}", soft_wrap=True)
    console.print(f"Tables and figures: {settings.output}", soft_wrap=True)
    if report is not None:
        console.print(f"Report: {report / 'index.html'}", soft_wrap=True)
    problems = tuple(
        replace(problem, file=f"{each.title}: {problem.file}".removesuffix(": "))
        for each in result.evaluations
        for problem in each.problems
    )
    findings = tuple(
        replace(finding, file=f"{each.title}: {finding.file}".removesuffix(": "))
        for each in result.evaluations
        for finding in each.findings
    )
    print_problems(replace(result.evaluations[0], problems=problems, findings=findings))
