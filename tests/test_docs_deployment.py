"""docs/deployment.md: everything on it works; and the node for ComfyUI."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from spandrel import ModelLoader
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core import cli
from ugpnet_core.engines.export import METADATA
from ugpnet_core.image import write_image

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, flags=re.M | re.S)


def test_following_the_document(
    tiny: Path, slopes: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UGPNET_CACHE", str(tmp_path / "cache"))
    write_image("photos/anna.png", slopes)

    def copied(model: object, path: Path, *, part: str) -> None:
        """What the lines before have exported, in the place of exporting it once more."""
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile({"whole": "portraits.onnx"}.get(part, "portraits-reg.onnx"), path)

    monkeypatch.setattr("ugpnet_core.engines.cached.export_model", copied)
    for line in BLOCKS[0][1].splitlines():
        words = shlex.split(line, comments=True)
        assert words[0] == "ugpnet"
        # The smallest model in the place of one that takes minutes to export.
        words = [str(tiny) if word == "portraits" else word for word in words]
        assert cli.main(words[1:]) == 0, line
    for made in ("restored/anna.png", "again/anna.png", "portraits-reg.pt2"):
        assert Path(made).is_file()
    names: dict[str, Any] = {}
    exec(BLOCKS[1][1], names)
    assert names["restored"].image.shape == slopes.shape
    extra = {METADATA: ""}
    torch.export.load("portraits-reg.pt2", extra_files=extra)
    for key in re.findall(r'^  "(\w+)":', extra[METADATA], flags=re.M):
        assert f"`{key}`" in TEXT, key


def test_a_backbone_for_spandrel(
    training_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"num_feat": 8, "num_block": 1, "num_grow_ch": 32, "scale": 4}
    content = training_settings["model"] | {
        "backbone": {"name": "rrdbnet", "options": options},
        "task": {"name": "sr4"},
    }
    model = ug.build_model(ug.ModelConfig.model_validate(content)).eval()
    ug.save_model(model, "enlarge.safetensors")
    exec(BLOCKS[2][1], {})
    loaded = ModelLoader().load_from_file("enlarge-backbone.safetensors")
    x = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        made, expected = loaded.model.eval()(x), model.restoration(x).image
    assert (made - expected).abs().max() < 1e-5


def test_the_node_for_comfyui(tiny: Path, slopes: Tensor) -> None:
    path = ROOT / "examples" / "comfyui" / "__init__.py"
    spec = importlib.util.spec_from_file_location("comfyui_node", path)
    assert spec is not None
    assert spec.loader is not None
    node: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(node)
    (kind,) = node.NODE_CLASS_MAPPINGS.values()
    asked = kind.INPUT_TYPES()["required"]
    assert "portraits" in asked["model"][0]
    images = slopes.movedim(0, -1)[None]
    made = getattr(kind(), kind.FUNCTION)(images, str(tiny), 0.5, True)
    assert len(made) == len(kind.RETURN_TYPES)
    assert [one.shape for one in made] == [images.shape] * 2
