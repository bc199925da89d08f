"""``ugpnet export``: a model as a file that other programs run."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ugpnet_core.cli.console import output, plain


class FormatChoice(str, Enum):
    """What ``--format`` takes."""

    onnx = "onnx"
    torch = "torch"


class PartChoice(str, Enum):
    """What ``--part`` takes."""

    whole = "whole"
    restoration = "restoration"


def export(
    model: Annotated[str, typer.Argument(help="Name (see list-models) or model file.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file: .onnx or .pt2.")],
    format: Annotated[
        FormatChoice | None,
        typer.Option(help="torch is torch.export's; default: by the file's suffix."),
    ] = None,
    part: Annotated[
        PartChoice,
        typer.Option(
            help="whole: x_hat, x_reg, x_syn at the model's resolution; restoration: x_reg, "
            "any size."
        ),
    ] = PartChoice.whole,
) -> None:
    """Write a model as an ONNX or torch.export file, and compare it with torch.

    The batch is free, and so are the sides for --part restoration. The file is opened again and
    must give the same to 1e-3; how long it takes is printed beside torch's time. What it takes and
    gives stands in its metadata: docs/deployment.md.

    Example: ugpnet export portraits -o portraits.onnx
    """
    from ugpnet_core.engines.export import export_model
    from ugpnet_core.errors import ConfigError
    from ugpnet_core.inference.outputs import same_file
    from ugpnet_core.model_files.finding import find_model_file

    if same_file(find_model_file(model), out):
        raise ConfigError(f"{out} is the model itself and would be overwritten; choose another -o.")
    made = export_model(
        model, out, format=None if format is None else format.value, part=part.value
    )
    facts = made.facts
    side = str(facts.side) if facts.side else f"multiples of {facts.multiple}"
    gives = "x_hat, x_reg, x_syn" if facts.part == "whole" else "x_reg"
    for line in (
        f"{made.path}: {made.path.stat().st_size / 1e6:.1f} MB, RGB in [0, 1]",
        f"x (batch, 3, {side}, {side}) to {gives}, {facts.scale} times as large",
        f"largest difference from torch: {made.apart:.1e}",
        f"{made.shape[3]}x{made.shape[2]} pixels: {made.seconds:.3f} s, torch "
        f"{made.torch_seconds:.3f} s",
    ):
        output().print(plain(line), soft_wrap=True)
