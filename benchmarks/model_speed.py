"""How fast a model of the paper's size is, by module, against its plain formulation.

    python -m benchmarks.model_speed [--size 512] [--repeats 5] [--json FILE]
        [--document docs/performance.md]

Seconds are medians for one image; each way of computing has a process of its own. "Plain" are the
layers as published: channels first, float32, memory given back to the system after each map. Ours
are what ``ugpnet restore`` runs. GFLOP/s count convolutions and products; the machine's own rate is
that of a 3x3 convolution from 64 to 64 channels, best of five, in the same run. ``--document``
writes the page of the documentation, with the memory that whole photographs take.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.plain_ugpnet import plain_networks
from benchmarks.restoring_memory import peak
from ugpnet_core.config import ComponentConfig, ModelConfig, TaskConfig
from ugpnet_core.devices import computing_in, has_bfloat16, keep_memory
from ugpnet_core.metrics.complexity import count_macs
from ugpnet_core.networks.ugpnet import UGPNet, build_model

NAFNET = {"width": 32, "enc_blk_nums": [1, 1, 1, 28], "dec_blk_nums": [1, 1, 1, 1]}
MEGAPIXELS = (3.0, 12.0, 48.0)


@dataclass
class Speed:
    """Of one way to compute: seconds by module, and what the machine can do."""

    way: str
    seconds: dict[str, float]
    gflop: dict[str, float]
    machine: float

    def rate(self, module: str) -> float:
        """GFLOP/s."""
        return self.gflop[module] / self.seconds[module]


def paper_model(size: int) -> UGPNet:
    """NAFNet of width 32 and StyleGAN2 (config-f), with random weights."""
    torch.manual_seed(0)
    config = ModelConfig(
        backbone=ComponentConfig(name="nafnet", options=NAFNET),
        prior=ComponentConfig(name="stylegan2", options={"resolution": size}),
        task=TaskConfig(name="denoise"),
    )
    model = build_model(config).eval()
    for name, parameter in model.named_parameters():
        if name.endswith(("beta", "gamma")):  # nothing would come out of zeros
            nn.init.normal_(parameter, std=0.1)
    return model


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """After one run that is not counted."""
    taken = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def machine_rate(dtype: torch.dtype) -> float:
    """GFLOP/s of a 3x3 convolution, 64 to 64 channels, 512x512, channels last; best of five."""
    conv = nn.Conv2d(64, 64, 3, padding=1).to(dtype).to(memory_format=torch.channels_last)
    x = torch.rand(1, 64, 512, 512, dtype=dtype).contiguous(memory_format=torch.channels_last)
    taken = []
    with torch.inference_mode():
        for _ in range(6):
            started = time.perf_counter()
            conv(x)
            taken.append(time.perf_counter() - started)
    return 2 * 9 * 64 * 64 * 512**2 / min(taken[1:]) / 1e9


def speed(way: str, size: int, repeats: int) -> tuple[Speed, Tensor]:
    """Measure "plain", "float32" or "bfloat16", and return its x_hat, too."""
    plain = way == "plain"
    if not plain:
        keep_memory()
    dtype = torch.bfloat16 if way == "bfloat16" else torch.float32
    layout = torch.contiguous_format if plain else torch.channels_last
    model = paper_model(size).to(memory_format=layout)
    x = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    x = x.contiguous(memory_format=layout)
    with (
        torch.inference_mode(),
        plain_networks() if plain else nullcontext(),
        computing_in(dtype, torch.device("cpu")),
    ):
        regression = model.restoration(x)
        synthesis = model.synthesis(regression.image)
        inputs = model.fusion_inputs(regression, synthesis)
        runs: dict[str, Callable[[], object]] = {
            "restoration": lambda: model.restoration(x),
            "synthesis": lambda: model.synthesis(regression.image),
            "fusion": lambda: model.fusion(*inputs),
            "whole": lambda: model(x),
        }
        seconds = {name: median_seconds(run, repeats) for name, run in runs.items()}
        image = model(x).image.float()
    gflop = _gflop(size)
    return Speed(way, seconds, gflop, machine_rate(dtype)), image


def _gflop(size: int) -> dict[str, float]:
    with torch.device("meta"):
        model = paper_model(size).to("meta")

    def counted(network: nn.Module, *shapes: tuple[int, ...]) -> float:
        def run(device: torch.device) -> object:
            return network(*(torch.zeros(1, *shape, device=device) for shape in shapes))

        return 2 * count_macs(network, run) / 1e9

    image = (3, size, size)
    features = [
        (module.feature_channels, size, size) for module in (model.restoration, model.synthesis)
    ]
    parts = {
        "restoration": counted(model.restoration, image),
        "synthesis": counted(model.synthesis, image),
        "fusion": counted(model.fusion, *features, image),
    }
    return {**parts, "whole": sum(parts.values())}


def table(found: list[Speed]) -> str:
    """Markdown."""
    first = found[0]
    lines = [
        "| | restoration | synthesis | fusion | whole | against plain | GFLOP/s | of the machine |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        seconds = " | ".join(f"{taken:.2f} s" for taken in one.seconds.values())
        ratio = first.seconds["whole"] / one.seconds["whole"]
        rate = one.rate("whole")
        share = f"{rate / one.machine:.0%} of {one.machine:.0f}"
        lines.append(f"| {one.way} | {seconds} | {ratio:.1f}x | {rate:.0f} | {share} |")
    return "\n".join(lines)


def memory_table(model: str) -> str:
    """Markdown: what whole photographs take."""
    lines = ["| megapixels | memory at most | seconds per megapixel |", "|---|---|---|"]
    context = multiprocessing.get_context("spawn")
    for size in MEGAPIXELS:
        with context.Pool(1) as pool:
            pixels, highest, taken = pool.apply(peak, (model, size))
        per = taken / pixels * 1e6
        lines.append(f"| {pixels / 1e6:.0f} | {highest / 1e9:.2f} GB | {per:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--document", type=Path)
    given = parser.parse_args()
    ways = ["plain", "float32", *(["bfloat16"] if has_bfloat16(torch.device("cpu")) else [])]
    context = multiprocessing.get_context("spawn")
    found: list[Speed] = []
    images: list[Tensor] = []
    for way in ways:
        with context.Pool(1) as pool:
            one, image = pool.apply(speed, (way, given.size, given.repeats))
        found.append(one)
        images.append(image)
    for one, image in zip(found[1:], images[1:], strict=True):
        error = (image - images[0]).square().mean().sqrt()
        print(f"{one.way}: {-20 * error.log10():.0f} dB to the plain formulation")
    print(table(found))
    if given.json:
        given.json.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    if given.document:
        text = given.document.read_text(encoding="utf-8")
        machine = (
            f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
        )
        parts = {"speed": f"{machine}\n\n{table(found)}", "memory": memory_table("portraits")}
        for name, made in parts.items():
            begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
            before, _, rest = text.partition(begin)
            text = before + begin + made + "\n" + end + rest.partition(end)[2]
        given.document.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
