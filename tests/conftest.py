"""What tests of several folders share: golden numbers (tests/golden/README.md has the rules), what
the smallest training needs, and a browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import ugpnet_core as ug
from ugpnet_core.config import TrainConfig
from ugpnet_core.image import write_image
from ugpnet_core.losses.perceptual_weights import empty_trunk
from ugpnet_core.plugins import (
    BackboneEntry,
    Installed,
    ModelEntry,
    PriorEntry,
    Registry,
    TaskEntry,
    discovery,
    registry,
)

if TYPE_CHECKING:
    from selenium import webdriver

FOLDER = Path(__file__).parent / "golden"
GROUPS = {
    BackboneEntry: "backbones",
    PriorEntry: "priors",
    ModelEntry: "models",
    TaskEntry: "tasks",
}


def _random_state(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))


@pytest.fixture
def no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole checks without the processes that they start, each of which imports torch for seconds;
    tests/core/test_conformance_escaped.py has tests of these."""
    monkeypatch.setattr("ugpnet_core.testing.checks.processes.HASH_SEEDS", ())


@pytest.fixture(scope="session")
def golden() -> Callable[[str], tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """A function from the name of a golden file to the weights that it prescribes and to its
    tensors, inputs among them."""

    def read(name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        described = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        prefix = "discriminator/" if name.endswith("_discriminator") else ""
        weights = {}
        for key, entry in described["state"].items():
            drawn = _random_state(prefix + key).standard_normal(entry["shape"]).astype("float32")
            weights[key] = torch.from_numpy(entry["offset"] + entry["scale"] * drawn).float()
        tensors = load_file(FOLDER / f"{name}.safetensors")
        shapes = described["tensors"]
        shape = [1, 3, 512, 512] if "input_seed" in shapes else shapes.get("input")
        if shape and "input" not in tensors:
            drawn = _random_state(f"{name}/input").random_sample(shape).astype("float32")
            tensors["input"] = torch.from_numpy(drawn)
        return weights, tensors

    return read


@pytest.fixture(scope="session")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with random weights of the SqueezeNet trunk, scaled so that no layer dies."""
    rng = torch.Generator().manual_seed(0)
    state = {}
    for key, value in empty_trunk("squeeze").state_dict().items():
        fan_in = value[0].numel() if value.dim() > 1 else 100
        state[key] = torch.randn(value.shape, generator=rng) * (2 / fan_in) ** 0.5
    path = tmp_path_factory.mktemp("squeezenet") / "squeezenet.safetensors"
    save_file(state, path)
    return path


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with five smooth pictures, none of them square or smaller than 36 pixels."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = torch.Generator().manual_seed(1)
    for index in range(5):
        smooth = torch.rand(1, 3, 4, 5, generator=rng)
        picture = torch.nn.functional.interpolate(smooth, (36, 40 + index), mode="bilinear")[0]
        write_image(folder / "inner" / f"{index}.png", picture)
    return folder


@pytest.fixture(scope="session")
def training_settings(squeezenet: Path, photographs: Path) -> dict[str, Any]:
    """The smallest training with all four stages, as YAML would hold it; not to be changed."""
    return {
        "name": "tiny",
        "output": "runs/tiny",
        "model": {
            "backbone": {
                "name": "nafnet",
                "options": {
                    "width": 4,
                    "enc_blk_nums": [1],
                    "middle_blk_num": 1,
                    "dec_blk_nums": [1],
                },
            },
            "prior": {
                "name": "stylegan2",
                "options": {
                    "resolution": 32,
                    "style_dim": 8,
                    "num_mlp": 1,
                    "narrow": 1 / 64,
                    "base_size": 8,
                },
            },
            "merging_channels": 4,
            "fusion_blocks": 1,
        },
        "data": {
            "train": [str(photographs)],
            "validation": [str(photographs)],
            "resolution": 32,
            "validation_count": 2,
        },
        "perceptual": {"network": "squeeze", "weights": str(squeezenet), "resize": None},
        "prior": {"iterations": 2, "batch_size": 2},
        "restoration": {"iterations": 2, "batch_size": 2},
        "synthesis": {"iterations": 2, "batch_size": 2},
        "fusion": {"iterations": 2, "batch_size": 2},
        "trackers": [],
        "threads": 1,
    }


@pytest.fixture
def training_config(
    training_settings: dict[str, Any], tmp_path: Path
) -> Callable[..., TrainConfig]:
    """A function that makes the smallest training, with changes by dotted key."""

    def make(**changes: Any) -> TrainConfig:
        content = {**training_settings, "output": str(tmp_path / "run")}
        for key, value in changes.items():
            *sections, last = key.split("__")
            inner = content
            for section in sections:
                inner[section] = dict(inner.get(section) or {})
                inner = inner[section]
            inner[last] = value
        return TrainConfig.model_validate(content)

    return make


@pytest.fixture
def installed_plugins() -> Iterator[Callable[..., Registry]]:
    """A function that lets entries be found as if installed, by every module, until the test ends.

    It takes ``Installed`` entries, which are found beside all others, backbones with their presets;
    ``base``, a registry instead of those others; and further fields of the registry by name.
    """
    before = registry()

    def install(*entries: Installed[Any], base: Registry | None = None, **changes: Any) -> Registry:
        found = registry() if base is None else base
        groups: dict[str, Any] = {
            name: dict(getattr(found, name)) for name in (*GROUPS.values(), "presets")
        }
        for one in entries:
            groups[GROUPS[type(one.entry)]][one.entry.name] = one
            for preset in getattr(one.entry, "presets", ()):
                groups["presets"][preset.name] = replace(one, entry=one.entry.with_preset(preset))
        made = replace(found, **groups, **changes)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(discovery, "discover", lambda: made)
            registry.cache_clear()
            return registry()

    yield install
    install(base=before)


@pytest.fixture(scope="session")
def fresh_environment(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[], Callable[..., subprocess.CompletedProcess[str]]]:
    """A function that makes a virtual environment, which also sees all that the tests see, and
    gives a function that runs its Python there: outside the checkout, unless ``cwd`` says where;
    with further environment variables as keywords.
    """

    def make() -> Callable[..., subprocess.CompletedProcess[str]]:
        folder = tmp_path_factory.mktemp("environment")
        command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
        subprocess.run(command, check=True)
        # --system-site-packages would mean those of the Python that our own environment is from.
        seen = [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
        (own,) = folder.glob("lib/python*/site-packages")
        lines = [f"import site; site.addsitedir({path!r})\n" for path in seen]
        (own / "seen.pth").write_text("".join(lines))
        nowhere = tmp_path_factory.mktemp("nowhere")
        environment = {**os.environ, "COLUMNS": "80", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        environment.pop("PYTHONPATH", None)

        def run(
            *arguments: str, status: int = 0, cwd: Path = nowhere, **variables: str
        ) -> subprocess.CompletedProcess[str]:
            done = subprocess.run(
                [str(folder / "bin" / "python"), *arguments],
                capture_output=True,
                text=True,
                env={**environment, **variables},
                cwd=cwd,
                check=False,
            )
            assert done.returncode == status, done.stdout + done.stderr
            return done

        return run

    return make


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A Chromium without a window, and without the network."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        reason = "There is no Chromium with its chromedriver; install them: make browser"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (
        "headless=new",
        "no-sandbox",  # it needs rights that containers lack
        "disable-gpu",
        "disable-quic",
        "disable-dev-shm-usage",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "proxy-server=127.0.0.1:9",  # nobody listens there: what is not on this machine fails
        "hide-scrollbars",
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chromium = webdriver.Chrome(options=options, service=Service(driver))
    yield chromium
    chromium.quit()


@pytest.fixture(scope="session")
def tiny(training_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file with random weights, for faces of 32 pixels."""
    content = training_settings["model"] | {
        "task": {"name": "deblur"},
        "domain": "faces",
        "adapter": "skip",  # otherwise x_reg would be black, without training
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ug.build_model(ug.ModelConfig.model_validate(content))
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    ug.save_model(model, path)
    return path


@pytest.fixture(scope="session")
def slopes() -> Tensor:
    """A smooth picture of odd sides, (3, 45, 71)."""
    rng = torch.Generator().manual_seed(0)
    corners = 0.2 + 0.6 * torch.rand(1, 3, 3, 4, generator=rng)
    return torch.nn.functional.interpolate(corners, (45, 71), mode="bicubic")[0].clamp(0, 1)
