from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ugpnet_core.config import ModelConfig, TaskConfig
from ugpnet_core.errors import ConfigError, ImageError, SizeError
from ugpnet_core.faces.face import Face
from ugpnet_core.image import read_image, write_image
from ugpnet_core.inference.batch import restore_files
from ugpnet_core.inference.outputs import Job, plan, same_file
from ugpnet_core.inference.restorer import Restorer
from ugpnet_core.inference.whole import sureness
from ugpnet_core.protocols import RestorationOutput, UGPNetOutput


class Enlarging(nn.Module):
    """Stands in for a restoration module: x_reg is x, enlarged, plus an error."""

    def __init__(self, scale: int = 1, error: float = 0.0) -> None:
        super().__init__()
        self.scale, self.error = scale, error
        self.backbone = nn.Identity()
        self.norm = nn.BatchNorm2d(3)  # would change its input in training mode

    def forward(self, x: Tensor) -> RestorationOutput:
        large = x.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)
        image = self.norm(large) * (1 + self.norm.eps) ** 0.5 + self.error
        return RestorationOutput(image, image)


class Fake(nn.Module):
    """Stands in for a UGPNet: to x_reg, x_hat adds stripes and ``tint``, and x_syn is 1 - x_reg."""

    def __init__(
        self,
        resolution: int = 16,
        scale: int = 1,
        *,
        domain: Literal["", "faces"] = "",
        task: str = "deblur",
        error: float = 0.0,
        tint: float = 0.0,
    ) -> None:
        super().__init__()
        self.resolution, self.scale, self.tint = resolution, scale, tint
        self.config = ModelConfig(task=TaskConfig(name=task), domain=domain)
        self.restoration = Enlarging(scale, error)

    def forward(self, x: Tensor) -> UGPNetOutput:
        assert tuple(x.shape[1:]) == (3, *[self.resolution // self.scale] * 2)
        regression = self.restoration(x).image
        return UGPNetOutput(
            regression + stripes(regression) + self.tint, regression, 1 - regression
        )


def stripes(like: Tensor) -> Tensor:
    """Columns of +0.1 and -0.1 in turn: detail, of mean zero."""
    return 0.1 - 0.2 * (torch.arange(like.shape[-1]) % 2).float().expand_as(like)


def smooth(*shape: int) -> Tensor:
    """Slopes between 0.3 and 0.7, without noise or texture."""
    corners = 0.3 + 0.4 * torch.rand(
        *shape[:-3], 3, 2, 2, generator=torch.Generator().manual_seed(3)
    )
    batch = corners if corners.dim() == 4 else corners[None]
    large = nn.functional.interpolate(
        batch, size=list(shape[-2:]), mode="bilinear", align_corners=True
    )
    return large if corners.dim() == 4 else large[0]


def restorer(model: Fake | None = None, **options: Any) -> Restorer:
    fake: Any = Fake(scale=options.pop("scale", 1)) if model is None else model
    return Restorer(fake, device="cpu", **options)


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 50, 17), (2, 3, 16, 16), (2, 3, 9, 33)])
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("domain", ["", "faces"])
def test_any_size(shape: tuple[int, ...], scale: int, domain: Literal["", "faces"]) -> None:
    x = smooth(*shape)
    out = restorer(Fake(scale=scale, domain=domain), finder=lambda image: ())(x)
    expected = x.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    for image in (out.image, out.regression, out.synthesis):
        assert image.shape == expected.shape
        assert image.device.type == "cpu"
    assert (out.regression - expected).abs().max() < 2 / 255
    if domain == "faces":
        assert torch.equal(out.image, out.regression)


def test_fidelity_blends_towards_the_regression() -> None:
    x = smooth(3, 40, 40)
    distances = []
    for fidelity in (0.0, 0.25, 0.5, 0.75, 1.0):
        out = restorer(fidelity=fidelity)(x)
        distances.append(float((out.image - out.regression).square().mean()))
    assert distances[0] > 0.005  # tiles of stripes, blended
    assert distances[1] == pytest.approx(0.75**2 * distances[0], rel=1e-3)
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] == 0


def test_the_prior_may_not_move_slow_colours() -> None:
    x = smooth(3, 64, 64)
    out = restorer(Fake(tint=0.1))(x)
    assert (out.image - out.regression).mean((1, 2)).abs().max() < 1 / 255
    assert (out.image - out.regression).abs().mean() > 0.08  # the stripes are still there


def test_colours_are_those_of_the_input_unless_the_task_moves_them() -> None:
    x = smooth(3, 64, 64)
    kept = restorer(Fake(error=0.05))(x)
    assert (kept.image - x).mean((1, 2)).abs().max() < 1 / 255
    moved = restorer(Fake(error=0.05, task="denoise"))
    # Of a task that changes colours, noise like the task's is in scope.
    noisy = (x + 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    out = moved(noisy)
    assert not out.notices
    assert (out.regression - noisy).mean() > 0.03


def test_noise_that_the_model_does_not_know_is_said_and_the_input_is_kept() -> None:
    x = smooth(3, 64, 64)
    # A model for heavy noise gets a clean photograph, and errs by 0.1.
    out = restorer(Fake(error=0.1, task="denoise"))(x)
    assert len(out.notices) == 1
    assert "weaker than what the model was trained for (0.2" in out.notices[0]
    assert (out.image - x).abs().max() < 2 / 255
    # One for blur gets a noisy one.
    noisy = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    (notice,) = restorer(Fake(task="deblur"))(noisy).notices
    assert "more than a model that was trained without noise knows, so more of the reg" in notice


def test_grey_comes_back_grey() -> None:
    grey = smooth(3, 32, 32)[:1].repeat(3, 1, 1)
    model = Fake()
    coloured = torch.tensor([0.0, 0.05, 0.1]).view(1, 3, 1, 1)
    model.restoration.register_forward_hook(
        lambda module, args, out: out._replace(image=out.image + coloured * out.image)
    )
    for image in (restorer(model)(grey).image, restorer(model)(grey).synthesis):
        assert torch.equal(image[0], image[1])
        assert torch.equal(image[1], image[2])
    assert not torch.equal(*restorer(model)(smooth(3, 32, 32)).image[:2])


def test_values_that_are_no_numbers_are_an_error_and_never_a_picture(tmp_path: Path) -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(ImageError, match="no finite numbers"):
            restorer(Fake(tint=value))(smooth(3, 20, 20))
    write_image(tmp_path / "a.png", smooth(3, 20, 30))
    jobs = plan([tmp_path / "a.png"], tmp_path / "out")
    (result,) = restore_files(restorer(Fake(error=float("nan"))), jobs)
    assert result.error is not None
    assert not (tmp_path / "out").exists()


def face_in_the_middle(image: Tensor) -> Sequence[Face]:
    height, width = image.shape[-2:]
    return [Face(width / 2, height / 2, side=min(height, width) / 2, angle=0.1)]


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("side", [24, 40, 120])
def test_faces_get_what_the_prior_adds_and_nothing_else_does(side: int, scale: int) -> None:
    x = smooth(3, side, side + 6)
    out = restorer(Fake(scale=scale, domain="faces"), finder=face_in_the_middle)(x)
    ((face,),) = out.faces
    assert (face.x, face.y, face.side) == pytest.approx((side / 2 + 3, side / 2, side / 2))
    added = (out.image - out.regression).abs().amax(0)
    middle = added.shape[0] // 2
    assert added[middle - 2 : middle + 2].amax() > 0.02
    rim = side * scale // 6
    assert added[:rim].max() == 0
    assert added[-rim:].max() == 0


def test_the_less_sure_a_face_is_the_less_is_added() -> None:
    x = smooth(3, 60, 60)
    added = []
    for score in (0.5, 0.65, 0.8, 0.95, 1.0):
        finder = functools.partial(with_score, score)
        out = restorer(Fake(domain="faces"), finder=finder)(x)
        added.append(float((out.image - out.regression).abs().max()))
    assert added[0] == 0
    assert added == sorted(added)
    assert added[3] == added[4] > 0.05


@pytest.mark.parametrize(
    ("score", "share"),
    [(0.0, 0), (0.55, 0), (0.6375, 5 / 32), (0.725, 0.5), (0.8125, 27 / 32), (0.9, 1), (1.0, 1)],
)
def test_a_face_gets_its_share_by_its_score(score: float, share: float) -> None:
    # A smooth step: 3 t^2 - 2 t^3 of the way from the one to the other.
    assert sureness(Face(5, 5, 4, 0, score)) == pytest.approx(share, abs=1e-9)


def with_score(score: float, image: Tensor) -> Sequence[Face]:
    return [replace(face, score=score) for face in face_in_the_middle(image)]


def test_the_background_can_be_kept() -> None:
    x = smooth(3, 60, 60)
    model = Fake(domain="faces", task="denoise")
    noisy = (x + 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    out = restorer(model, finder=face_in_the_middle, background="keep")(noisy)
    assert torch.equal(out.image[:, :8], noisy[:, :8])
    assert not torch.equal(out.image[:, 28:32], noisy[:, 28:32])
    with pytest.raises(ConfigError, match="faces"):
        restorer(Fake(), background="keep")


def test_faces_can_be_left_alone() -> None:
    def never(image: Tensor) -> Sequence[Face]:
        raise AssertionError

    out = restorer(Fake(domain="faces"), finder=never, faces="off")(smooth(3, 40, 40))
    assert out.faces == ((),)
    assert torch.equal(out.image, out.regression)


def test_the_border_is_as_good_as_the_inside() -> None:
    """A network that sees zeros around an image darkens its outermost pixels."""
    model = Fake(domain="faces")
    mean = nn.AvgPool2d(3, 1, 1)  # counts the zeros
    model.restoration.register_forward_hook(
        lambda module, args, out: out._replace(image=mean(out.image))
    )
    x = smooth(3, 50, 70)
    assert (restorer(model, finder=lambda image: ())(x).image - x).abs().max() < 2 / 255


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
    with pytest.raises(ConfigError):
        restorer(Fake(domain="faces"), **options)


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


@pytest.mark.parametrize("link", [os.link, os.symlink])
@pytest.mark.parametrize("result", ["b.png", "b_reg.png"])
def test_an_input_by_another_name_is_never_overwritten(
    link: Callable[[Path, Path], None], result: str, tmp_path: Path
) -> None:
    make(tmp_path, "in/a.png", "in/b.png", "out/c.png")
    source, other, out = tmp_path / "in" / "a.png", tmp_path / "in" / "b.png", tmp_path / "out"
    link(source, out / result)
    for inputs in ([source, other], [other, source]):
        with pytest.raises(ConfigError, match=rf"{result} is an input and would be overwritten"):
            plan(inputs, out, suffixes=("_reg",))
    assert len(plan([other], out, suffixes=("_reg",))) == 1
    assert same_file(source, out / result)
    assert not same_file(source, out / "c.png")


def test_another_spelling_of_an_input_is_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "in/a.png")
    monkeypatch.chdir(tmp_path / "in")
    for spelling in ("a.png", ".", tmp_path / "in" / ".." / "in", "../in/a.png"):
        with pytest.raises(ConfigError, match="overwritten"):
            plan([tmp_path / "in" / "a.png"], spelling)
    # So is one that does not exist yet: it may when its turn comes.
    with pytest.raises(ConfigError, match="overwritten"):
        plan(["none.png"], tmp_path / "in" / "none.png")
    # What does not exist has no identity, and no other name but by its path.
    assert same_file(Path("new.png"), tmp_path / "in" / "new.png")
    assert not same_file(Path("new.png"), Path("newer.png"))


def test_earlier_results_are_no_inputs(tmp_path: Path) -> None:
    make(tmp_path, "in/a.png", "in/out/a.png")
    out = tmp_path / "in" / "out"
    assert targets(plan([tmp_path / "in"], out, recursive=True), out) == ["a.png"]


def test_a_file_named_twice_is_restored_once(tmp_path: Path) -> None:
    make(tmp_path, "in/a.png")
    assert len(plan([tmp_path / "in", tmp_path / "in" / "a.png"], tmp_path / "out")) == 1
