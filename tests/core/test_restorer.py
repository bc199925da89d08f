from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ugpnet_core.errors import ConfigError, ImageError, SizeError
from ugpnet_core.image import read_image, write_image
from ugpnet_core.inference.batch import restore_files
from ugpnet_core.inference.outputs import Job, plan
from ugpnet_core.inference.restorer import Restorer
from ugpnet_core.protocols import UGPNetOutput


class Fake(nn.Module):
    """Stands in for a UGPNet whose three outputs are known: x, 1 - x, and beyond the range."""

    def __init__(self, resolution: int = 16, scale: int = 1) -> None:
        super().__init__()
        self.resolution, self.scale = resolution, scale
        self.norm = nn.BatchNorm2d(3)  # would change its input in training mode

    def forward(self, x: Tensor) -> UGPNetOutput:
        assert tuple(x.shape[1:]) == (3, *[self.resolution // self.scale] * 2)
        large = x.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)
        large = self.norm(large) * (1 + self.norm.eps) ** 0.5
        return UGPNetOutput(large, 1 - large, 3 * large - 1)


def restorer(**options: Any) -> Restorer:
    fake: Any = Fake(scale=options.pop("scale", 1))
    return Restorer(fake, device="cpu", **options)


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 50, 17), (2, 3, 16, 16), (2, 3, 9, 33)])
@pytest.mark.parametrize("scale", [1, 2])
def test_any_size(shape: tuple[int, ...], scale: int) -> None:
    x = torch.rand(shape)
    out = restorer(scale=scale)(x)
    expected = x.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    for image, known in zip(out, (expected, 1 - expected, 3 * expected - 1), strict=True):
        assert image.shape == expected.shape
        assert image.device.type == "cpu"
        assert (image - known.clamp(0, 1)).abs().max() < 1 / 255


def test_fidelity_blends_towards_the_regression() -> None:
    x = torch.rand(3, 20, 20)
    assert (restorer(fidelity=1.0)(x).image - (1 - x)).abs().max() < 1e-4
    assert (restorer(fidelity=0.25)(x).image - (0.75 * x + 0.25 * (1 - x))).abs().max() < 1e-4


def test_a_file_and_its_pixels_give_the_same(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", torch.rand(3, 20, 30))
    run = restorer()
    by_path = run(tmp_path / "a.png")
    assert torch.equal(by_path.image, run(str(tmp_path / "a.png")).image)
    assert torch.equal(by_path.image, run(read_image(tmp_path / "a.png").pixels).image)


@pytest.mark.parametrize(
    "options",
    [{"fidelity": 1.5}, {"fidelity": -0.1}, {"tile": 17}, {"tile": 0}],
)
def test_impossible_settings_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        restorer(**options)


def test_unknown_devices_are_refused() -> None:
    fake: Any = Fake()
    with pytest.raises(ConfigError, match="abacus"):
        Restorer(fake, device="abacus")


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(SizeError):
        restorer()(torch.rand(1, 20, 20))
    with pytest.raises(SizeError):
        restorer()(torch.rand(3, 0, 20))
    with pytest.raises(ImageError, match="float"):
        restorer()(torch.zeros(3, 20, 20, dtype=torch.uint8))


def test_a_broken_file_does_not_stop_the_others(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    write_image(source / "a.png", torch.rand(3, 20, 30))
    (source / "b.png").write_bytes(b"broken")
    write_image(source / "c.jpg", torch.rand(3, 20, 30))
    results = list(restore_files(restorer(), plan([source, tmp_path / "none.png"], out)))
    assert [result.error is None for result in results] == [True, False, True, False]
    assert "b.png" in str(results[1].error)
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "c.jpg"]


def test_depth_and_alpha_are_kept(tmp_path: Path) -> None:
    pixels, alpha = torch.rand(3, 20, 30), torch.rand(1, 20, 30)
    write_image(tmp_path / "deep.png", pixels, alpha=alpha, bit_depth=16)
    list(restore_files(restorer(scale=2), plan([tmp_path / "deep.png"], tmp_path / "out")))
    result = read_image(tmp_path / "out" / "deep.png")
    assert result.bit_depth == 16
    assert result.pixels.shape == (3, 40, 60)
    assert result.alpha is not None
    assert result.alpha.shape == (1, 40, 60)


def test_save_all_and_skip_existing(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", torch.rand(3, 20, 30))
    jobs = plan([tmp_path / "a.jpg"], tmp_path / "out", suffixes=("_reg", "_syn"))
    assert not next(restore_files(restorer(), jobs, save_all=True, skip_existing=True)).skipped
    names = ["a.jpg", "a_reg.png", "a_syn.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert next(restore_files(restorer(), jobs, save_all=True, skip_existing=True)).skipped
    (tmp_path / "out" / "a_syn.png").unlink()
    assert next(restore_files(restorer(), jobs, skip_existing=True)).skipped
    assert not next(restore_files(restorer(), jobs, save_all=True, skip_existing=True)).skipped


def targets(jobs: list[Job], below: Path) -> list[str]:
    return [job.target.relative_to(below).as_posix() for job in jobs]


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(path)


def test_the_tree_is_kept(tmp_path: Path) -> None:
    make(tmp_path, "in/a.png", "in/sub/a.png", "in/sub/deep/b.webp")
    out = tmp_path / "out"
    assert targets(plan([tmp_path / "in"], out), out) == ["a.png"]
    assert targets(plan([tmp_path / "in"], out, recursive=True), out) == [
        "a.png",
        "sub/a.png",
        "sub/deep/b.webp",
    ]


def test_clashing_names_get_numbers(tmp_path: Path) -> None:
    make(tmp_path, "one/a.png", "two/a.png", "three/A.png", "three/a_2.png")
    out = tmp_path / "out"
    jobs = plan([tmp_path / "one", tmp_path / "two", tmp_path / "three"], out)
    names = targets(jobs, out)
    assert len({name.casefold() for name in names}) == 4
    assert names[0] == "a.png"
    make(tmp_path, "same/a.png", "same/a.jpg", "same/a_reg.png")
    assert targets(plan([tmp_path / "same"], out), out) == ["a.jpg", "a.png", "a_reg.png"]
    jobs = plan([tmp_path / "same"], out, suffixes=("_reg",))
    written = [*(job.target for job in jobs), *(job.beside("_reg") for job in jobs)]
    assert len(set(written)) == 6


def test_a_single_file_may_name_its_result(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    (job,) = plan([tmp_path / "a.png"], tmp_path / "better.jpg")
    assert job.target == tmp_path / "better.jpg"
    (job,) = plan([tmp_path / "a.png"], tmp_path / "better")
    assert job.target == tmp_path / "better" / "a.png"


def test_what_cannot_be_written_becomes_png(tmp_path: Path) -> None:
    make(tmp_path, "a.gif")
    (job,) = plan([tmp_path / "a.gif"], tmp_path / "out")
    assert job.target.name == "a.png"


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    make(tmp_path, "in/a.png", "in/b.png")
    with pytest.raises(ConfigError, match="overwritten"):
        plan([tmp_path / "in"], tmp_path / "in")
    with pytest.raises(ConfigError, match="overwritten"):
        plan([tmp_path / "in" / "a.png"], tmp_path / "in" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(ConfigError, match="overwritten"):
        plan([tmp_path / "in"], tmp_path / "link")


def test_earlier_results_are_no_inputs(tmp_path: Path) -> None:
    make(tmp_path, "in/a.png", "in/out/a.png")
    out = tmp_path / "in" / "out"
    assert targets(plan([tmp_path / "in"], out, recursive=True), out) == ["a.png"]


def test_a_file_named_twice_is_restored_once(tmp_path: Path) -> None:
    make(tmp_path, "in/a.png")
    assert len(plan([tmp_path / "in", tmp_path / "in" / "a.png"], tmp_path / "out")) == 1
