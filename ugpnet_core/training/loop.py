"""The one loop that every stage runs in: schedule, averaging, validation, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import Dataset

from ugpnet_core.degradations import rng_for
from ugpnet_core.errors import TrainingError
from ugpnet_core.image import resize, write_image
from ugpnet_core.training.batch_statistics import estimate_statistics, following
from ugpnet_core.training.checkpoint import checkpoint_path, read_checkpoint, write_checkpoint
from ugpnet_core.training.data import Pair, training_batches
from ugpnet_core.training.display import Display
from ugpnet_core.training.fingerprint import Fingerprint, compare
from ugpnet_core.training.plan import steps_before
from ugpnet_core.training.processes import mean_losses
from ugpnet_core.training.stage import Losses, Stage

PICTURED = 6
STATISTICS_IMAGES = 1024


@dataclass
class Best:
    """The best validation so far."""

    psnr: float = -math.inf
    step: int = 0
    state: Mapping[str, Tensor] | None = None


@dataclass
class Checkpoint:
    """Where the last checkpoint is, and after how many iterations it was written, if ever."""

    path: Path
    step: int | None = None


@dataclass(frozen=True)
class Finished:
    """What a stage ends with: the chosen weights by network, and what happened."""

    states: Mapping[str, Mapping[str, Tensor]]
    record: Mapping[str, Any]


def run_stage(
    stage: Stage, pairs: Dataset[Pair], validation: Sequence[Pair], made_by: Fingerprint
) -> Finished:
    """Train a stage to its end, from its checkpoint where there is one.

    Each step draws from generators that belong to (seed, stage, step), so a run that was killed
    and resumed makes the same numbers as one that was not.

    Raises:
        TrainingError: the checkpoint belongs to other settings, or a loss is no number.
    """
    config, settings = stage.bench.config, stage.settings
    accelerator = stage.bench.accelerator
    if accelerator.num_processes > 1:
        made_by = {**made_by, "number of processes": str(accelerator.num_processes)}
    path = checkpoint_path(config.output, stage.name)
    averaged = (
        AveragedModel(stage.trained, multi_avg_fn=_average(settings.ema)) if settings.ema else None
    )
    best, done, seconds = Best(), 0, 0.0
    before = steps_before(config, stage.name)  # trackers want steps that never fall
    checkpoint = Checkpoint(path)
    if path.exists():
        state = read_checkpoint(path)
        compare(stage.name, state["fingerprint"], made_by, path)
        best = _restore(stage, averaged, state)
        done, seconds = state["step"], state["seconds"]
        checkpoint.step = done
    batches = _batches(stage, pairs, done, settings.iterations)
    images_per_step = settings.batch_size * settings.accumulate * accelerator.num_processes
    started, since, since_step = time.monotonic() - seconds, time.monotonic(), done
    sums: Losses = {}
    waited = 0.0  # for data, in seconds
    with (
        closing(batches),
        Display(
            stage.name, settings.iterations, done, quiet=not accelerator.is_main_process
        ) as display,
    ):
        for step in range(done, settings.iterations):
            _seed_step(stage, step)
            _set_learning_rates(stage, step)
            asked = time.monotonic()
            pairs_of_step = [next(batches) for _ in range(settings.accumulate)]
            waited += time.monotonic() - asked
            drawn = [stage.bench.to_device(pair) for pair in pairs_of_step]
            losses = mean_losses(accelerator, stage.update(drawn, step))
            if averaged is not None:
                averaged.update_parameters(stage.trained)
            for name, value in losses.items():
                if not math.isfinite(value):
                    what = f"The {name} loss of stage {stage.name} is {value} at step {step}"
                    raise _diverged(stage.name, what, checkpoint)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value
            done = step + 1
            display.step(done)
            if done % config.log_every == 0:
                now = time.monotonic()
                count = done - since_step
                means = {name: value / count for name, value in sums.items()}
                rate = count * images_per_step / (now - since)
                waiting = waited / (now - since)
                display.figures(done, means, rate, waiting)
                speed = {"images_per_s": rate, "waiting_for_data": waiting}
                accelerator.log(
                    {f"{stage.name}/{k}": v for k, v in {**means, **speed}.items()},
                    step=before + done,
                )
                sums, since, since_step, waited = {}, now, done, 0.0
            last = done == settings.iterations
            chosen = averaged.module if averaged is not None else stage.trained
            validated = False
            to_validate = done % config.validate_every == 0 or last
            if to_validate or done % config.checkpoint_every == 0:
                _check_weights(stage, chosen, done, checkpoint)
            figures = stage.measure(chosen, done) if accelerator.is_main_process else {}
            for name, value in figures.items():
                display.say(f"{stage.name} {done}: {name} {value:.4g}")
            if figures:
                accelerator.log(
                    {f"{stage.name}/{k}": v for k, v in figures.items()}, step=before + done
                )
            if to_validate:
                psnr = _validate(stage, chosen, validation)
                if psnr is not None:
                    validated = True
                    display.say(f"{stage.name} {done}: PSNR {psnr:.2f} dB on the validation set")
                    accelerator.log({f"{stage.name}/psnr": psnr}, step=before + done)
                    if psnr > best.psnr:
                        best = Best(psnr, done, _copy(chosen.state_dict()))
            if accelerator.is_main_process and (done % config.sample_every == 0 or last):
                _write_samples(stage, chosen, validation, done)
            if done % config.checkpoint_every == 0 or validated or last:
                if accelerator.is_main_process:
                    elapsed = time.monotonic() - started
                    write_checkpoint(path, _state(stage, averaged, best, done, elapsed, made_by))
                checkpoint.step = done
                accelerator.wait_for_everyone()
    chosen = averaged.module if averaged is not None else stage.trained
    keep_best = stage.keeps == "best" and best.state is not None
    states = {name: _copy(network.state_dict()) for name, network in stage.networks.items()}
    if keep_best and best.state is not None:
        chosen.load_state_dict(best.state)
    psnr = best.psnr if best.state is not None else None
    estimated = _estimate_statistics(stage, chosen, pairs)
    if estimated:
        psnr = _validate(stage, chosen, validation)
    states["network"] = _copy(chosen.state_dict())
    record = {
        "iterations": settings.iterations,
        "images": settings.iterations * images_per_step,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "kept": f"iteration {best.step}" if keep_best else "last",
        **({"validation_psnr": round(psnr, 3)} if psnr is not None else {}),
        **({"batch_statistics": f"of {estimated} images"} if estimated else {}),
        **stage.describe(),
    }
    return Finished(states, record)


def _average(decay: float) -> Callable[[Any, Any, Any], None]:
    """Exponential averaging that forgets the first steps faster: decay rises from 0.1."""

    @torch.no_grad()
    def update(averages: Any, current: Any, count: Any) -> None:
        updates = float(count)
        torch._foreach_lerp_(averages, current, 1 - min(decay, (1 + updates) / (10 + updates)))

    return update


def _seed_step(stage: Stage, step: int) -> None:
    """Let what a step draws depend on the step alone."""
    rng = rng_for(stage.bench.config.seed, stage.name, "step", step)
    torch.manual_seed(int(rng.integers(2**62)))


def _set_learning_rates(stage: Stage, step: int) -> None:
    factor = stage.learning_rate_factor(step)
    for optimizer, rate in stage.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = rate * factor


def _check_weights(stage: Stage, chosen: nn.Module, done: int, checkpoint: Checkpoint) -> None:
    """Refuse to keep weights that are no numbers: a gradient can be none where no loss was.

    Raises:
        TrainingError: the message names one of them.
    """
    for name, network in {**stage.networks, "average": chosen}.items():
        for key, value in network.state_dict().items():
            if not bool(value.isfinite().all()):
                what = (
                    f"{key} of the {name} of stage {stage.name} has values that are no finite "
                    f"numbers after {done} iterations"
                )
                raise _diverged(stage.name, what, checkpoint)


def _diverged(stage: str, what: str, checkpoint: Checkpoint) -> TrainingError:
    other = f"set a lower {stage}.learning_rate or a {stage}.clip_gradient"
    if checkpoint.step is None:
        return TrainingError(f"{what}, before the first checkpoint; {other}.")
    return TrainingError(
        f"{what}; the last good checkpoint is {checkpoint.path}, after {checkpoint.step} "
        f"iterations: go on from there with --resume, or delete it and {other}."
    )


@torch.no_grad()
def _validate(stage: Stage, network: nn.Module, validation: Sequence[Pair]) -> float | None:
    """Mean PSNR in dB over the validation set, of images clamped to [0, 1]."""
    network.eval()
    values = []
    for pair in validation:
        moved = stage.bench.to_device(pair)
        with stage.bench.accelerator.autocast():
            restored = stage.restored(network, moved)
        if restored is None:
            return None
        error = (restored.float().clamp(0, 1) - moved.clean).square().mean(dim=(1, 2, 3))
        values.append(-10 * error.clamp_min(1e-10).log10())
    return float(torch.cat(values).mean())


def _estimate_statistics(stage: Stage, network: nn.Module, pairs: Dataset[Pair]) -> int:
    """Estimate the statistics of batch normalisation anew, over the first images that the stage
    learned from; returns how many these were, 0 where the network has no such statistics."""
    if not following(network):
        return 0
    bench, settings = stage.bench, stage.settings
    accelerator = bench.accelerator
    each: int = settings.batch_size * settings.accumulate * accelerator.num_processes
    updates = min(max(STATISTICS_IMAGES // each, 1), settings.iterations)
    rng = rng_for(bench.config.seed, stage.name, "statistics", accelerator.process_index)
    torch.manual_seed(int(rng.integers(2**62)))

    def send(pair: Pair) -> None:
        with accelerator.autocast():
            stage.send(network, bench.to_device(pair))

    with closing(_batches(stage, pairs, 0, updates)) as batches:
        estimate_statistics(network, send, batches)
    return updates * each


def _batches(stage: Stage, pairs: Dataset[Pair], first: int, last: int) -> Generator[Pair]:
    """The batches of this process for the updates ``first`` to ``last`` - 1."""
    accelerator = stage.bench.accelerator
    return training_batches(
        pairs,
        first=first,
        last=last,
        batch_size=stage.settings.batch_size,
        accumulate=stage.settings.accumulate,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        workers=stage.bench.config.data.workers,
    )


@torch.no_grad()
def _write_samples(stage: Stage, network: nn.Module, validation: Sequence[Pair], done: int) -> None:
    """One row each: degraded, what the stage makes, clean."""
    network.eval()
    first = Pair(*(image[:PICTURED] for image in validation[0]))
    moved = stage.bench.to_device(first)
    with stage.bench.accelerator.autocast():
        made = stage.pictures(network, moved)
    size = list(moved.clean.shape[-2:])
    rows = [resize(moved.degraded.clamp(0, 1), size), *made, moved.clean]
    sheet = torch.cat([torch.cat(list(row.float().clamp(0, 1).cpu()), dim=-1) for row in rows], -2)
    folder: Path = stage.bench.config.output / "samples"
    write_image(folder / f"{stage.name}-{done:06d}.png", sheet)


def _state(
    stage: Stage,
    averaged: AveragedModel | None,
    best: Best,
    done: int,
    seconds: float,
    made_by: Fingerprint,
) -> dict[str, Any]:
    return {
        "step": done,
        "seconds": seconds,
        "fingerprint": made_by,
        "networks": {name: network.state_dict() for name, network in stage.networks.items()},
        "optimizers": {name: opt.state_dict() for name, (opt, _) in stage.optimizers.items()},
        "averaged": averaged.state_dict() if averaged is not None else None,
        "memory": dict(stage.memory()),
        "best": {"psnr": best.psnr, "step": best.step, "state": best.state},
    }


def _restore(stage: Stage, averaged: AveragedModel | None, state: Mapping[str, Any]) -> Best:
    for name, network in stage.networks.items():
        network.load_state_dict(state["networks"][name])
    for name, (optimizer, _) in stage.optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
    if averaged is not None:
        averaged.load_state_dict(state["averaged"])
    stage.recall(state["memory"])
    return Best(**state["best"])


def _copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().cpu().clone() for key, value in state.items()}
