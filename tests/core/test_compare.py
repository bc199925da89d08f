"""Comparing methods of every kind on tasks, and the settings that say which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core.config import ModelConfig
from ugpnet_core.config_files import validated
from ugpnet_core.degradations.resampling import downsample
from ugpnet_core.errors import ConfigError, ImageError, WeightsError
from ugpnet_core.evaluation.foreign import ForeignNetwork
from ugpnet_core.evaluation.results import Comparison, Evaluation
from ugpnet_core.image import center_square, read_image, resize, write_image
from ugpnet_core.metrics.networks import metric_networks
from ugpnet_core.metrics.pixel import psnr, quantised
from ugpnet_core.model_files.model import save_model
from ugpnet_core.networks.ugpnet import build_model
from ugpnet_core.studies.compare import compare
from ugpnet_core.studies.settings import CompareConfig

pytestmark = pytest.mark.usefixtures("no_other_process")

SMALL_NAFNET: dict[str, Any] = {
    "width": 4,
    "enc_blk_nums": [1],
    "middle_blk_num": 1,
    "dec_blk_nums": [1],
}


@pytest.fixture(scope="module")
def model_file(training_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = build_model(ModelConfig.model_validate(training_settings["model"]))
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(model, path)
    return path


@pytest.fixture(scope="module")
def network_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of spandrel's that enlarges twice, with random weights."""
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("network") / "compact.pth"
    network = Compact(num_feat=8, num_conv=2, upscale=2)
    torch.save({"params": network.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def swinir_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of spandrel's whose windows have 8 pixels."""
    from spandrel.architectures.SwinIR import SwinIR

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("network") / "swinir.pth"
    network = SwinIR(
        depths=[2], num_heads=[2], window_size=8, img_size=64, embed_dim=12, upsampler=""
    )
    torch.save({"params": network.state_dict()}, path)
    return path


@pytest.fixture
def config(photographs: Path, tmp_path: Path) -> Callable[..., CompareConfig]:
    def make(methods: list[dict[str, Any]], **changes: Any) -> CompareConfig:
        content = {
            "name": "trial",
            "output": str(tmp_path / "out"),
            "data": {"photographs": [str(photographs)], "resolution": 32, "count": 3},
            "tasks": ["denoise"],
            "methods": methods,
            "cost": None,
            **changes,
        }
        return validated(CompareConfig, content, "compare.yaml")

    return make


Config = Callable[..., CompareConfig]


def only(comparison: Comparison) -> Evaluation:
    (evaluation,) = comparison.evaluations
    return evaluation


def names(evaluation: Evaluation) -> list[str]:
    return [method.name for method in evaluation.methods]


def test_methods_of_every_kind_stand_in_one_table(
    config: Config, model_file: Path, network_file: Path, swinir_file: Path, tmp_path: Path
) -> None:
    backbone = ug.create_backbone("nafnet", **SMALL_NAFNET)
    assert isinstance(backbone, torch.nn.Module)
    torch.save(backbone.state_dict(), tmp_path / "nafnet.pth")
    methods: list[dict[str, Any]] = [
        {"name": "SwinIR", "network": str(swinir_file), "class": "regression"},
        {"name": "x_hat", "model": str(model_file)},
        {"name": "x_reg", "model": str(model_file), "part": "regression"},
        {"name": "half", "model": str(model_file), "fidelity": 0.5},
        {"name": "x_syn", "model": str(model_file), "part": "synthesis"},
        {
            "name": "NAFNet",
            "backbone": {"name": "nafnet", "options": SMALL_NAFNET},
            "weights": str(tmp_path / "nafnet.pth"),
        },
        {"name": "Compact", "network": str(network_file)},
        {"name": "nlm", "classical": "non-local means"},
        {"name": "cubic", "classical": "bicubic"},
    ]
    seen: dict[str, Tensor] = {}

    def keep(_: str, __: object) -> Callable[..., None]:
        return lambda sample, images: seen.update(images)

    settings = config(methods, cost={"repeats": 1})
    result = only(compare(settings, keep=[keep]))
    expected = ["degraded", *(str(method["name"]) for method in methods)]
    assert not result.problems
    assert names(result) == expected
    assert list(seen) == ["clean", *expected]
    kinds = {method.name: (method.kind, method.group) for method in result.methods}
    assert kinds["SwinIR"] == ("network", "regression")
    assert kinds["x_reg"] == ("regression", "regression")
    assert kinds["half"] == ("ugpnet", "ours")
    assert kinds["nlm"] == ("classical", "classical")
    assert {each.reference for each in result.differences} == {"x_reg"}
    assert result.value("cubic", "psnr") == result.value("degraded", "psnr")
    # What each is supposed to make of the last photograph.
    x = seen["degraded"][None]
    model = ug.load_model(model_file)
    with torch.no_grad():
        output = model(x)
        made = {
            "x_hat": output.image,
            "x_reg": output.regression,
            "half": (output.image + output.regression) / 2,
            "NAFNet": backbone.eval()(x),
            "Compact": resize(ForeignNetwork(network_file)(x), (32, 32)),
        }
    for name, image in made.items():
        assert (seen[name] - image[0].clamp(0, 1)).abs().max() < 0.51 / 255, name
    costs = {method.name: method.cost for method in result.methods}
    parameters = sum(value.numel() for value in backbone.parameters())
    assert costs["NAFNet"] is not None
    assert costs["NAFNet"].parameters == parameters
    for name in ("x_reg", "NAFNet", "Compact", "SwinIR"):
        cost = costs[name]
        assert cost is not None
        assert cost.macs, f"{name}: {cost.note}"
        assert cost.seconds
    whole, part = costs["x_hat"], costs["x_reg"]
    assert whole is not None
    assert part is not None
    assert whole.macs is not None
    assert part.macs is not None
    assert whole.macs > part.macs


def test_networks_of_another_scale_are_fitted_and_the_protocol_says_how(
    config: Config, network_file: Path
) -> None:
    methods = [{"name": "net", "network": str(network_file)}]
    same = only(compare(config(methods))).protocol["net"]
    assert "results bicubically resized from 64 to 32" in same
    eight = only(compare(config(methods, tasks=["sr8"])))
    assert "degraded images bicubically enlarged to 16 first" in eight.protocol["net"]
    assert not eight.problems
    two = {"name": "sr", "options": {"factor": 2}}
    fitting = only(compare(config(methods, tasks=[two]))).protocol["net"]
    assert "bicubically" not in fitting


def test_each_task_has_its_own_methods(config: Config) -> None:
    methods: list[dict[str, Any]] = [
        {"name": "classical", "classical": "non-local means", "tasks": ["denoise"]},
        {"name": "classical", "classical": "wiener", "tasks": ["deblur"]},
        {"name": "cubic", "classical": "bicubic", "tasks": ["small"]},
    ]
    tasks = [
        "denoise",
        {"name": "deblur", "options": {"kernel_size": 71}},
        {"title": "small", "task": ["blur", {"noise": {"sigma": 5}}]},
    ]
    comparison = compare(config(methods, tasks=tasks))
    titles = [evaluation.title for evaluation in comparison.evaluations]
    assert titles == ["denoise", "deblur", "small"]
    denoise, deblur, small = comparison.evaluations
    assert names(denoise) == names(deblur) == ["degraded", "classical"]
    assert names(small) == ["degraded", "cubic"]
    assert "composition" in small.protocol["task"]
    assert not any(evaluation.problems for evaluation in comparison.evaluations)
    for evaluation in (denoise, deblur):
        restored, before = (evaluation.value(name, "psnr") for name in names(evaluation)[::-1])
        assert restored is not None
        assert before is not None
        assert restored > before + 1


def test_pairs_are_a_task(config: Config, photographs: Path, tmp_path: Path) -> None:
    for path in photographs.rglob("*.png"):
        target = tmp_path / "dark" / path.relative_to(photographs)
        write_image(target, read_image(path).pixels * 0.5)
    task = {"title": "dark", "pairs": {"clean": str(photographs), "degraded": "MISSING"}}
    methods = [{"name": "cubic", "classical": "bicubic"}]
    with pytest.raises(ImageError, match="no folder MISSING"):
        compare(config(methods, tasks=[task]))
    task["pairs"]["degraded"] = str(tmp_path / "dark")  # type: ignore[index]
    result = only(compare(config(methods, tasks=[task], data={"resolution": 32, "count": 2})))
    assert result.title == "dark"
    assert len(result.images) == 2
    assert result.value("cubic", "psnr") == pytest.approx(6 + 5, abs=6)


def test_pairs_by_pattern_and_by_a_known_task(
    config: Config, photographs: Path, tmp_path: Path
) -> None:
    clean, small = tmp_path / "clean", tmp_path / "small"
    for number, path in enumerate(sorted(photographs.rglob("*.png"))[:2]):
        image = center_square(read_image(path).pixels, 32)
        write_image(clean / f"{number}.png", image)
        write_image(small / f"{number}x2.png", downsample(quantised(image), 2))
    pairs: dict[str, Any] = {
        "clean": str(clean),
        "degraded": str(small),
        "pattern": "{stem}x2",
        "task": "sr2",
    }
    table: dict[str, Any] = {"title": "pairs", "pairs": pairs}
    methods = [{"name": "cubic", "classical": "bicubic"}]
    settings = config(methods, tasks=[table], data={"resolution": 32})
    networks = metric_networks(chosen=["psnr", "consistency"])
    result = only(compare(settings, networks=networks))
    expected = []
    for name in ("0", "1"):
        x = read_image(small / f"{name}x2.png").pixels
        again = downsample(quantised(resize(x, (32, 32))), 2)
        expected.append(float(psnr(quantised(again)[None], x[None])[0]))
    assert result.image_values("cubic", "consistency") == pytest.approx(expected)
    assert "taken for sr2" in result.protocol["task"]
    write_image(small / "0x2_b.png", read_image(small / "0x2.png").pixels)
    table["pairs"] = {**pairs, "pattern": "{stem}x2*"}
    with pytest.raises(ImageError, match=r"several degraded images.*: 0; name one"):
        compare(config(methods, tasks=[table], data={"resolution": 32}))


def test_what_cannot_be_loaded_has_an_empty_row(
    config: Config, model_file: Path, squeezenet: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.pth").write_bytes(b"nothing")
    methods: list[dict[str, Any]] = [
        {"name": "gone", "model": "gone.safetensors"},
        {"name": "unknown", "network": str(squeezenet)},
        {"name": "broken", "network": str(tmp_path / "broken.pth")},
        {"name": "x_hat", "model": str(model_file)},
        {"name": "Wiener", "classical": "wiener"},
    ]
    result = only(compare(config(methods)))
    assert names(result) == ["degraded", "gone", "unknown", "broken", "x_hat", "Wiener"]
    failed = {method.name: method.failed for method in result.methods if not method.figures}
    assert "no model file gone" in failed["gone"]
    assert "no network that spandrel recognises" in failed["unknown"]
    assert "broken.pth" in failed["broken"]
    assert "needs the blur kernel" in failed["Wiener"]
    assert set(failed) == {"gone", "unknown", "broken", "Wiener"}
    assert {problem.method for problem in result.problems} == set(failed)
    sr8 = only(compare(config(methods[3:4], tasks=["sr8"])))
    assert "choose a task that fits" in sr8.method("x_hat").failed


def test_a_network_pads_to_the_sizes_it_takes(swinir_file: Path) -> None:
    from spandrel import MAIN_REGISTRY

    network = ForeignNetwork(swinir_file)
    reference = MAIN_REGISTRY.load(torch.load(swinir_file)["params"])
    x = torch.rand(2, 3, 19, 24)
    expected = torch.cat([reference(image[None]) for image in x])
    # Random weights make values far outside of [0, 1], which are not hidden.
    torch.testing.assert_close(network(x).clamp(0, 1), expected)
    assert "SwinIR" in network.words(24, 24)


def test_networks_that_are_not_from_rgb_to_rgb_are_refused(tmp_path: Path) -> None:
    from spandrel.architectures.Compact import Compact

    grey = Compact(num_in_ch=1, num_out_ch=1, num_feat=8, num_conv=2, upscale=2)
    torch.save(grey.state_dict(), tmp_path / "grey.pth")
    with pytest.raises(WeightsError, match=r"grey\.pth \(.*\) maps 1 channels to 1"):
        ForeignNetwork(tmp_path / "grey.pth")


def test_face_networks_see_images_of_their_one_size(
    swinir_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ugpnet_core.evaluation import foreign

    monkeypatch.setattr(foreign, "FACE_PURPOSE", "Restoration")  # SwinIR's
    monkeypatch.setattr(foreign, "FACE_SIDE", 40)
    network = ForeignNetwork(swinir_file)
    sizes = []
    network.network.register_forward_pre_hook(lambda _, x: sizes.append(x[0].shape[-2:]))
    assert network(torch.rand(1, 3, 24, 24)).shape == (1, 3, 24, 24)
    assert sizes == [(40, 40)]
    assert "resized to 40 and back" in network.words(24, 24)


@pytest.mark.parametrize(
    ("methods", "changes", "message"),
    [
        ([{"name": "a"}], {}, "exactly one of model, backbone, network, results, classical"),
        ([{"name": "a", "model": "m", "network": "n"}], {}, "exactly one of"),
        ([{"name": "a", "model": "m", "key": "k"}], {}, "key is that of a checkpoint"),
        ([{"name": "a", "network": "n", "fidelity": 0.5}], {}, "those of a model"),
        ([{"name": "a", "model": "m", "fidelity": 2}], {}, "fidelity"),
        ([{"name": "a", "model": "m", "weights": "w"}], {}, "those of a backbone"),
        ([{"name": "a", "model": "m", "task": ["x"]}], {}, "task: Extra inputs"),
        ([{"name": "a", "model": "m", "tasks": ["x"]}], {}, r"for tasks \['x'\]"),
        ([{"name": "a", "model": "m"}] * 2, {}, "the name 'a'; rename one"),
        ([{"name": "a", "classical": "median"}], {}, "classical"),
        ([{"name": "a", "model": "m", "fidelity": []}], {}, "fidelity"),
        ([{"name": "a", "model": "m", "fidelity": [0, 1.5]}], {}, "fidelity"),
        ([{"name": "a", "model": "m", "fidelity": [0.5, 0.5]}], {}, "the same in six digits"),
        ([{"name": "a", "model": "m", "fidelity": [0.1, 0.1000000001]}], {}, "the same in six"),
        ([{"name": "a", "classical": "bicubic", "fidelity": [0]}], {}, "those of a model"),
        ([{"name": "a", "model": "m"}], {"data": {"photographs": {"x": []}}}, "photographs"),
        ([{"name": "a", "model": "m"}], {"tasks": ["sr8", "sr8"]}, "the title 'sr8'"),
        ([{"name": "a", "model": "m"}], {"tasks": [{"title": "x"}]}, "give a task or pairs"),
        (
            [{"name": "a", "results": "r"}],
            {"tasks": ["denoise", "sr8"]},
            "results r would count in 2 tables, 'denoise' and 'sr8'",
        ),
        ([{"name": "a", "model": "m"}], {"data": {"resolution": 8}}, "need data.photographs"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(
    config: Config, methods: list[dict[str, Any]], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        config(methods, **changes)
