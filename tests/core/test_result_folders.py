"""Folders of results that another program made, and real photographs, as parts of a comparison."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ugpnet_core.config_files import validated
from ugpnet_core.degradations.resampling import downsample
from ugpnet_core.errors import ConfigError, ImageError
from ugpnet_core.evaluation.result_folders import match_results
from ugpnet_core.evaluation.results import Evaluation
from ugpnet_core.image import center_square, list_images, read_image, resize, write_image
from ugpnet_core.metrics.pixel import psnr, quantised
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
        (lambda path: f"restored_{path.name}", "*_{name}"),
        (lambda path: f"{path.stem}_out.PNG", "{stem}_out.png"),
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
    assert found.protocol["theirs"] == f"files of {tmp_path / 'theirs'}, made by another program"


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
    assert "(it is '{stem}_out', and the folder has 3 images, such as 0_out.jpg)" in failed
    (folder / "0_out.jpg").unlink()
    write_image(folder / "1_out.png", torch.rand(3, SIDE, SIDE + 1))
    write_image(folder / "2_out.png", torch.rand(3, 2 * SIDE, 2 * SIDE))
    result = made(config([method, {"name": "cubic", "classical": "bicubic"}]))
    failed = result.method("theirs").failed
    assert "1_out.png (33x32)" in failed  # width before height, as image viewers say it
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
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "inner").symlink_to(tmp_path)
    with pytest.raises(ImageError, match="has no images; linked folders in it are not looked into"):
        match_results(tmp_path / "linked", ["inner/a.jpg"])


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
    said = "3 of 3, as large as their photographs, cropped to their largest centred square"
    assert said in result.protocol["theirs"]
    assert "bicubic to 32x32" in result.protocol["theirs"]


def test_what_is_not_counted_of_a_result_is_said(
    config: Config, photographs: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "theirs"
    results(photographs, folder, lambda path: path.name)
    for name, alpha in (("0.png", 128), ("1.png", 255)):
        with Image.open(folder / name) as opened:
            seen = opened.convert("RGBA")
        seen.putalpha(alpha)
        seen.save(folder / name)
    found = made(config([{"name": "theirs", "results": str(folder)}]))
    assert found.protocol["theirs"].endswith(
        "; 0.png: It is transparent in places, which is not counted"
    )


def test_names_are_the_same_on_every_system(tmp_path: Path) -> None:
    composed, parted = "caf\u00e9.png", "cafe\u0301_out.PNG"
    (tmp_path / parted).touch()
    assert match_results(tmp_path, [composed], "{stem}_out.png") == {composed: tmp_path / parted}
    assert match_results(tmp_path, [composed], "{stem}*") == {composed: tmp_path / parted}


def test_one_layout_holds_for_all_results(tmp_path: Path) -> None:
    for name in ("a/1.png", "2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    # At the top lies the 2.png of something else.
    with pytest.raises(ImageError, match=r"1 photographs are missing: a/2\.jpg"):
        match_results(tmp_path, ["a/1.jpg", "a/2.jpg"])
    names = ["a/1.jpg", "2.jpg"]
    assert list(match_results(tmp_path, names).values()) == [
        tmp_path / "a/1.png",
        tmp_path / "2.png",
    ]


def test_a_star_takes_no_result_of_a_photograph_that_is_not_measured(
    config: Config, tmp_path: Path
) -> None:
    for name in ("photos/a.png", "photos/a_b.png", "theirs/a_b_x4.png"):
        write_image(tmp_path / name, torch.rand(3, SIDE, SIDE))
    theirs = {"name": "theirs", "results": str(tmp_path / "theirs"), "pattern": "{stem}_*"}
    data = {"photographs": [str(tmp_path / "photos")], "resolution": SIDE, "count": 1}
    photos = str(tmp_path / "photos")
    pairs = {"title": "pairs", "pairs": {"clean": photos, "degraded": photos}}
    real = {"title": "real", "real": {"degraded": photos}}
    for task in ("denoise", pairs, real):
        found = made(config([theirs], data=data, tasks=[task]))
        assert "are missing: a.png" in found.method("theirs").failed
    write_image(tmp_path / "theirs" / "a_x4.png", torch.rand(3, SIDE, SIDE))
    both = made(config([theirs], data={**data, "count": 2}))
    assert len(both.images) == 2
    assert not both.problems


@pytest.mark.parametrize(
    ("methods", "changes"),
    [
        ([{"results": "r"}], {"tasks": ["denoise", "sr2"]}),
        ([{"results": "r/{set}"}], {"tasks": ["denoise", "sr2"]}),
        ([{"results": "r"}], {"tasks": ["denoise", {"real": {"degraded": "d"}}]}),
        ([{"results": "r"}], {"data": {"photographs": {"one": ["a"], "two": ["b"]}}}),
        ([{"results": "r/{task}"}], {"data": {"photographs": {"one": ["a"], "two": ["b"]}}}),
        (
            [{"results": "r", "tasks": ["denoise"]}, {"results": "./r/", "tasks": ["sr2"]}],
            {"tasks": ["denoise", "sr2"]},
        ),
    ],
)
def test_one_folder_of_results_does_not_count_in_two_tables(
    config: Config, methods: list[dict[str, Any]], changes: dict[str, Any]
) -> None:
    named = [{"name": f"m{index}", **method} for index, method in enumerate(methods)]
    with pytest.raises(ConfigError, match=r"would count in 2 tables, .*restrict the method with"):
        config(named, **changes)
    # Said for each table, it is clear.
    settings = config(
        [
            {"name": "by folder", "results": "{set}/{task}", "pattern": "{stem}_out"},
            {"name": "by name", "results": "r", "pattern": "{stem}_{task}-{set}"},
        ],
        **changes,
    )
    folders = [(folder, pattern) for _, folder, pattern in settings.results()]
    assert len(set(folders)) == len(folders) == 4


def test_each_table_has_the_results_of_its_own(config: Config, tmp_path: Path) -> None:
    sets = {"A": tmp_path / "a", "B b": tmp_path / "b"}
    for index, (title, folder) in enumerate(sets.items()):
        image = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(index))
        write_image(folder / "1.png", image)
        written = f"denoise-{title.replace(' ', '-')}"
        write_image(tmp_path / "theirs" / written / "1.png", image)
    data = {"photographs": {t: [str(f)] for t, f in sets.items()}, "resolution": SIDE}
    theirs = {"name": "theirs", "results": str(tmp_path / "theirs" / "{task}-{set}")}
    settings = config([theirs], data=data)
    for table in compare(settings).evaluations:
        assert table.value("theirs", "psnr") == float("inf")
    # Nothing is written into them, either, and inputs are called alike.
    with pytest.raises(ConfigError, match="theirs"):
        write_inputs(settings, tmp_path / "theirs" / "denoise-A")
    made_folders = write_inputs(settings, tmp_path / "inputs")
    assert [folder.name for folder in made_folders] == ["denoise-A", "denoise-B-b"]


def test_degraded_images_of_a_wrong_size_are_refused(
    config: Config, photographs: Path, tmp_path: Path
) -> None:
    for file in list_images([photographs], recursive=True):
        pixels = read_image(file).pixels
        write_image(tmp_path / "dark" / file.relative_to(photographs), pixels[:, 1:])
    pairs = {"clean": str(photographs), "degraded": str(tmp_path / "dark")}
    settings = config([{"name": "cubic", "classical": "bicubic"}], tasks=[{"pairs": pairs}])
    with pytest.raises(ImageError, match=r"or 32x32: .*0\.png is 40x35 and its photograph 40x36"):
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


def test_real_photographs_by_a_known_task_have_a_consistency(
    config: Config, photographs: Path
) -> None:
    from ugpnet_core.metrics.networks import metric_networks

    networks = metric_networks(chosen=["consistency"])

    def found(task: object, **more: Any) -> Evaluation:
        real = {"degraded": str(photographs), "task": task, **more}
        methods = [{"name": "cubic", "classical": "bicubic"}]
        settings = config(methods, tasks=[{"title": "real", "real": real}])
        (evaluation,) = compare(settings, networks=networks).evaluations
        return evaluation

    small = found("sr2")
    expected = []
    for file in list_images([photographs], recursive=True)[:3]:
        x = quantised(center_square(read_image(file).pixels, SIDE // 2))
        again = downsample(quantised(resize(x, (SIDE, SIDE))), 2)
        expected.append(float(psnr(quantised(again)[None], x[None])[0]))
    assert small.image_values("cubic", "consistency") == pytest.approx(expected)
    assert "taken for sr2" in small.protocol["task"]
    # What blurs always alike is repeatable, too.
    blurred = found([{"blur": {"sigma": 64, "isotropic": 1}}])
    assert blurred.value("cubic", "consistency")
    # One draw of this noise would leave 20 dB.
    noisy = found({"name": "denoise", "options": {"sigma": 0.1, "k": 1000}})
    assert (noisy.value("cubic", "consistency") or 0) > 25
    with pytest.raises(ConfigError, match="for a real photograph nobody knows"):
        found({"name": "deblur", "options": {"kernel_size": 71}})
    with pytest.raises(ConfigError, match="2 times smaller and scale is 4"):
        found("sr2", scale=4)
