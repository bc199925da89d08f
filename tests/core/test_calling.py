"""What a Restorer may be called with, and what it saves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ugpnet_core.config import ModelConfig
from ugpnet_core.errors import ConfigError, ImageError, SizeError
from ugpnet_core.image import ImageFile, read_image, write_image
from ugpnet_core.inference.calling import Calling
from ugpnet_core.inference.pictures import picture_file
from ugpnet_core.inference.restored import Restored
from ugpnet_core.inference.restorer import Restorer
from ugpnet_core.networks.ugpnet import UGPNet, build_model


class Inverting(Calling):
    """Makes the negative, so that what went in can be told from what comes out."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def restore_tensor(self, x: Tensor) -> Restored:
        self.seen.append(tuple(x.shape))
        return Restored(1 - x, x, x, ((),))


LEVELS = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(4, 5, 3) * 4
PIXELS = torch.from_numpy(LEVELS.transpose(2, 0, 1) / 255).float()


@pytest.mark.parametrize(
    "image",
    [
        LEVELS,
        LEVELS.astype(np.uint16) * 257,
        (LEVELS / 255).astype(np.float32),
        LEVELS / 255,
        np.dstack([LEVELS, np.full((4, 5), 9, np.uint8)]),
        Image.fromarray(LEVELS),
        Image.fromarray(LEVELS).convert("RGBA"),
        PIXELS,
        LEVELS[::-1][::-1],
    ],
    ids=["uint8", "uint16", "float32", "float64", "RGBA", "PIL", "PIL RGBA", "tensor", "a view"],
)
def test_kinds_of_images(image: Any) -> None:
    made = Inverting()(image).image
    assert made.shape == (3, 4, 5)
    assert (1 - made - PIXELS).abs().max() < 1e-6


@pytest.mark.parametrize("array", [LEVELS[:, :, 0], LEVELS[:, :, :1]], ids=["(H, W)", "(H, W, 1)"])
def test_grey(array: Any) -> None:
    for image in (array, Image.fromarray(array.reshape(4, 5))):
        made = Inverting()(image).image
        assert torch.equal(made, 1 - PIXELS[:1].expand(3, -1, -1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr", "HSV", "LAB", "I", "F"])
def test_every_mode_of_pillow(mode: str) -> None:
    grey = Image.new("L", (5, 4), 255)
    image = Image.new("F", (5, 4), 1.0) if mode == "F" else grey.convert("RGB").convert("L")
    if mode == "I":
        image = Image.fromarray(np.full((4, 5), 65535, np.int32))
    elif mode == "LAB":
        image = Image.new("LAB", (5, 4), (255, 128, 128))
    elif mode != "F":
        image = grey.convert("RGB").convert(mode) if mode != "LA" else grey.convert("LA")
    assert image.mode == mode
    assert Inverting()(image).image.max() < 0.02  # white


def test_orientation_and_files(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    Image.fromarray(LEVELS).save(path, exif=exif)
    restorer = Inverting()
    with Image.open(path) as opened:
        results = restorer([path, str(path), opened])
    assert restorer.seen == [(3, 5, 4)] * 3
    assert all(torch.equal(one.image, results[0].image) for one in results)


def test_lists_give_lists_and_iterators_are_lazy() -> None:
    restorer = Inverting()
    assert [one.image.shape for one in restorer([LEVELS, PIXELS])] == [(3, 4, 5)] * 2
    assert restorer([]) == []
    taken = []

    def endless() -> Iterator[Any]:
        while True:
            taken.append(1)
            yield LEVELS

    results = restorer(endless())
    assert taken == []
    next(results)
    next(results)
    assert len(taken) == 2


@pytest.mark.parametrize(
    ("image", "error", "said"),
    [
        (np.zeros((3, 8, 9), np.uint8), SizeError, "transpose"),
        (np.zeros((4, 8, 9, 3), np.uint8), SizeError, "(H, W, 3)"),
        (np.zeros((8, 9, 3), np.int64), ImageError, "uint8, uint16, or floats"),
        (np.full((8, 9, 3), 200.0), ImageError, "divide it by its white"),
        (np.full((8, 9, 3), np.nan), ImageError, "NaN"),
        (17, ImageError, "a path, a Pillow image"),
    ],
    ids=["channels first", "batch", "int64", "0 to 255", "NaN", "a number"],
)
def test_what_is_no_image_is_said(image: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        Inverting()(image)
    assert said in str(caught.value)


def test_results_as_arrays_and_for_pillow() -> None:
    made = Inverting()(LEVELS)
    assert np.array_equal(made.array(), 255 - LEVELS)
    assert np.array_equal(made.array(np.uint16), 65535 - LEVELS.astype(np.uint16) * 257)
    assert made.array(np.float32).dtype == np.float32
    assert np.array_equal(np.asarray(made.pil()), 255 - LEVELS)
    batch = Restored(torch.stack([PIXELS, 1 - PIXELS]), PIXELS, PIXELS)
    assert batch.array().shape == (2, 4, 5, 3)


def test_saving_keeps_what_the_image_has(tmp_path: Path) -> None:
    deep = np.dstack([LEVELS.astype(np.uint16) * 256 + 1, np.full((4, 5), 9000, np.uint16)])
    Inverting().save(deep, tmp_path / "new" / "deep.png", save_all=True)
    file: ImageFile = read_image(tmp_path / "new" / "deep.png")
    assert file.bit_depth == 16
    assert file.alpha is not None
    assert (file.alpha - 9000 / 65535).abs().max() < 1e-6
    assert {one.name for one in (tmp_path / "new").iterdir()} == {
        "deep.png",
        "deep_reg.png",
        "deep_syn.png",
    }
    photo = Image.fromarray(LEVELS)
    exif = Image.Exif()
    exif[0x010E] = "a caption"
    photo.info["exif"] = exif.tobytes()
    with Image.open(_saved(photo, tmp_path / "photo.jpg")) as opened:
        assert opened.getexif()[0x010E] == "a caption"


def _saved(photo: Image.Image, path: Path) -> Path:
    Inverting().save(photo, path)
    return path


def test_saving_never_replaces_the_image_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_image(path, PIXELS)
    before = path.read_bytes()
    (tmp_path / "link.png").symlink_to(path)
    for target in (path, tmp_path / "link.png"):
        with pytest.raises(ConfigError, match="the image itself"):
            Inverting().save(path, target)
    assert path.read_bytes() == before


def test_a_path_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"missing\.png"):
        picture_file(tmp_path / "missing.png")


def test_threads_get_what_one_gets(training_settings: dict[str, Any]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = ModelConfig.model_validate(training_settings["model"] | {"domain": "faces"})
        model: UGPNet = build_model(config)
    alone = Restorer(model, device="cpu")
    images = [torch.rand(3, 24 + 5 * i, 40, generator=_rng(i)) * 0.5 for i in range(4)]
    expected = [alone(image).image for image in images]
    # A Restorer that nobody has used yet: what it makes when it is first asked is at stake, too.
    shared = Restorer(model, device="cpu")
    together = threading.Barrier(4)

    def work(index: int) -> list[Tensor]:
        together.wait()
        return [shared(images[(index + i) % 4]).image for i in range(4)]

    with ThreadPoolExecutor(4) as pool:
        for index, results in enumerate(pool.map(work, range(4))):
            for i, result in enumerate(results):
                assert torch.equal(result, expected[(index + i) % 4])


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
