"""How fast the prior stage's steps are, against a plain formulation of the same layers.

    python -m benchmarks.prior_training [--threads 2] [--batch 8] [--resolution 128]

Prints images per second of a step of G and one of D (forward, backward, optimiser), of layers as
the papers write them (benchmarks/plain_stylegan2.py) and of ours, and their ratio, in turns in one
run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn

from benchmarks.plain_stylegan2 import plain_layers
from ugpnet_core.losses.adversarial import discriminator_loss, generator_loss, r1_penalty
from ugpnet_core.model_files.prior import create_discriminator, create_prior


def seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--narrow", type=float, default=0.25)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    options: dict[str, Any] = {
        "resolution": arguments.resolution,
        "style_dim": 128,
        "num_mlp": 4,
        "narrow": arguments.narrow,
    }
    count = arguments.batch
    real = torch.rand(count, 3, arguments.resolution, arguments.resolution)
    codes = torch.randn(count, 128)

    def networks(layout: torch.memory_format) -> tuple[nn.Module, nn.Module]:
        torch.manual_seed(0)
        generator = cast(nn.Module, create_prior("stylegan2", **options))
        discriminator = create_discriminator("stylegan2", **options)
        return generator.to(memory_format=layout), discriminator.to(memory_format=layout)

    def steps(layout: torch.memory_format) -> dict[str, Callable[[], None]]:
        generator, discriminator = networks(layout)
        images = real.contiguous(memory_format=layout)

        def step(network: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
            optimizer = torch.optim.Adam(network.parameters(), 1e-5, (0.0, 0.99))

            def run() -> None:
                optimizer.zero_grad(set_to_none=True)
                loss().backward()
                optimizer.step()

            return run

        def of_generator() -> Tensor:
            discriminator.requires_grad_(False)
            return generator_loss(discriminator(generator(codes).image))

        def of_discriminator() -> Tensor:
            discriminator.requires_grad_(True)
            with torch.no_grad():
                fake = generator(codes).image
            return discriminator_loss(discriminator(images), discriminator(fake))

        def of_regularised_discriminator() -> Tensor:
            discriminator.requires_grad_(True)
            leaf = images.detach().requires_grad_()
            return r1_penalty(leaf, discriminator(leaf))

        return {
            "generator": step(generator, of_generator),
            "discriminator": step(discriminator, of_discriminator),
            "R1 penalty": step(discriminator, of_regularised_discriminator),
        }

    plain, ours = steps(torch.contiguous_format), steps(torch.channels_last)
    # Both must compute the same, or the comparison means nothing.
    (before, _), (after, _) = networks(torch.contiguous_format), networks(torch.channels_last)
    with torch.no_grad(), plain_layers():
        expected = before(codes[:1]).image
    with torch.no_grad():
        difference = float((after(codes[:1]).image - expected).abs().max())
    if difference > 1e-3 * float(expected.abs().max()):
        raise SystemExit(f"the two formulations disagree by {difference}")

    print(
        f"{arguments.resolution}x{arguments.resolution}, batch {count}, {arguments.threads} "
        f"thread(s), float32, narrow {arguments.narrow}, images/s"
    )
    print(f"{'step':16}{'plain':>8}{'ours':>8}{'ratio':>8}")
    for name in ours:
        times: dict[str, list[float]] = {"plain": [], "ours": []}
        for turn in range(arguments.rounds + 1):
            for label, run in (("plain", plain[name]), ("ours", ours[name])):
                with plain_layers() if label == "plain" else nullcontext():
                    taken = seconds(run)
                if turn:  # the first turn warms up
                    times[label].append(taken)
        slow, fast = (count / statistics.median(times[label]) for label in ("plain", "ours"))
        print(f"{name:16}{slow:8.2f}{fast:8.2f}{fast / slow:8.2f}")


if __name__ == "__main__":
    main()
