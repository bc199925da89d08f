"""The out-of-distribution study: its number is the formula, and its files say the same."""

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
from ugpnet_core.evaluation.photographs import paired_set
from ugpnet_core.image import read_image, write_image
from ugpnet_core.model_files.model import save_model
from ugpnet_core.networks.ugpnet import UGPNet, build_model
from ugpnet_core.protocols import UGPNetOutput
from ugpnet_core.studies.out_of_domain import (
    OutOfDomain,
    difference_of_means,
    out_of_domain_study,
)
from ugpnet_core.studies.out_of_domain_files import conclusion, study_markdown, write_study

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


def study(folder: Path, restored: int = 4, dark: int = 3, bright: int = 4) -> OutOfDomain:
    rng = torch.Generator().manual_seed(0)
    for name, count, level in (("dark", dark, 60), ("bright", bright, 180)):
        for index in range(count):
            noise = torch.randint(0, 40, (3, SIDE, SIDE), generator=rng)
            write_image(folder / name / f"{index}.png", (level + noise) / 255)
    sets = [paired_set(folder / name, folder / name, SIDE) for name in ("dark", "bright")]
    model = cast(UGPNet, Off(restored))
    return out_of_domain_study(model, sets[0], sets[1], batch_size=2, pictured=2)


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
    assert len(found.inside.evaluation.images) == 3
    assert list(found.outside.pictures) == ["0.png", "1.png"]


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
    found = study(tmp_path)
    paths = write_study(found, tmp_path / "out", model="off", seed=0)
    record = json.loads(paths[1].read_text())
    assert record["more_gain_out_of_domain"]["value"] == found.more_gain.value
    assert record["in_domain"]["psnr_x_hat_minus_x_syn"]["value"] == found.inside.gain.value
    rows = record["out_of_domain"]["images"]
    gains = [row["x_hat"]["psnr"] - row["x_syn"]["psnr"] for row in rows]
    assert sum(gains) / 4 == pytest.approx(found.outside.gain.value)
    text = study_markdown(found, "off")
    assert paths[0].read_text() == text
    (row,) = re.findall(r"^\| out of domain \|.*$", text, flags=re.M)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:5] == ["4", *(f"{20 * math.log10(255 / d):.2f}" + cells[2][5:] for d in [2])] + [
        f"{20 * math.log10(255 / d):.2f} [{20 * math.log10(255 / d):.2f}, "
        f"{20 * math.log10(255 / d):.2f}]"
        for d in (32, 4)
    ]
    assert text.count("- photographs: RGB, largest centred square") == 2
    sheet = read_image(paths[2]).pixels
    assert sheet.shape[-1] > 5 * SIDE


def test_the_command_takes_photographs_of_any_size(
    training_settings: dict[str, Any],
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from ugpnet_core.config import ModelConfig

    torch.manual_seed(0)
    model = build_model(ModelConfig.model_validate(training_settings["model"]))
    save_model(model, tmp_path / "tiny.safetensors")
    write_image(tmp_path / "others" / "large.png", torch.rand(3, 70, 50))
    words = ["out-of-domain", "-m", str(tmp_path / "tiny.safetensors"), "--data", str(photographs)]
    words += ["--out-of-domain", str(tmp_path / "others"), "-o", str(tmp_path / "out")]
    assert cli.main([*words, "--count", "2", "--pictures", "1"]) == 0
    record = json.loads((tmp_path / "out" / "out-of-domain.json").read_text())
    assert (record["in_domain"]["count"], record["out_of_domain"]["count"]) == (2, 1)
    assert "gains" in capsys.readouterr().out
    assert cli.main([*words[:-4], "--out-of-domain", str(tmp_path / "none"), "-o", "x"]) == 1
    assert "none" in capsys.readouterr().err
