"""Exported files: what they say, that other programs get the same of them, restoring with them."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime  # type: ignore[import-untyped, unused-ignore]
import pytest
import torch
from torch import Tensor, nn

import ugpnet_core as ug
from ugpnet_core import cli
from ugpnet_core.engines.export import METADATA, export_model
from ugpnet_core.errors import ConfigError, PluginError, WeightsError
from ugpnet_core.faces.face import Face
from ugpnet_core.image import read_image, write_image


class Files(NamedTuple):
    whole: Path
    restoration: Path


@pytest.fixture(scope="session")
def files(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Both parts of the tiny model, by the command, as ONNX files."""
    folder = tmp_path_factory.mktemp("onnx")
    assert cli.main(["export", str(tiny), "-o", str(folder / "whole.onnx")]) == 0
    words = ["export", str(tiny), "-o", str(folder / "r"), "--part=restoration", "--format=onnx"]
    assert cli.main(words) == 0
    return Files(folder / "whole.onnx", folder / "r")


def run(path: Path, x: Tensor) -> list[Any]:
    """As a program that has never heard of this toolkit."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    made: list[Any] = session.run(None, {"x": x.numpy()})
    return made


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_whole_model_gives_the_same_for_any_batch(files: Files, tiny: Path, batch: int) -> None:
    x = torch.rand(batch, 3, 32, 32)
    with torch.no_grad():
        expected = ug.load_model(tiny)(x)
    for made, wanted in zip(run(files.whole, x), expected, strict=True):
        assert np.abs(made - wanted.numpy()).max() < 1e-3


@pytest.mark.parametrize("size", [(32, 32), (64, 224), (160, 32)])
def test_the_restoration_module_gives_the_same_for_any_size(
    files: Files, tiny: Path, size: tuple[int, int]
) -> None:
    x = torch.rand(2, 3, *size)
    with torch.no_grad():
        expected = ug.load_model(tiny).restoration(x).image
    (made,) = run(files.restoration, x)
    assert np.abs(made - expected.numpy()).max() < 1e-3


def test_files_say_what_they_take_and_give(files: Files) -> None:
    for path, part, outputs, side in (
        (files.whole, "whole", ["x_hat", "x_reg", "x_syn"], "32"),
        (files.restoration, "restoration", ["x_reg"], "0"),
    ):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        assert [one.name for one in session.get_inputs()] == ["x"]
        assert [one.name for one in session.get_outputs()] == outputs
        said = session.get_modelmeta().custom_metadata_map
        assert (said["model"], said["part"], said["side"]) == ("tiny.safetensors", part, side)
        assert (said["multiple"], said["scale"], said["resolution"]) == ("32", "1", "32")
        assert said["range"].startswith("0 to 1")
        assert json.loads(said["config"])["backbone"]["name"] == "nafnet"


def one_face(image: Tensor) -> Sequence[Face]:
    return [Face(35, 22, side=30, angle=0.1)]


@pytest.mark.parametrize("both", [True, False], ids=["two files", "one file"])
def test_a_restorer_gives_the_same(files: Files, tiny: Path, slopes: Tensor, both: bool) -> None:
    expected = ug.Restorer(tiny, device="cpu", precision="float32", finder=one_face)(slopes)
    network = ug.load_onnx(files.whole, files.restoration if both else None)
    restorer = ug.Restorer(network, device="cpu", finder=one_face)
    made = restorer(slopes)
    assert made.faces == expected.faces
    # In one file x_reg comes from tiles of the model's one size, which see less around them.
    tolerance = 1e-3 if both else 0.05
    for name in ("image", "regression", "synthesis"):
        assert (getattr(made, name) - getattr(expected, name)).abs().max() < tolerance
    assert (made.image - made.regression).abs().max() > 0
    copied = copy.deepcopy(network)
    assert torch.equal(ug.Restorer(copied, device="cpu", finder=one_face)(slopes).image, made.image)


def test_the_command_restores_with_files_and_with_what_it_exports(
    files: Files,
    tiny: Path,
    slopes: Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UGPNET_CACHE", str(tmp_path / "cache"))
    write_image("a.png", slopes)
    assert cli.main(["restore", "a.png", "-o", "plain.png", "-m", str(tiny)]) == 0
    assert cli.main(["restore", "a.png", "-o", "file.png", "-m", str(files.whole)]) == 0
    capsys.readouterr()
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(files.restoration.read_bytes())
    assert cli.main(["restore", "a.png", "-o", "alone.png", "-m", str(alone)]) == 0
    assert "restoration module alone" in capsys.readouterr().err
    folder = tmp_path / "cache" / "onnx"
    monkeypatch.setattr("ugpnet_core.engines.cached.export_model", _copied(files))
    for _ in range(2):
        assert (
            cli.main(
                ["restore", "a.png", "-o", "c.png", "-m", str(tiny), "--engine=onnx", "--overwrite"]
            )
            == 0
        )
    assert capsys.readouterr().err.count("Exporting tiny.safetensors") == 2
    assert len(list(folder.iterdir())) == 2
    plain = read_image("plain.png").pixels
    for name in ("alone.png", "c.png"):
        # bfloat16 where the machine has it, and 8 bits.
        assert (read_image(name).pixels - plain).abs().max() < 4 / 255


def _copied(files: Files) -> Any:
    """In the place of exporting once more."""

    def export(model: object, path: Path, *, part: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(getattr(files, part).read_bytes())

    return export


def test_torch_export(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.pt2"
    assert cli.main(["export", str(tiny), "-o", str(path), "--part=restoration"]) == 0
    assert "largest difference from torch" in capsys.readouterr().out
    extra = {METADATA: ""}
    program = torch.export.load(path, extra_files=extra)
    assert json.loads(extra[METADATA])["part"] == "restoration"
    x = torch.rand(3, 3, 96, 32)
    with torch.no_grad():
        (made,) = program.module()(x)
        assert (made - ug.load_model(tiny).restoration(x).image).abs().max() < 1e-3


class Looking(nn.Module):
    """Decides by a value, which no exporter can write down."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if float(x.sum()) > 0 else x


class Drawing(nn.Module):
    """Gives another thing each time."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand(1)


@pytest.mark.parametrize(
    ("layer", "error", "said"),
    [(Looking(), PluginError, "cannot be exported"), (Drawing(), WeightsError, "differs")],
    ids=["looking", "drawing"],
)
def test_what_cannot_be_exported_is_no_file(
    layer: nn.Module, error: type[Exception], said: str, tiny: Path, tmp_path: Path
) -> None:
    model = ug.load_model(tiny)
    model.restoration.register_module("_layer", layer)
    model.restoration.register_forward_hook(
        lambda module, args, out: out._replace(image=layer(out.image))
    )
    with pytest.raises(error, match=said):
        export_model(model, tmp_path / "a.pt2", part="restoration")
    assert list(tmp_path.iterdir()) == []


def test_wrong_usage(tiny: Path, files: Files, tmp_path: Path) -> None:
    assert cli.main(["export", str(tiny), "-o", str(tmp_path / "a.xyz")]) == 2
    assert cli.main(["export", str(tiny), "-o", str(tiny)]) == 2
    assert cli.main(["export", "nothing-of-this-name", "-o", str(tmp_path / "a.onnx")]) == 2
    with pytest.raises(WeightsError, match="cannot be read as an ONNX file"):
        ug.load_onnx(tiny)
    with pytest.raises(ConfigError, match="onnxruntime cannot compute on meta"):
        ug.load_onnx(files.whole, device="meta")
