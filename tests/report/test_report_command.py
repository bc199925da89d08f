"""``ugpnet evaluate --report``, from a model file to pages in a browser."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

import ugpnet_core as ug
from ugpnet_core.cli import main
from ugpnet_core.image import read_image, write_image


@pytest.fixture
def arguments(
    training_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """A command that evaluates a tiny model on three photographs, one of them broken."""
    torch.manual_seed(0)
    settings = {**training_settings["model"], "task": {"name": "denoise"}}
    model = ug.build_model(ug.ModelConfig.model_validate(settings))
    ug.save_model(model, tmp_path / "tiny.safetensors")
    for index, name in enumerate(("one.png", "inner/two & three.png")):
        rng = torch.Generator().manual_seed(index)
        write_image(tmp_path / "photos" / name, torch.rand(3, 40, 36, generator=rng))
    (tmp_path / "photos" / "broken.png").write_bytes(b"no image")
    monkeypatch.chdir(tmp_path)
    return ["evaluate", "-m", "tiny.safetensors", "--data", "photos", "--device", "cpu"]


def test_evaluate_writes_a_report_that_opens(
    arguments: list[str], tmp_path: Path, browser: Chrome, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--report", "out/report", "-o", "figures"]
    assert main([*arguments, *words]) == 1  # for the broken file
    assert "Report: out/report/index.html" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report"]
    browser.get_log("browser")
    browser.get((tmp_path / "out" / "report" / "index.html").as_uri())
    rows = browser.find_elements(By.CSS_SELECTOR, "#list tbody tr")
    with (tmp_path / "figures" / "per-image.csv").open() as file:
        figures = {row["file"]: row for row in csv.DictReader(file)}
    assert {row.find_element(By.TAG_NAME, "th").text for row in rows} == set(figures)
    for row in rows:
        mine = figures[row.find_element(By.TAG_NAME, "th").text]
        cells = [cell.text for cell in row.find_elements(By.TAG_NAME, "td")]
        for cell, method in zip(cells, ("degraded", "x_reg", "x_syn", "x_hat"), strict=False):
            assert float(cell) == pytest.approx(float(mine[f"{method}_psnr"]), abs=0.006)
    assert "broken.png" in browser.find_element(By.CLASS_NAME, "problems").text
    rows[0].find_element(By.TAG_NAME, "a").click()
    assert browser.find_element(By.ID, "stage").is_displayed()
    assert browser.get_log("browser") == []
    # What is shown is what was measured: the clean picture is the photograph at the model's size.
    (clean,) = (tmp_path / "out" / "report" / "denoise").glob("*-one/clean.png")
    assert read_image(clean).pixels.shape == (3, 32, 32)


def test_a_report_replaces_no_photographs(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert main([*arguments, "--report", "photos"]) == 2
    assert "photos lies in photos, where" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
