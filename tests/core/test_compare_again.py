"""Two runs of a comparison: the same figures, whatever methods draw, and nothing done twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from ugpnet_core.config import TaskConfig
from ugpnet_core.evaluation.measure import measure_methods
from ugpnet_core.evaluation.methods import Degraded, Function, Method
from ugpnet_core.evaluation.photographs import (
    degraded_set,
    find_photographs,
    paired_set,
    real_set,
)
from ugpnet_core.evaluation.results import Evaluation
from ugpnet_core.evaluation.store import Store, digest
from ugpnet_core.image import write_image
from ugpnet_core.metrics.networks import metric_networks


def run(
    photographs: Path, restore: Callable[[Tensor], Tensor], batch_size: int = 2, **options: Any
) -> Evaluation:
    files = find_photographs(photographs)[: options.pop("count", 5)]
    test_set = degraded_set(files, photographs, 32, TaskConfig(name="denoise"))
    method = Function(Method("m", "network"), restore)
    return measure_methods([method], test_set, batch_size=batch_size, look=True, **options)


def draw_everywhere(x: Tensor) -> Tensor:
    noise = torch.rand_like(x) + float(np.random.rand()) + random.random()
    return x * 0.8 + 0.05 * noise


def test_what_draws_random_numbers_gives_the_same_figures_at_every_run(photographs: Path) -> None:
    first = run(photographs, draw_everywhere)
    torch.rand(3)
    np.random.rand(3)
    random.random()
    states = torch.get_rng_state(), random.getstate()
    # In another batch, after other photographs: what it draws is the image's own.
    again = run(photographs, draw_everywhere, batch_size=5)
    assert again.images == first.images
    assert not first.findings
    assert "draws random numbers" in first.protocol["m"]
    fewer = run(photographs, draw_everywhere, count=2)
    assert fewer.images == first.images[:2]
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


class Counting:
    calls = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * (1 - 0.01 * self.calls)


class Remembering:
    last: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        image = x if self.last is None or torch.equal(self.last, x[-1]) else x * 0.9
        self.last = x[-1].clone()
        return image


def in_place(x: Tensor) -> Tensor:
    return x.mul_(0.9)


def of_its_own(x: Tensor) -> Tensor:
    generator = torch.Generator()
    generator.seed()
    return x + 0.1 * torch.rand(x.shape, generator=generator)


def set_threads(x: Tensor) -> Tensor:
    torch.set_default_dtype(torch.float64)
    return x


EYE = torch.eye(3)[..., None, None]


@pytest.mark.parametrize(
    ("restore", "finding"),
    [
        (Counting(), "another image of the same photograph the next time"),
        (of_its_own, "its figures cannot be made again"),
        (Remembering(), "once it has seen others"),
        (in_place, "changes the image that it is given"),
        (lambda x: x - x.mean(0, keepdim=True) * 0.1, "in a batch than alone"),
        (lambda x: x - x[:1].mean() * 0.1, "in a batch than alone"),
        (lambda x: x - x[-1:].mean() * 0.1, "in a batch than alone"),
        (lambda x: x * (0.9 if len(x) > 2 else 1), "in a batch than alone"),
        (lambda x: x * (1 - 0.01 * torch.get_num_threads()), "its figures depend on the machine"),
        (lambda x: torch.stack([one.bfloat16().float() for one in x]), "computes in 16 bits"),
        (lambda x: nn.functional.conv2d(x.half(), EYE.half()).float(), "computes in 16 bits"),
        (lambda x: x * 255, "made values from"),
        (lambda x: x * 2 - 1, "made values from"),
        (set_threads, "changes torch's default data type"),
    ],
)
def test_what_is_wrong_with_a_method_is_said(
    photographs: Path, restore: Callable[[Tensor], Tensor], finding: str
) -> None:
    result = run(photographs, restore, batch_size=3)
    assert result.method("m").figures
    (found,) = result.findings
    assert found.method == "m"
    assert finding in found.reason
    assert torch.get_default_dtype() == torch.float32


def test_what_works_has_no_findings(photographs: Path) -> None:
    result = run(photographs, lambda x: x * 1.2 - 0.1)
    assert not result.findings
    assert "m" not in result.protocol
    broken = run(photographs, lambda x: x * float("nan"))
    assert "not finite" in broken.method("m").failed


def test_a_table_takes_no_figures_of_another_task(photographs: Path, tmp_path: Path) -> None:
    files = find_photographs(photographs)[:1]
    degraded = degraded_set(files, photographs, 32, TaskConfig(name="denoise"))
    for sample in degraded.samples(lambda *_: None):
        assert sample is not None
        write_image(tmp_path / "clean" / sample.name, sample.clean)
        write_image(tmp_path / "degraded" / sample.name, sample.degraded)
    sets = {
        "psnr consistency": degraded,
        "psnr": paired_set(tmp_path / "clean", tmp_path / "degraded", 32),
        "": real_set(tmp_path / "degraded", 32),
        "consistency": real_set(tmp_path / "degraded", 32, task=TaskConfig(name="denoise")),
    }
    networks = metric_networks(chosen=["psnr", "consistency"])
    for order in (list(sets), list(sets)[::-1]):
        store = Store(tmp_path / f"{order[0]}.sqlite")
        for known in order:
            result = measure_methods([Degraded()], sets[known], networks=networks, store=store)
            assert list(result.methods[0].figures) == known.split(), order
        store.close()


class Killed(BaseException):
    """Nothing catches it."""


class Recorded:
    """A method that notes the images it gets; it can be killed, and fail on images."""

    def __init__(self, restore: Callable[[Tensor], Tensor], kill_at: int, fails_on: str) -> None:
        self.seen: list[str] = []
        self.restore = restore
        self.kill_at = kill_at
        self.fails_on = fails_on

    def __call__(self, x: Tensor) -> Tensor:
        names = [digest(one) for one in x]
        self.seen += names
        if len(self.seen) >= self.kill_at > 0:
            raise Killed
        if self.fails_on in names:
            raise RuntimeError("no face found")
        return self.restore(x)


Again = Callable[..., tuple[list[Any], list[str]]]


@pytest.fixture
def again(photographs: Path, tmp_path: Path) -> Again:
    """A function that measures a method, in batches of 4 and with a store that stays, and gives
    the figures and the images that the method got."""

    def make(
        restore: Callable[[Tensor], Tensor],
        *,
        first: int = 0,
        kill_at: int = 0,
        fails_on: str = "",
        one_by_one: bool = False,
        store: str = "store",
    ) -> tuple[list[Any], list[str]]:
        files = find_photographs(photographs)[first:]
        test_set = degraded_set(files, photographs, 32, TaskConfig(name="denoise"))
        recorded = Recorded(restore, kill_at, fails_on)
        method = Function(Method("m", "network"), recorded)
        method.identity, method.one_by_one = "m", one_by_one
        kept = Store(tmp_path / store)
        figures: list[Any] = []
        with suppress(Killed):
            result = measure_methods([method], test_set, batch_size=4, look=True, store=kept)
            figures = [*result.images, result.findings, result.protocol.get("m")]
        kept.close()
        return figures, recorded.seen

    return make


def darken(x: Tensor) -> Tensor:
    return x * 0.9


@pytest.mark.parametrize(("restore", "alone"), [(draw_everywhere, False), (darken, True)])
@pytest.mark.parametrize("done", [1, 3, 4])
def test_an_image_that_is_made_alone_is_kept_alone(
    again: Again, restore: Callable[[Tensor], Tensor], alone: bool, done: int
) -> None:
    whole, seen = again(restore, one_by_one=alone, store="whole")
    looks = len(seen) - 5
    assert not again(restore, one_by_one=alone, kill_at=looks + done + 1)[0]
    resumed, seen_again = again(restore, one_by_one=alone)
    assert seen_again == seen[looks + done :]
    assert resumed == whole


def test_images_of_a_batch_are_kept_together(again: Again) -> None:
    whole, seen = again(darken, store="whole")
    looks = len(seen) - 5
    assert again(darken, kill_at=looks + 2) == ([], seen[: looks + 4])
    assert again(darken, kill_at=5) == ([], seen[looks : looks + 5])
    assert again(darken) == (whole, seen[-1:])
    assert again(darken) == (whole, [])


def test_an_image_that_fails_costs_the_others_nothing(again: Again) -> None:
    whole, seen = again(darken, store="whole")
    broken = seen[-3]
    failed, tried = again(darken, fails_on=broken)
    # The batch, and then each of it alone; the last photograph is a batch of its own.
    assert tried[-9:] == [*seen[-5:-1], *seen[-5:]]
    assert [image for image in failed[:5] if image.figures] == [*whole[:2], *whole[3:5]]
    assert again(darken, fails_on=broken) == (failed, [broken])
    assert again(darken) == (whole, [broken])


def test_a_photograph_in_front_leaves_the_others_finished(again: Again) -> None:
    _, fewer = again(darken, first=1)
    whole, seen = again(darken)
    fresh, everything = again(darken, store="whole")
    assert whole == fresh
    assert len(everything) - len(seen) == 4
    assert not set(seen) & set(fewer[-4:])


SLOW = """
import sys, time
from pathlib import Path
from ugpnet_core.evaluation import foreign
forward = foreign.ForeignNetwork.forward

def slow(self, x):
    for _ in x:
        with open("calls", "a") as file:
            file.write("x")
    time.sleep(PAUSE)
    return forward(self, x)

foreign.ForeignNetwork.forward = slow
from ugpnet_core.cli import main
sys.exit(main(["compare", "compare.yaml", *sys.argv[1:]]))
"""


@pytest.fixture
def place(tmp_path: Path, photographs: Path) -> Path:
    """A folder with a comparison of a network of spandrel's."""
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(0)
    network = Compact(num_feat=8, num_conv=2, upscale=2)
    torch.save({"params": network.state_dict()}, tmp_path / "network.pth")
    content = {
        "name": "trial",
        "output": "out",
        "data": {"photographs": [str(photographs)], "resolution": 32},
        "tasks": ["denoise"],
        "methods": [
            {"name": "net", "network": "network.pth"},
            {"name": "nlm", "classical": "non-local means"},
        ],
        "batch_size": 1,
        "cost": None,
        "figures": None,
    }
    (tmp_path / "compare.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def start(place: Path, pause: float, *arguments: str) -> subprocess.Popen[bytes]:
    code = SLOW.replace("PAUSE", str(pause))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_HOME": str(place)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, cwd=place, env=environment, stderr=subprocess.PIPE)


def calls(place: Path) -> int:
    file = place / "calls"
    return len(file.read_text()) if file.exists() else 0


def finish(place: Path, *arguments: str, pause: float = 0.0) -> dict[str, Any]:
    process = start(place, pause, *arguments)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    content: dict[str, Any] = json.loads((place / "out" / "results.json").read_text())["tasks"][0]
    return content


def test_a_killed_comparison_goes_on_where_it_was(place: Path) -> None:
    process = start(place, 0.3)
    deadline = time.monotonic() + 100
    while calls(place) < 9 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = calls(place)
    assert before >= 9  # seven to look at the network, and a photograph at least
    assert not (place / "out" / "results.json").exists()
    assert (place / "out" / "unfinished.sqlite").exists()
    resumed = finish(place)
    table = (place / "out" / "per-image.csv").read_bytes()
    # Five photographs and seven looks in all; the one that was cut off is made once more.
    assert calls(place) <= 12 + 1
    assert calls(place) - before <= 5
    assert not (place / "out" / "unfinished.sqlite").exists()
    whole = finish(place)
    assert whole["figures"] == resumed["figures"]
    assert (place / "out" / "per-image.csv").read_bytes() == table


def test_what_has_changed_is_made_anew(place: Path) -> None:
    settings = yaml.safe_load((place / "compare.yaml").read_text())
    # Something fails, so that what was done stays.
    settings["methods"].append({"name": "gone", "network": "gone.pth"})
    (place / "compare.yaml").write_text(yaml.safe_dump(settings))

    def made() -> int:
        before = calls(place)
        process = start(place, 0.0)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 1, errors.decode()
        return calls(place) - before

    assert made() == 12
    assert made() == 0
    state = torch.load(place / "network.pth")
    for value in state["params"].values():
        value.mul_(1.01)
    torch.save(state, place / "network.pth")
    assert made() == 12
    settings["data"]["seed"] = 1
    (place / "compare.yaml").write_text(yaml.safe_dump(settings))
    assert made() == 12
    settings["data"]["count"] = 4
    (place / "compare.yaml").write_text(yaml.safe_dump(settings))
    assert made() == 0
