"""The one loop that every stage runs in: schedule, averaging, validation, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ugpnet_core.degradations import rng_for
from ugpnet_core.training.batch_statistics import estimate_statistics, following
from ugpnet_core.training.data import Pair, training_batches
from ugpnet_core.training.display import Display
from ugpnet_core.training.divergence import check_losses, check_weights
from ugpnet_core.training.fingerprint import PROCESSES, Fingerprint
from ugpnet_core.training.plan import steps_before
from ugpnet_core.training.processes import any_process, mean_losses
from ugpnet_core.training.progress import Best, Progress, begun
from ugpnet_core.training.stage import Losses, Stage
from ugpnet_core.training.stopping import Stop, Stopped
from ugpnet_core.training.validation import validate, write_samples
from ugpnet_core.training.watch import Interrupted, Watch

STATISTICS_IMAGES = 1024


@dataclass(frozen=True)
class Finished:
    """What a stage ends with: the chosen weights by network, and what happened."""

    states: Mapping[str, Mapping[str, Tensor]]
    record: Mapping[str, Any]


def run_stage(
    stage: Stage,
    pairs: Dataset[Pair],
    validation: Sequence[Pair],
    made_by: Fingerprint,
    stop: Stop | None = None,
) -> Finished:
    """Train a stage to its end, from its checkpoint where there is one.

    Each step draws from generators that belong to (seed, stage, step), so a run that was killed
    and resumed makes the same numbers as one that was not.

    Args:
        stop: knows when to stop earlier, with a checkpoint.

    Raises:
        TrainingError: the checkpoint belongs to other settings, or a loss is no number.
        Stopped: it was time to.
    """
    accelerator, total = stage.context.accelerator, stage.settings.iterations
    stop = stop or Stop()
    if accelerator.num_processes > 1:
        made_by = {**made_by, PROCESSES: str(accelerator.num_processes)}
    progress = begun(stage, made_by)
    watch = Watch(stop, accelerator, progress.size)
    quiet = not accelerator.is_main_process
    with stop.patience(), Display(stage.name, total, progress.done, quiet=quiet) as display:
        run = _Run(progress, validation, watch, display)
        try:
            run.train(pairs)
            return run.finish(pairs)
        except Interrupted:
            run.save_unless_saved()
            raise Stopped(
                f"stage {stage.name} stopped after {progress.done} of {total} iterations "
                f"({stop.reason or 'another process'})"
            ) from None


class _Run:
    """A stage from where it is to its end."""

    def __init__(
        self, progress: Progress, validation: Sequence[Pair], watch: Watch, display: Display
    ) -> None:
        self.progress = progress
        self.validation = validation
        self.watch = watch
        self.display = display
        self.stage = progress.stage
        self.config = self.stage.context.config
        self.settings = self.stage.settings
        self.accelerator = self.stage.context.accelerator
        self.images_per_step: int = (
            self.settings.batch_size * self.settings.accumulate * self.accelerator.num_processes
        )
        self.before = steps_before(self.config, self.stage.name)  # trackers' steps never fall
        self.sums: Losses = {}
        self.since, self.since_step = time.monotonic(), progress.done
        self.waited = 0.0  # for data, in seconds
        # From when on a stage of so many minutes is paced: its first step.
        self.pace = progress.began if progress.done else None
        self.is_over = self._is_last()

    def train(self, pairs: Dataset[Pair]) -> None:
        """Make all steps that are missing."""
        progress = self.progress
        self.watch.check()
        if not progress.is_looked_at:
            self._look()
        left = self._batches(pairs, progress.done, self.settings.iterations)
        with closing(left) as batches:
            while not self.is_over:
                self._step(batches)
                self.watch.check()
                self._look()

    def finish(self, pairs: Dataset[Pair]) -> Finished:
        """Choose the weights, and make their statistics of batch normalisation their own."""
        stage, best, chosen = self.stage, self.progress.best, self.progress.chosen
        keep_best = stage.keeps == "best" and best.state is not None
        states = {name: _copy(network.state_dict()) for name, network in stage.networks.items()}
        if keep_best and best.state is not None:
            chosen.load_state_dict(best.state)
        stage.conclude(chosen)
        psnr = best.psnr if best.state is not None else None
        estimated = self._estimate_statistics(pairs)
        if estimated:
            psnr = validate(stage, chosen, self.validation, self.watch.check)
        states["network"] = _copy(chosen.state_dict())
        record = {
            "iterations": self.progress.done,
            "images": self._images(),
            "minutes": round((time.monotonic() - self.progress.began) / 60, 1),
            "kept": f"iteration {best.step}" if keep_best else "last",
            **({"validation_psnr": round(psnr, 3)} if psnr is not None else {}),
            **({"batch_statistics": f"of {estimated} images"} if estimated else {}),
            **({"stopped": self._waiting()} if self._is_early() else {}),
            **stage.describe(),
            **({"history": list(self.progress.history)} if self.progress.history else {}),
        }
        return Finished(states, record)

    def save_unless_saved(self) -> None:
        """Write a checkpoint where the last one is older.

        Raises:
            TrainingError: the weights are no numbers, or the disk refuses.
        """
        if self.progress.done != (self.progress.saved or 0):
            check_weights(self.progress)
            self._save()

    def _step(self, batches: Iterator[Pair]) -> None:
        stage, progress = self.stage, self.progress
        step = progress.done
        _seed(stage, "step", step)
        _set_learning_rates(stage, stage.learning_rate_factor(step, self._spent()))
        asked = time.monotonic()
        pairs = [next(batches) for _ in range(self.settings.accumulate)]
        self.waited += time.monotonic() - asked
        drawn = [stage.context.to_device(pair) for pair in pairs]
        losses = mean_losses(self.accelerator, stage.update(drawn, step))
        if progress.averaged is not None:
            progress.averaged.update_parameters(stage.trained)
        check_losses(progress, losses)
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        progress.done, progress.is_looked_at = step + 1, False
        self.pace = self.pace or time.monotonic()
        self.is_over = self._is_last()
        self.display.update(progress.done)
        if progress.done % self.config.log_every == 0:
            self._show_losses()

    def _is_last(self) -> bool:
        """Whether all iterations are made, the stage's minutes are over, or nothing has become
        better for long enough; for all processes."""
        if self.progress.done >= self.settings.iterations or self._has_waited():
            return True
        if self.settings.minutes is None or not self.progress.done:
            return False
        return any_process(self.accelerator, time.monotonic() >= self._end())

    def _has_waited(self) -> bool:
        limit = self.settings.stop_after
        return limit is not None and self.progress.best.waited >= limit

    def _is_early(self) -> bool:
        return self._has_waited() and self.progress.done < self.settings.iterations

    def _waiting(self) -> str:
        return f"after {self.progress.best.waited} validations without a better PSNR"

    def _images(self) -> int:
        """How many were learned from, with those of earlier trainings."""
        first, before = 0, 0
        if self.progress.history:
            first, before = (self.progress.history[-1][key] for key in ("iterations", "images"))
        return before + (self.progress.done - first) * self.images_per_step

    def _end(self) -> float:
        return self.progress.began + 60 * (self.settings.minutes or 0)

    def _spent(self) -> float:
        """The part of the stage's minutes that is over, counted from the first step on, which may
        take long: kernels are chosen and compiled in it."""
        if self.settings.minutes is None or self.pace is None:
            return 0.0
        return (time.monotonic() - self.pace) / max(self._end() - self.pace, 1e-9)

    def _show_losses(self) -> None:
        now, done = time.monotonic(), self.progress.done
        count = done - self.since_step
        means = {name: value / count for name, value in self.sums.items()}
        rate = count * self.images_per_step / (now - self.since)
        waiting = self.waited / (now - self.since)
        self.display.figures(means, rate, waiting)
        self._log({**means, "images_per_s": rate, "waiting_for_data": waiting})
        self.sums, self.since, self.since_step, self.waited = {}, now, done, 0.0

    def _look(self) -> None:
        """Validate, measure, draw samples and write a checkpoint, each where it is time to."""
        stage, config, progress, say = self.stage, self.config, self.progress, self.display.say
        done, chosen = progress.done, progress.chosen
        last = self.is_over
        to_validate = done % config.validate_every == 0 or last
        to_save = done % config.checkpoint_every == 0 or last
        _seed(stage, "look", done)
        if to_validate or to_save:
            check_weights(self.progress)
        if stage.is_measured(done):
            figures = self.watch.alone(partial(stage.measure, chosen, self.watch.check_alone)) or {}
            for name, value in figures.items():
                say(f"{stage.name} {done}: {name} {value:.4g}")
            self._log(figures)
        psnr = validate(stage, chosen, self.validation, self.watch.check) if to_validate else None
        if psnr is not None:
            say(f"{stage.name} {done}: PSNR {psnr:.2f} dB on the validation set")
            self._log({"psnr": psnr})
            if psnr > progress.best.psnr:
                progress.best = Best(psnr, done, _copy(chosen.state_dict()))
            else:
                progress.best.waited += 1
            if not last and any_process(self.accelerator, self._has_waited()):
                say(f"{stage.name} {done}: stopped {self._waiting()}")
                last = self.is_over = True
        if done % config.sample_every == 0 or last:
            self.watch.alone(partial(write_samples, stage, chosen, self.validation, done))
        progress.is_looked_at = True
        if to_save or psnr is not None:
            self._save()

    def _save(self) -> None:
        with self.watch.writing():
            if self.accelerator.is_main_process:
                self.progress.save()
            self.progress.saved = self.progress.done
            self.accelerator.wait_for_everyone()

    def _estimate_statistics(self, pairs: Dataset[Pair]) -> int:
        """Estimate the statistics of batch normalisation anew, over the first images that the stage
        learned from; returns how many these were, 0 where there are no such statistics."""
        stage, chosen = self.stage, self.progress.chosen
        if not following(chosen):
            return 0
        updates = min(max(STATISTICS_IMAGES // self.images_per_step, 1), self.progress.done)
        _seed(stage, "statistics", self.accelerator.process_index)

        def send(pair: Pair) -> None:
            with self.accelerator.autocast():
                stage.send(chosen, stage.context.to_device(pair))
            self.watch.check()

        with closing(self._batches(pairs, 0, updates)) as batches:
            estimate_statistics(chosen, send, batches)
        return updates * self.images_per_step

    def _batches(self, pairs: Dataset[Pair], first: int, last: int) -> Generator[Pair]:
        return training_batches(
            pairs,
            first=first,
            last=last,
            batch_size=self.settings.batch_size,
            accumulate=self.settings.accumulate,
            rank=self.accelerator.process_index,
            world=self.accelerator.num_processes,
            workers=self.config.data.workers,
        )

    def _log(self, figures: Mapping[str, float]) -> None:
        named = {f"{self.stage.name}/{name}": value for name, value in figures.items()}
        self.accelerator.log(named, step=self.before + self.progress.done)


def _seed(stage: Stage, what: str, number: int) -> None:
    """Let what is drawn depend on the seed, the stage, and the number of a step alone."""
    rng = rng_for(stage.context.config.seed, stage.name, what, number)
    torch.manual_seed(int(rng.integers(2**62)))


def _set_learning_rates(stage: Stage, factor: float) -> None:
    for optimizer, rate in stage.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = rate * factor


def _copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().cpu().clone() for key, value in state.items()}
