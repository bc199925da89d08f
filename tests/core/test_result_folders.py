"""Folders of results that another program made, and real photographs, as parts of a comparison."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ugpnet_core.config_files import validated
from ugpnet_core.errors import ConfigError, ImageError
from ugpnet_core.evaluation.result_folders import match_results
from ugpnet_core.evaluation.results import Evaluation
from ugpnet_core.image import center_square, list_images, read_image, write_image
from ugpnet_core.studies.compare import compare
from ugpnet_core.studies.inputs import write_inputs
from ugpnet_core.studies.settings import CompareConfig

SIDE = 32


@pytest.fixture
def config(photographs: Path, tmp_path: Path) -> Callable[..., CompareConfig]:
    def make(methods: list[dict[str, Any]], **changes: Any) -> CompareConfig:
        content = {
            "name": "trial",
            "output": str(tmp_path / "out"),
            "data": {"photographs": [str(photographs)], "resolution": SIDE, "count": 3},
            "tasks": ["denoise"],
            "methods": methods,
            "cost": None,
            "figures": None,
            **changes,
        }
        return validated(CompareConfig, content, "compare.yaml")

    return make


Config = Callable[..., CompareConfig]


def made(config: CompareConfig) -> Evaluation:
    (evaluation,) = compare(config).evaluations
    return evaluation


def results(photographs: Path, folder: Path, name: Callable[[Path], str], **size: int) -> None:
    """Write half-bright photographs as a program's results."""
    for file in list_images([photographs], recursive=True)[:3]:
        image = center_square(read_image(file).pixels, size.get("side", SIDE))
        write_image(folder / name(file.relative_to(photographs)), image / 2)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        (lambda path: path.with_suffix(".png").as_posix(), "{stem}"),
        (lambda path: f"{path.stem}.webp", "{stem}"),
        (lambda path: f"{path.stem}_out.png", "{stem}_out.png"),
        (lambda path: f"{path.stem}_out.png", "{stem}_out"),
        (lambda path: f"{path.name}.png", "{name}"),
        (lambda path: f"deep/{path.stem}_v1.4.tif", "deep/{stem}_*"),
        (lambda path: f"{path.parent}/{path.stem}/restored.png", "{stem}/restored.png"),
    ],
)
def test_results_are_found_by_pattern(
    config: Config,
    photographs: Path,
    tmp_path: Path,
    name: Callable[[Path], str],
    pattern: str,
) -> None:
    results(photographs, tmp_path / "theirs", name)
    method = {"name": "theirs", "results": str(tmp_path / "theirs"), "pattern": pattern}
    found = made(config([method]))
    assert not found.problems
    assert found.method("theirs").kind == "network"
    # Half as bright: the error is half of each value.
    clean = read_image(list_images([photographs], recursive=True)[0]).pixels
    error = (center_square(clean, SIDE) / 2).double().square().mean()
    value = found.image_values("theirs", "psnr")[0]
    assert value == pytest.approx(float(-10 * torch.log10(error)), abs=0.1)
    assert "made by another program" in found.protocol["theirs"]


def test_missing_doubled_and_wrongly_sized_results_are_listed(
    config: Config, photographs: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "theirs"
    method = {"name": "theirs", "results": str(folder), "pattern": "{stem}_out"}
    assert "no folder" in made(config([method])).method("theirs").failed
    results(photographs, folder, lambda path: f"{path.stem}_out.png")
    (folder / "1_out.png").unlink()
    (folder / "0_out.png").rename(folder / "0_out.webp")
    (folder / "0_out.jpg").write_bytes((folder / "2_out.png").read_bytes())
    failed = made(config([method])).method("theirs").failed
    assert "results of 1 photographs are missing: inner/1.png" in failed
    assert "inner/0.png: 0_out.jpg and 0_out.webp" in failed
    (folder / "0_out.jpg").unlink()
    write_image(folder / "1_out.png", torch.rand(3, SIDE, SIDE + 1))
    write_image(folder / "2_out.png", torch.rand(3, 2 * SIDE, 2 * SIDE))
    result = made(config([method, {"name": "cubic", "classical": "bicubic"}]))
    failed = result.method("theirs").failed
    assert "1_out.png (32x33)" in failed
    assert "2_out.png (64x64)" in failed
    assert "0_out" not in failed
    assert result.method("cubic").figures


def test_one_file_is_the_result_of_one_photograph_only(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", torch.rand(3, 8, 8))
    with pytest.raises(ImageError, match=r"a\.png for a/a\.jpg and b/a\.jpg"):
        match_results(tmp_path, ["a/a.jpg", "b/a.jpg"])
    # A star in a photograph's own name is no wildcard.
    with pytest.raises(ImageError, match="missing"):
        match_results(tmp_path, ["*.jpg"], "{stem}*")
    with pytest.raises(ConfigError, match="does not say which photograph"):
        match_results(tmp_path, ["a.jpg"], "out.png")


def test_whole_results_of_pairs_are_cropped_as_their_photographs(
    config: Config, photographs: Path, tmp_path: Path
) -> None:
    for file in list_images([photographs], recursive=True):
        pixels = read_image(file).pixels
        name = file.relative_to(photographs)
        write_image(tmp_path / "dark" / name, pixels / 2)
        write_image(tmp_path / "theirs" / name, pixels)
    pairs = {"clean": str(photographs), "degraded": str(tmp_path / "dark")}
    method = {"name": "theirs", "results": str(tmp_path / "theirs")}
    result = made(config([method], tasks=[{"pairs": pairs}]))
    assert result.value("theirs", "psnr") == float("inf")


def test_degraded_images_of_a_wrong_size_are_refused(
    config: Config, photographs: Path, tmp_path: Path
) -> None:
    for file in list_images([photographs], recursive=True):
        pixels = read_image(file).pixels
        write_image(tmp_path / "dark" / file.relative_to(photographs), pixels[:, 1:])
    pairs = {"clean": str(photographs), "degraded": str(tmp_path / "dark")}
    settings = config([{"name": "cubic", "classical": "bicubic"}], tasks=[{"pairs": pairs}])
    with pytest.raises(ImageError, match=r"or 32x32: .*0\.png is 35x40 and its photograph 36x40"):
        compare(settings)


def test_inputs_for_other_programs_are_those_of_the_comparison(
    config: Config, photographs: Path, tmp_path: Path
) -> None:
    settings = config([{"name": "cubic", "classical": "bicubic"}])
    (folder,) = write_inputs(settings, tmp_path / "inputs")
    assert folder == tmp_path / "inputs" / "denoise"
    pairs = {"clean": str(folder / "clean"), "degraded": str(folder / "degraded")}
    again = made(config([{"name": "cubic", "classical": "bicubic"}], tasks=[{"pairs": pairs}]))
    assert again.value("cubic", "psnr") == made(settings).value("cubic", "psnr")
    # What a program leaves of them stands in the table of the task itself.
    method = {"name": "nothing", "results": str(folder / "degraded")}
    result = made(config([method]))
    assert result.value("nothing", "psnr") == result.value("degraded", "psnr")


def test_real_photographs_have_the_figures_that_need_no_other(
    config: Config, photographs: Path
) -> None:
    task = {"title": "real", "real": {"degraded": str(photographs)}}
    metrics = ["psnr", "ssim", "lpips", "brisque", "consistency"]
    methods = [
        {"name": "cubic", "classical": "bicubic"},
        {"name": "nlm", "classical": "non-local means"},
    ]
    settings = config(methods, tasks=[task], metrics=metrics)
    from ugpnet_core.metrics.networks import metric_networks

    networks = metric_networks(chosen=settings.metrics)
    (found,) = compare(settings, networks=networks).evaluations
    missing = {each.key: each.missing for each in found.metrics if each.missing}
    assert set(missing) == {"psnr", "ssim", "lpips", "consistency"}
    assert missing["psnr"] == "it needs photographs."
    assert set(found.method("cubic").figures) == {"brisque"}
    assert "no photographs to compare with" in found.method("nlm").failed
    assert "without ground truth" in found.protocol["photographs"]
