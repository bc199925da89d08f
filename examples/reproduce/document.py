"""docs/results.md: tables, figures, how they were made, and whether the paper's order shows."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from examples.reproduce import plan
from examples.reproduce.split import CHOOSING
from examples.reproduce.tables import (
    Row,
    cost_table,
    markdown,
    quality_table,
    read_record,
    read_rows,
)

TITLES = {
    "denoise": "(a) Denoising",
    "deblur": "(b) Deblurring",
    "sr8": "(c) Super-resolution, 8x",
}


def write_document(place: plan.Place, path: Path) -> None:
    """Write the document, and the figures into a folder of its name beside it."""
    pictures = path.with_suffix("")
    shutil.rmtree(pictures, ignore_errors=True)
    pictures.mkdir(parents=True)
    rows = read_rows(place.runs / "compare" / "table.csv")
    record = read_record(place.runs / "compare" / "results.json")
    lines = [
        *_introduction(place, record),
        *_table_1(place, rows, pictures),
        *_table_2(rows, record),
        *_components(place),
        *_adapters(place),
        *_initialisation(place),
        *_out_of_domain(place, pictures),
        *_fidelity(place, pictures),
        *_protocol(record),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _introduction(place: plan.Place, record: dict[str, Any]) -> list[str]:
    count = record["tasks"][0]["count"]
    natural = "" if place.natural is None else " NATURAL=FOLDER"
    return [
        "# The paper's experiments in small",
        "",
        "This file is written by one command, which trains and measures everything in it:",
        "",
        "```text",
        f"make reproduce DATA=FOLDER PERCEPTUAL=squeezenet1_1_features.safetensors{natural}",
        "```",
        "",
        f"`DATA` holds the folders `train` ({_learned_from(place):,} portraits here) and `val` "
        f"({count + CHOOSING} portraits of other people). Every image has {plan.SIDE}x{plan.SIDE} "
        "pixels, every network is narrow "
        f"([`{plan.RECIPE.name}`](../examples/configs/{plan.RECIPE.name})), and everything ran on "
        "two CPU cores. What can be compared with the paper is the order of the methods and the "
        "size of the steps between them, not the figures themselves: those of the paper are of 512 "
        "pixels, of networks with 20 times the parameters, and of VGG and Inception features where "
        "a SqueezeNet stands in here.",
        "",
        f"All trainings and measurements have seed {plan.SEED}; a training uses one thread "
        f"(and {_precision(place)} here), so that the same machine gives the same bits. "
        "[`examples/reproduce/plan.py`](../examples/reproduce/plan.py) has every setting that "
        "differs from the recipe, and the run prints the `ugpnet` command of every step. Made with "
        f"ugpnet-core {version('ugpnet-core')} and torch {record['versions']['torch']}. In "
        "brackets: 95 % intervals.",
        "",
        f"{CHOOSING} portraits of `val`, spread evenly over it, chose the best iteration of the "
        f"restoration and fusion stages by PSNR. The other {count} are measured on; nothing was "
        "learned from them, and they chose nothing.",
        "",
        *_minutes(place),
        "",
    ]


def _minutes(place: plan.Place) -> list[str]:
    """How long the stages took, from the records inside the model files."""
    from ugpnet_core.model_files.prior import read_prior

    cells = [["training", "restoration", "fusion", "validation PSNR of x_reg, x_hat"]]
    for task, backbones in plan.TASKS.items():
        for backbone in backbones:
            stages = _stages(place.model(task, backbone))
            cells.append(
                [
                    f"{task}, {backbone}",
                    *(f"{stages[name]['minutes']:.0f} min" for name in ("restoration", "fusion")),
                    f"{stages['restoration']['validation_psnr']:.2f}, "
                    f"{stages['fusion']['validation_psnr']:.2f} dB",
                ]
            )
    prior = read_prior(place.prior, "stylegan2")
    facts = prior.facts["trained"] if prior is not None else {}
    shared = _of_stage(place.synthesis)
    baselines = [
        _stages(place.model(task, idea))["synthesis"]
        for task in plan.TASKS
        for idea in plan.BASELINES.values()
    ]
    return [
        f"The prior, a StyleGAN2 of {plan.SIDE} pixels, was trained on the same portraits first "
        f"({plan.PRIOR['iterations']:,} iterations, {facts.get('minutes', 0):.0f} min). From it "
        "start one synthesis module, which serves all models and learned from what their "
        f"restoration modules make of their tasks in turn ({shared['images']:,} images, "
        f"{shared['minutes']:.0f} min), and two generative baselines a task "
        f"({baselines[0]['images']:,} images each, "
        f"{sum(one['minutes'] for one in baselines):.0f} min in all), with the same encoder, prior "
        "and losses ([baselines.md](baselines.md)). (Other work shared the machine, so the minutes "
        "are upper bounds.)",
        "",
        *markdown(cells),
    ]


def _stages(model: Path) -> Mapping[str, Any]:
    from ugpnet_core.model_files.model import read_card

    stages: Mapping[str, Any] = read_card(model).record["stages"]
    return stages


def _of_stage(path: Path) -> Mapping[str, Any]:
    from ugpnet_core.checkpoints.file import read_checkpoint_file
    from ugpnet_core.model_files.stage_results import read_stage_result

    result = read_stage_result(read_checkpoint_file(path))
    if result is None:
        raise ValueError(f"{path} is not what a stage of a training wrote.")
    return result.record


def _precision(place: plan.Place) -> str:
    from ugpnet_core.model_files.model import read_card

    return str(read_card(place.model(*plan.STUDIED)).record["settings"]["precision"])


def _learned_from(place: plan.Place) -> int:
    from ugpnet_core.image import list_images

    return len(list_images([place.data / "train"], recursive=True))


_STAGES = ("restoration", "synthesis", "fusion")


def _table_1(place: plan.Place, rows: Sequence[Row], pictures: Path) -> list[str]:
    lines = ["## Table 1: restoration quality", ""]
    for task in plan.TASKS:
        mine = [row for row in rows if row.task == task]
        lines += [f"### {TITLES[task]}", "", *quality_table(mine, grouped=True), ""]
        for backbone in plan.TASKS[task]:
            lines += [_order(mine, backbone), ""]
        made = sorted((place.runs / "compare" / "figures" / task).glob("*.png"))
        for number, figure in enumerate(made[:2], 1):
            target = pictures / f"{task}-{number}.png"
            shutil.copyfile(figure, target)
            lines += [f"![{task}: methods side by side]({pictures.name}/{target.name})", ""]
    return lines


def _order(rows: Sequence[Row], backbone: str) -> str:
    """Whether PSNR falls from regression over UGPNet to synthesis, and what becomes of the
    Fréchet distance."""
    by_name = {row.method: row.numbers for row in rows}
    regression, synthesis, ours = (
        by_name[name] for name in (backbone, f"synthesis on {backbone}", f"UGPNet with {backbone}")
    )
    psnr = [each["psnr"] for each in (regression, ours, synthesis)]
    ordered = psnr[0] > psnr[1] > psnr[2]
    ratio = ours["frechet"] / regression["frechet"]
    first = (
        "The paper's order of PSNR shows"
        if ordered
        else "The paper's order of PSNR (regression > UGPNet > synthesis) does **not** show"
    )
    second = (
        f"the Fréchet distance of UGPNet is {ratio:.2f} times that of the regression"
        if ratio < 1
        else f"the Fréchet distance of UGPNet is **not** below that of the regression ({ratio:.2f} "
        "times)"
    )
    degraded = by_name["degraded"]["psnr"]
    third = (
        ""
        if psnr[0] > degraded
        else f" In this short training, the regression does not reach the {degraded:.2f} dB of the "
        "degraded images."
    )
    return (
        f"With {backbone}: {first} (regression {psnr[0]:.2f}, UGPNet {psnr[1]:.2f}, synthesis "
        f"alone {psnr[2]:.2f} dB), and {second}.{third}"
    )


def _table_2(rows: Sequence[Row], record: dict[str, Any]) -> list[str]:
    mine = [row for row in rows if row.task == "deblur" and row.kind not in {"degraded"}]
    settings = record["settings"]
    return [
        "## Table 2: parameters and time (deblurring)",
        "",
        *cost_table(mine),
        "",
        f"Time: {settings['time']}. Memory: {settings['memory']}. GMACs: {settings['GMACs']}. A "
        "part of a model counts with what it needs: synthesis includes the restoration before it.",
        "",
    ]


def _components(place: plan.Place) -> list[str]:
    rows = read_rows(place.runs / "components" / "table.csv")
    lines = ["## Table 3: network components (deblurring)", ""]
    for backbone in (plan.NAFNET, plan.HINET):
        mine = [row for row in rows if row.task == f"w/ {backbone}" and row.kind == "ugpnet"]
        lines += [f"### With {backbone}", "", *quality_table(mine), "", _gain(mine), ""]
    return lines


def _gain(rows: Sequence[Row]) -> str:
    """How the full model stands to its ablations; in the paper, it has the best PSNR and FID."""
    *others, full = rows
    best = all(
        full.numbers["psnr"] > row.numbers["psnr"]
        and full.numbers["frechet"] < row.numbers["frechet"]
        for row in others
    )
    verdict = (
        "as in the paper, the full model is the best in both"
        if best
        else "in the paper the full model is the best in both, and here it is not"
    )
    return f"The full model: {'; '.join(_against(full, row) for row in others)}: {verdict}."


def _against(row: Row, other: Row) -> str:
    return (
        f"{row.numbers['psnr'] - other.numbers['psnr']:+.2f} dB and "
        f"{row.numbers['frechet'] / other.numbers['frechet']:.2f} times the Fréchet distance "
        f"against {other.method}"
    )


def _adapters(place: plan.Place) -> list[str]:
    """Whether the fusion needs the image within f_reg: the reason of Table 3's order."""
    rows = [row for row in read_rows(place.runs / "adapters" / "table.csv") if row.kind == "ugpnet"]
    full, skip = rows
    plain = next(
        row
        for row in read_rows(place.runs / "components" / "table.csv")
        if row.kind == "ugpnet" and row.task == f"w/ {plan.NAFNET}"
    )
    without = place.runs / "components" / plan.NAFNET / "no-merging"
    models = {
        "(a)": without / f"ablate-components-{plan.NAFNET}-no-merging.safetensors",
        "(c)": place.model("deblur", plan.NAFNET),
        "(d)": place.runs / "adapters" / "skip" / "ablate-adapters-skip.safetensors",
    }
    regressed = (f"{name} {_psnr_of_regression(path):.2f}" for name, path in models.items())
    return [
        "### What f_reg has to hold (deblurring, NAFNet)",
        "",
        "R_se and R_mg make a feature map f_reg of which one convolution gives the whole image. "
        "Without them (a), the network adds to the degraded image, and its feature map holds the "
        "correction alone. In (d), R_se and R_mg are there, the degraded image is added to what "
        "R_mg makes, and nothing else differs from (c). If the fusion needs the image within "
        "f_reg, (d) has to lose what (a) loses, or more.",
        "",
        *quality_table([plain, full, skip]),
        "",
        f"(d): {_against(skip, full)}; {_against(skip, plain)}. x_reg alone, on the portraits that "
        f"chose: {', '.join(regressed)} dB.",
        "",
    ]


def _psnr_of_regression(model: Path) -> float:
    return float(_stages(model)["restoration"]["validation_psnr"])


def _initialisation(place: plan.Place) -> list[str]:
    table = place.runs / "initialisation" / "table.csv"
    if not table.exists():
        return []
    rows = [row for row in read_rows(table) if row.kind == "ugpnet"]
    short = ", ".join(f"{key} {value}" for key, value in plan.SHORT.items())
    return [
        "## Supplement S.5: what pretraining brings (deblurring, NAFNet)",
        "",
        "R pretrained: the NAFNet of Table 3 (a). G pretrained: the prior of all models. Shorter "
        f"trainings than above ({short}), since the question is what a start is worth.",
        "",
        *quality_table(rows),
        "",
    ]


def _out_of_domain(place: plan.Place, pictures: Path) -> list[str]:
    folder = place.runs / "out-of-domain"
    if place.natural is None or not folder.is_dir():
        return []
    (record,) = read_record(folder / "results.json")["domains"]
    cells = [["photographs", "PSNR(x_hat) - PSNR(x_syn)", "PSNR(x_reg) - PSNR(x_syn)"]]
    for domain in (record["inside"], record["outside"]):
        figures = domain["gain"], domain["behind"]
        cells.append([domain["title"], *(_decibels(figure) for figure in figures)])
    more = record["more_gain"]
    meaning = (
        "what a prior that knows nothing but portraits loses there is not lost by the fusion."
        if more["value"] > 0
        else "the effect of the paper's figure does **not** show in it. On portraits, this small "
        "prior is no nearer to the regression than elsewhere, so that the fusion has no less to "
        "save. Out of domain it does save most of what the synthesis loses."
    )
    sheet = folder / "figures" / f"{plan.STUDIED[0]}.png"
    shutil.copyfile(sheet, pictures / "out-of-domain.png")
    return [
        "## Fig. 7: out of the domain of the prior (denoising, NAFNet)",
        "",
        *markdown(cells),
        "",
        f"What x_hat gains over x_syn is {_decibels(more, '+')} out of domain against in domain: "
        f"{meaning}",
        "",
        f"![in and out of domain]({pictures.name}/out-of-domain.png)",
        "",
    ]


def _decibels(figure: Mapping[str, Any], sign: str = "") -> str:
    low, high = figure["interval"]
    return f"{figure['value']:{sign}.2f} dB [{low:.2f}, {high:.2f}]"


def _fidelity(place: plan.Place, pictures: Path) -> list[str]:
    figures = place.runs / "fidelity" / "figures" / plan.STUDIED[0]
    shutil.copyfile(figures / "curve.png", pictures / "fidelity.png")
    return [
        "## Perception against distortion (denoising, NAFNet)",
        "",
        "x(t) = (1 - t) x_hat + t x_reg, which is `--fidelity t` of `ugpnet restore`.",
        "",
        f"![perception-distortion curve]({pictures.name}/fidelity.png)",
        "",
    ]


def _protocol(record: dict[str, Any]) -> list[str]:
    lines = ["## Protocol", ""]
    for task in record["tasks"]:
        for subject, words in task["protocol"].items():
            # How many files there were and where they lay is said above, without a path.
            line = f"- {subject}: {words}"
            if subject != "images" and line not in lines:
                lines.append(line)
    return lines
