"""In and out of the domain of a prior: the number is the formula, and the files say the same."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ugpnet_core import cli
from ugpnet_core.evaluation.domains import difference_of_means, out_of_domain
from ugpnet_core.evaluation.evaluate import evaluate_on
from ugpnet_core.evaluation.photographs import paired_set
from ugpnet_core.evaluation.results import Comparison, Evaluation, OutOfDomain
from ugpnet_core.image import read_image, write_image
from ugpnet_core.model_files.model import save_model
from ugpnet_core.networks.ugpnet import UGPNet, build_model
from ugpnet_core.protocols import UGPNetOutput
from ugpnet_core.reports.domains import conclusion
from ugpnet_core.reports.table_files import write_comparison

pytestmark = pytest.mark.usefixtures("no_other_process")

PARTS = ("x_reg", "x_syn", "x_hat")
SIDE = 16


class Off(nn.Module):
    """A restorer whose images are off by so many levels of 255: x_reg by 2, x_hat by ``restored``
    and x_syn by 8, or on bright images, which are out of its domain, by 32."""

    scale, resolution = 1, SIDE

    def __init__(self, restored: int = 4) -> None:
        super().__init__()
        self.restored = restored

    def forward(self, x: Tensor) -> UGPNetOutput:
        bright = x.mean(dim=(1, 2, 3), keepdim=True) > 0.5
        synthesis = x + torch.where(bright, 32, 8) / 255
        return UGPNetOutput(x + self.restored / 255, x + 2 / 255, synthesis)


def evaluations(
    folder: Path, restored: int = 4, dark: int = 3, bright: int = 4
) -> dict[str, Evaluation]:
    rng = torch.Generator().manual_seed(0)
    for name, count, level in (("dark", dark, 60), ("bright", bright, 180)):
        for index in range(count):
            noise = torch.randint(0, 40, (3, SIDE, SIDE), generator=rng)
            write_image(folder / name / f"{index}.png", (level + noise) / 255)
    model = cast(UGPNet, Off(restored))
    return {
        name: evaluate_on(model, paired_set(folder / name, folder / name, SIDE), batch_size=2)
        for name in ("dark", "bright")
    }


def study(folder: Path, *counts: int) -> OutOfDomain:
    (found,) = out_of_domain("pairs", PARTS, evaluations(folder, *counts), seed=0)
    return found


def test_the_number_is_the_difference_of_psnr_in_and_out_of_domain(tmp_path: Path) -> None:
    found = study(tmp_path)
    # PSNR of an image that is off by d levels everywhere is 20 log10(255 / d).
    close = pytest.approx
    assert found.inside.gain.value == close(20 * math.log10(8 / 4))
    assert found.outside.gain.value == close(20 * math.log10(32 / 4))
    assert found.outside.behind.value == close(20 * math.log10(32 / 2))
    assert found.outside.loss.value == close(20 * math.log10(4 / 2))
    assert found.more_gain.value == close(20 * math.log10(32 / 8))
    assert found.drops["x_syn"].value == close(20 * math.log10(32 / 8))
    assert found.drops["x_hat"].value == close(0, abs=1e-5)
    # Every photograph has the same figures, so nothing is uncertain.
    assert found.more_gain.low == close(found.more_gain.value)
    assert found.more_gain.high == close(found.more_gain.value)
    assert (found.inside.count, found.outside.count) == (3, 4)
    assert (found.inside.title, found.outside.title) == ("dark", "bright")


def test_a_model_without_figures_is_compared_nowhere(tmp_path: Path) -> None:
    known = evaluations(tmp_path)
    exact = evaluations(tmp_path / "exact", restored=0)["bright"]
    unknown = Evaluation("none", "", (), (), (), {})
    sets = {"dark": known["dark"], "none": unknown, "exact": exact, "bright": known["bright"]}
    (found,) = out_of_domain("pairs", PARTS, sets, seed=0)
    assert found.outside.title == "bright"
    assert out_of_domain("pairs", PARTS, {"none": unknown, **known}, seed=0) == []


def test_intervals_are_those_of_another_library() -> None:
    from scipy.stats import bootstrap

    rng = np.random.default_rng(0)
    a, b = rng.normal(5, 2, 60), rng.gamma(2, 1, 40)
    found = difference_of_means(a, b, seed=3)
    theirs = bootstrap(
        (a, b),
        lambda x, y, axis: x.mean(axis) - y.mean(axis),
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert found.value == a.mean() - b.mean()
    assert found.low == pytest.approx(theirs.low, abs=0.1)
    assert found.high == pytest.approx(theirs.high, abs=0.1)
    assert difference_of_means(a, b, seed=3) == found
    assert difference_of_means(a[:1], b).low is None


@pytest.mark.parametrize(
    ("restored", "counts", "said"),
    [
        (4, (3, 4), r"a difference of 12\.04 .* does not follow x_syn where that fails"),
        (4, (3, 1), "cannot tell from none"),
    ],
)
def test_the_conclusion_says_only_what_the_interval_does(
    tmp_path: Path, restored: int, counts: tuple[int, int], said: str
) -> None:
    assert re.search(said, conclusion(study(tmp_path, restored, *counts)))


def test_files_say_the_same(tmp_path: Path) -> None:
    sets = evaluations(tmp_path)
    (found,) = out_of_domain("pairs", PARTS, sets, seed=0)
    write_comparison(Comparison("off", tuple(sets.values()), domains=(found,)), tmp_path / "out")
    (record,) = json.loads((tmp_path / "out" / "results.json").read_text())["domains"]
    assert record["more_gain"]["value"] == found.more_gain.value
    assert record["inside"]["gain"]["value"] == found.inside.gain.value
    assert record["drops"]["x_syn"]["interval"] == [
        found.drops["x_syn"].low,
        found.drops["x_syn"].high,
    ]
    text = (tmp_path / "out" / "table.md").read_text()
    assert re.sub(r"([_<>])", r"\\\1", conclusion(found)) in text
    assert r"dark $-$ bright &  & " in (tmp_path / "out" / "table.tex").read_text()
    (row,) = re.findall(r"^\| bright \|.*$", text, flags=re.M)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    levels = [f"{20 * math.log10(255 / d):.2f}" for d in (2, 32, 4)]
    assert cells[1:5] == ["4", *(f"{value} [{value}, {value}]" for value in levels)]


def test_the_example_configuration_takes_photographs_of_any_size(
    training_settings: dict[str, Any],
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from ugpnet_core.config import ModelConfig

    example = Path(__file__).parents[2] / "examples" / "configs" / "out-of-domain.yaml"
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = build_model(ModelConfig.model_validate(training_settings["model"]))
    save_model(model, tmp_path / "tiny.safetensors")
    Path("own.yaml").write_text(
        example.read_text().replace("portraits-denoise", "tiny.safetensors")
    )
    write_image(tmp_path / "others" / "large.png", torch.rand(3, 70, 50))
    words = ["compare", "own.yaml", "data.count=2", "data.resolution=32", "--device", "cpu"]
    words += ["figures.count=1", "--report", "web"]
    sets = f"data.photographs={{portraits: [{photographs}], animals: [others]}}"
    assert cli.main([*words, sets]) == 0
    said = capsys.readouterr().out
    record = json.loads(Path("runs/out-of-domain/results.json").read_text())
    assert [task["task"] for task in record["tasks"]] == ["denoise, portraits", "denoise, animals"]
    (found,) = record["domains"]
    assert (found["inside"]["count"], found["outside"]["count"]) == (2, 1)
    assert found["more_gain"]["interval"] is None
    assert "denoise: Over x_syn, x_hat gains" in said
    assert "out of the domain" in Path("web/index.html").read_text()
    sheet = read_image(Path("runs/out-of-domain/figures/denoise.png")).pixels
    assert sheet.shape[-1] > 5 * 32
    assert sheet.shape[-2] > 2 * 32
    assert cli.main([*words, sets.replace("others", "none")]) == 1
    assert "none" in capsys.readouterr().err
