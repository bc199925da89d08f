"""What a comparison leaves on the disk, and the command."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ugpnet_core.cli import main
from ugpnet_core.evaluation.results import (
    Comparison,
    Cost,
    Difference,
    Evaluation,
    Figure,
    ImageResult,
    MethodKind,
    MethodResult,
)
from ugpnet_core.image import read_image
from ugpnet_core.metrics.metric import Metric
from ugpnet_core.reports.latex import in_latex, latex
from ugpnet_core.reports.markdown import markdown
from ugpnet_core.reports.table import Number, methods_table
from ugpnet_core.reports.table_files import write_comparison

pytestmark = pytest.mark.usefixtures("no_other_process")

PSNR = Metric("psnr", "PSNR (dB)", "higher", 2)
FD = Metric("frechet", "FD_x", "lower", 1, per_image=False)
FID = Metric("fid", "FID", "lower", 2, per_image=False, missing="no network; give 100 % of it.")


def row(
    name: str, group: str, psnr: float, distance: float, kind: MethodKind = "network"
) -> MethodResult:
    figures = {
        "psnr": Figure(psnr, psnr - 0.5, psnr + 0.25),
        "frechet": Figure(distance, distance - 1, distance + 2),
    }
    return MethodResult(
        name, kind, group, figures, Cost(1_234_567, 2_500_000_000, 0.0125, None, 64)
    )


def comparison() -> Comparison:
    methods = (
        row("degraded", "input", 10.004, 90.0, "degraded"),
        row("a_b & 50%|{x}", "regression", 30.001, 40.0),
        row("other #1", "regression", 29.996, 30.0),
        row("G^~\\", "generative", 25.0, 12.0),
        MethodResult("gone", "network", "generative", {}, failed="there is no file; get one."),
        row("UGPNet", "ours", float("inf"), 8.0, "ugpnet"),
    )
    images = tuple(
        ImageResult(f"{n}_x.png", {"degraded": {"psnr": n + 0.5}, "UGPNet": {"psnr": float("inf")}})
        for n in range(2)
    )
    protocol = {"task": "noise_x, seed 0", "intervals": "95 %"}
    first = Evaluation("noise_x", "denoise", methods, (PSNR, FID, FD), images, protocol)
    return Comparison("all & more", (first,), {"time": "median_of 9"})


def cells_of(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")][:1]
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_the_best_of_each_group_are_marked_as_shown() -> None:
    (evaluation,) = comparison().evaluations
    table = methods_table(evaluation)
    assert [column.title for column in table.columns] == ["PSNR (dB)", "FD_x"]

    def marked(mark: str) -> set[tuple[str, int]]:
        return {
            (row.name, place)
            for row in table.rows
            for place, cell in enumerate(row.cells)
            if isinstance(cell, Number) and getattr(cell, mark)
        }

    # 30.001 and 29.996 are both shown as 30.00.
    assert marked("best") == {("a_b & 50%|{x}", 0), ("other #1", 0), ("other #1", 1)}
    assert marked("top") == {("UGPNet", 0), ("UGPNet", 1)}


def test_markdown_csv_and_json_say_the_same(tmp_path: Path) -> None:
    result = comparison()
    paths = write_comparison(result, tmp_path)
    assert {path.name for path in paths} == {
        "table.md",
        "table.tex",
        "table.csv",
        "per-image.csv",
        "results.json",
    }
    text = (tmp_path / "table.md").read_text()
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    (task,) = json.loads((tmp_path / "results.json").read_text())["tasks"]
    assert [row["method"] for row in rows] == [m.name for m in result.evaluations[0].methods]
    for found, method in zip(rows, task["methods"], strict=True):
        figures = task["figures"][method["key"]]
        intervals = task["intervals"][method["key"]]
        shown = cells_of(text, re.sub(r"([\\|_])", r"\\\1", method["name"]))
        assert shown[1] == found["class"] == method["group"]
        if figures["psnr"] is None and not found["psnr"]:
            assert method["failed"] == found["failed"] == "there is no file; get one."
            assert shown[2] == "–"
            continue
        low, high = intervals["frechet"]
        assert float(found["frechet"]) == figures["frechet"]
        assert [float(found["frechet_low"]), float(found["frechet_high"])] == [low, high]
        value = f"{figures['frechet']:.1f}"
        assert shown[3].replace("*", "") == f"{value} [{low:.1f}, {high:.1f}]"
        assert (figures["psnr"] is None) == (found["psnr"] == "inf")
        costs = task["costs"][method["key"]]
        assert costs["parameters"] == int(found["parameters"]) == 1_234_567
        assert float(found["seconds"]) == costs["seconds"] == 0.0125
        assert found["memory"] == ""
    assert "**30.00** [29.50, 30.25]" in text
    assert cells_of(text.partition("Parameters")[2], "UGPNet")[1:] == ["1.23", "2.50", "12.5", "–"]
    assert "FID not computed: no network; give 100 % of it." in text
    assert "task: noise\\_x, seed 0" in text
    assert "median\\_of 9" in text
    images = list(csv.DictReader((tmp_path / "per-image.csv").open()))
    assert [(row["task"], row["file"], row["method"], row["psnr"]) for row in images] == [
        ("noise_x", "0_x.png", "degraded", "0.5"),
        ("noise_x", "0_x.png", "UGPNet", "inf"),
        ("noise_x", "1_x.png", "degraded", "1.5"),
        ("noise_x", "1_x.png", "UGPNet", "inf"),
    ]


def test_latex_is_whole_and_escaped() -> None:
    text = latex(comparison())
    code = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert code.count(r"\begin{") == code.count(r"\end{") == 4
    assert r"a\_b \& 50\%\textbar{}\{x\} & \textbf{30.00} {\tiny [29.50, 30.25]} & 40.0" in code
    assert r"other \#1 & \textbf{30.00}" in code
    assert r"G\textasciicircum{}\textasciitilde{}\textbackslash{} &" in code
    assert r"FD\_x $\downarrow$ \\" in code
    assert "gone & -- & -- \\\\" in code
    # Outside what was written as a command, nothing is left that LaTeX acts on.
    bare = re.sub(r"\\[a-zA-Z]+(\{\})?|\\[%&#_{}\\]|\$\\[a-z]+arrow\$", "", code)
    assert not re.search(r"[%#_^~$]", bare)
    assert bare.count("{") == bare.count("}")
    columns = {line.count(" & ") for line in code.splitlines() if line.endswith(r"\\")}
    assert columns == {2, 4}
    for line in text.splitlines():
        if line.startswith("%"):
            assert "\n" not in line
    assert in_latex("100 % _") == r"100 \% \_"


def test_differences_have_a_row_for_each_pair_and_their_sign() -> None:
    one = comparison().evaluations[0]
    pair = Difference("G", "a|b", "psnr", Figure(1.5, -0.25, 3.0))
    text = markdown(Comparison("one", (replace(one, differences=(pair,)),)))
    assert "| Paired difference | PSNR (dB) ↑ |" in text
    assert "| G − a\\|b | +1.50 [-0.25, +3.00] |" in text


def test_markdown_has_a_table_for_each_task() -> None:
    one = comparison().evaluations[0]
    two = Comparison("two", (one, Evaluation("b", "b", one.methods, one.metrics, (), {}, ())))
    assert re.findall(r"^## (.*)$", markdown(two), re.M) == ["noise\\_x", "b"]


@pytest.fixture
def write_config(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    monkeypatch.delenv("UGPNET_PERCEPTUAL", raising=False)
    monkeypatch.delenv("UGPNET_INCEPTION", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)

    def write(**changes: Any) -> Path:
        content = {
            "name": "trial",
            "output": "out",
            "data": {"photographs": [str(photographs)], "resolution": 32, "count": 3},
            "tasks": ["denoise", "sr8"],
            "methods": [{"name": "cubic", "classical": "bicubic"}],
            "figures": {"count": 2},
            "cost": {"repeats": 1},
            **changes,
        }
        path = tmp_path / "compare.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def test_command_writes_tables_figures_and_a_report(
    write_config: Callable[..., Path],
    squeezenet: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_config(perceptual_weights=str(squeezenet))
    assert main(["compare", str(path), "data.count=2", "--device", "cpu", "--report", "web"]) == 0
    shown = capsys.readouterr().out
    assert "FD-SqueezeNet" in shown
    assert "FID not computed" in shown
    record = json.loads(Path("out/results.json").read_text())
    assert [task["task"] for task in record["tasks"]] == ["denoise", "sr8"]
    assert [task["count"] for task in record["tasks"]] == [2, 2]
    assert "median of 1 runs" in record["settings"]["time"]
    files = sorted(file.relative_to("out/figures") for file in Path("out/figures").rglob("*.png"))
    assert [str(file) for file in files] == [
        "denoise/inner_0.png.png",
        "denoise/inner_1.png.png",
        "sr8/inner_0.png.png",
        "sr8/inner_1.png.png",
    ]
    pixels = read_image(Path("out/figures") / files[0]).pixels
    assert pixels.shape[2] > 3 * 32  # degraded, cubic and the photograph side by side
    assert pixels.std() > 0.1
    assert Path("web/index.html").is_file()
    table = Path("out/table.csv").read_text()
    assert len(list(csv.DictReader(io.StringIO(table)))) == 4
    assert not list(tmp_path.rglob("*.partial"))


def test_command_says_what_failed_and_goes_on(
    write_config: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    methods = [
        {"name": "cubic", "classical": "bicubic"},
        {"name": "gone", "model": "gone.safetensors"},
    ]
    path = write_config(methods=methods, tasks=["denoise"], figures=None, cost=None)
    assert main(["compare", str(path), "--device", "cpu"]) == 1
    captured = capsys.readouterr()
    assert re.search(r"left out gone on denoise.*no model file gone", captured.err)
    assert "gone failed: There is no model file" in Path("out/table.md").read_text()
    assert not Path("out/figures").exists()


def test_command_refuses_wrong_settings(
    write_config: Callable[..., Path], photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(write_config(method=[]))]) == 2
    assert "method: Extra inputs" in capsys.readouterr().err
    assert main(["compare", str(write_config(figures={"names": ["x.png"]}))]) == 2
    assert "None of figures.names is among the photographs" in capsys.readouterr().err
    sets = {"known": [str(photographs)], "others": [str(photographs / "inner")]}
    path = write_config(
        data={"photographs": sets, "resolution": 32}, figures={"names": ["inner/0.png"]}
    )
    assert main(["compare", str(path)]) == 2  # the second set's are called 0.png, ...
    assert not Path("out").exists()
    capsys.readouterr()
    assert main(["compare", str(write_config(output="compare.yaml"))]) == 2
    assert "compare.yaml is a file" in capsys.readouterr().err
    assert main(["compare", "missing.yaml"]) == 2


def test_the_example_configuration_works(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it stands, but for the photographs, their size and what stands beside the figures."""
    example = Path(__file__).parents[2] / "examples" / "configs" / "compare.yaml"
    monkeypatch.chdir(tmp_path)
    changes = [
        f"data.photographs=[{photographs}]",
        "data.count=1",
        "data.resolution=64",
        "figures.count=1",
        "cost=null",
    ]
    assert main(["compare", str(example), *changes, "--device", "cpu"]) == 0
    tasks = json.loads(Path("runs/compare/results.json").read_text())["tasks"]
    denoise, deblur = ({m["name"] for m in task["methods"]} for task in tasks)
    assert {"degraded", "non-local means", "x_reg", "x_syn", "UGPNet"} < denoise
    assert deblur == {"degraded", "Wiener (non-blind)"}
    figures = tasks[0]["figures"]
    assert figures["UGPNet"]["psnr"] > figures["degraded"]["psnr"]
