"""``ugpnet ablate``."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ugpnet_core.cli.console import output

if TYPE_CHECKING:
    from ugpnet_core.studies.ablation.variants import Variant


def ablate(
    config: Annotated[
        Path, typer.Argument(help="Settings of the ablation, YAML; see examples/configs.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Settings to change: of the ablation (output=..., measuring.count=...), or of "
            "every training (restoration.iterations=500)."
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            "--variant",
            "--arm",
            metavar="NAME",
            help="Train this variant only (VARIANT, BACKBONE or BACKBONE/VARIANT) and measure "
            "nothing; repeatable.",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="To measure on: auto, cpu, cuda, mps, ...")
    ] = "auto",
) -> None:
    """Train variants of one model and measure them side by side.

    Studies of the paper: network-components (Table 3: without R_se and R_mg, with a fusion of
    images, and the full model) and initialisation (supplement S.5: random or pretrained R and G).
    An ablation names one of these, or has variants of its own: changes to a training
    configuration.

    Stages that are the same in several variants are trained once. Stop it at any moment and start
    it again: it goes on, and what is finished is skipped. The output folder gets table.md,
    table.tex, table.csv, per-image.csv and results.json, and the same in details for x_reg and
    x_syn as well.

    Example: ugpnet ablate examples/configs/ablate-components.yaml output=runs/table3
    """
    from ugpnet_core.studies.ablation.settings import read_ablation
    from ugpnet_core.studies.ablation.variants import base_training, chosen_variants, make_variants

    ablation = read_ablation(config, overrides or [])
    base = base_training(ablation)
    variants = make_variants(ablation)
    chosen = chosen_variants(variants, variant or [])

    from ugpnet_core.cli.measuring import find_networks, print_evaluation, print_problems
    from ugpnet_core.devices import choose_device, keep_memory
    from ugpnet_core.progress import Bar
    from ugpnet_core.reports.table_files import write_comparison
    from ugpnet_core.studies.ablation.measure import measure_variants, photographs_of, table_of
    from ugpnet_core.studies.ablation.train import check_variants, train_variants

    test_set = photographs_of(ablation, base)
    check_variants(chosen)
    if variant:
        keep_memory()  # not where memory is measured afterwards, too
    # Every process of several trains, and one of them speaks and measures.
    is_first = os.environ.get("RANK", "0") == "0"
    command = ["ugpnet", "ablate", str(config), *(overrides or [])]
    try:
        train_variants(
            chosen,
            variants,
            reuse=ablation.reuse,
            say=lambda text: typer.echo(text, err=True) if is_first else None,
        )
    except KeyboardInterrupt:
        words = command + [f"--variant={name}" for name in variant or []]
        typer.echo(f"Stopped. Go on with: {shlex.join(words)}", err=True)
        raise typer.Exit(130) from None
    if not is_first:
        return
    if variant:
        _say_what_is_next(variants, shlex.join(command))
        return
    measuring = ablation.measuring
    where = choose_device(device)
    perceptual = measuring.perceptual_weights or base.perceptual.weights
    networks = find_networks(perceptual, measuring.inception, where)
    with Bar() as bar:
        comparison = measure_variants(
            ablation, variants, test_set, networks=networks, device=where, progress=bar
        )
    console = output()
    table = table_of(comparison)
    for evaluation in table.evaluations:
        console.print(f"\n{evaluation.title}")
        print_evaluation(evaluation, console)
    write_comparison(table, ablation.output)
    write_comparison(comparison, ablation.output / "details")
    console.print(f"Tables: {ablation.output}; with x_reg and x_syn: its details", soft_wrap=True)
    problems = [problem for each in comparison.evaluations for problem in each.problems]
    print_problems(replace(comparison.evaluations[0], problems=tuple(dict.fromkeys(problems))))


def _say_what_is_next(variants: list[Variant], command: str) -> None:
    from ugpnet_core.studies.ablation.train import unfinished

    missing = unfinished(variants)
    what = f"Still to train: {', '.join(each.key for each in missing)}; then" if missing else "Now"
    output().print(f"{what} measure them with: {command}", soft_wrap=True)
