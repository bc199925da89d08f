"""``pack``: everything that trainings need on a bare machine, in one file."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from examples.gpu_slice import wheels
from examples.gpu_slice.archive import MIB, Item, SliceError, digest, write_tar
from examples.gpu_slice.moved import move_checkpoint, move_result, translator
from examples.gpu_slice.photographs import Settings, pack_folder
from examples.gpu_slice.places import RUNS, Training, fingerprints, plan_trainings, vocabulary
from ugpnet_core.config_files import read_config
from ugpnet_core.plugins import BackboneEntry, PriorEntry, find
from ugpnet_core.training.checkpoint import checkpoint_path, result_path

PACK = "pack.tar"
MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class Options:
    """What ``pack`` is told.

    Attributes:
        runs: outputs are the folders in here named as the trainings; None: as configured.
        limit: of the pack in bytes.
        present: a list of the packages that the other machine has; None: no wheel of others'
            packages travels.
        python: the other machine's version of Python.
        more: further packages to take along.
    """

    overrides: Sequence[str] = ()
    runs: Path | None = None
    limit: int = 64 * MIB
    present: Path | None = None
    python: str = "3.12"
    more: Sequence[str] = ()
    source: bool = True
    photographs: Settings = field(default_factory=Settings)
    workers: int = 2


def pack(files: Sequence[Path], out: Path, options: Options) -> Path:
    """Write OUT/pack.tar, whole or not at all.

    Raises:
        SliceError: something is missing, or the pack is too large; it names the largest parts.
        UGPNetError: a configuration cannot be right, or a state is damaged.
    """
    configs = [read_config(file, options.overrides) for file in files]
    names = [config.name for config in configs]
    if len(set(names)) < len(names):
        raise SliceError(f"Two trainings have the same name ({', '.join(names)}); rename one.")
    if options.runs is not None:
        configs = [one.model_copy(update={"output": options.runs / one.name}) for one in configs]
    trainings, luggage = plan_trainings(configs, [f"{RUNS}/{name}" for name in names])
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        for need, folder in luggage.folders.items():
            pack_folder(need, place / folder, options.photographs, options.workers)
        for item in luggage.all_files():
            (place / item.name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(item.path, place / item.name)
        runs: list[dict[str, Any]] = []
        digests: dict[str, str] = {}
        for training in trainings:
            runs.append(_pack_training(training, place, digests))
        _pack_wheels(trainings, place / "wheels", options)
        for training in trainings:
            content = yaml.safe_dump(training.away.model_dump(mode="json"), sort_keys=False)
            _write(place / "configs" / f"{training.home.name}.yaml", content)
        items = _listed(place)
        manifest: Mapping[str, Any] = {
            "format": FORMAT,
            "trainings": runs,
            "digests": digests,
            "states": {i.name: digest(i.path) for i in items if i.name.startswith(f"{RUNS}/")},
        }
        text = json.dumps(manifest, indent=1).encode()
        partial = place / PACK
        write_tar(partial, items, {MANIFEST: text})
        _check_size(partial.stat().st_size, items, options.limit)
        out.mkdir(parents=True, exist_ok=True)
        shutil.move(partial, out / PACK)
    return out / PACK


def _pack_training(training: Training, place: Path, digests: dict[str, str]) -> dict[str, Any]:
    """Copy the states of a training; adds the digests of finished stages, here and there."""
    home, away = training.home, training.away
    here = fingerprints(home, None)
    words = vocabulary(here, fingerprints(away, place))
    target = place / away.output
    for path in training.files(home.output):
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target / path.name)
    for stage in training.stages:
        translate = translator(words[stage], digests, here[stage])
        if result_path(home.output, stage).exists():
            one, other = move_result(
                result_path(home.output, stage), result_path(target, stage), translate
            )
            digests[one] = other
        elif checkpoint_path(home.output, stage).exists():
            move_checkpoint(
                checkpoint_path(home.output, stage), checkpoint_path(target, stage), translate
            )
    return {
        "name": home.name,
        "config": f"configs/{home.name}.yaml",
        "output": away.output.as_posix(),
        "home": str(home.output.absolute()),
        "stages": list(training.stages),
        "words": words,
        "away": fingerprints(away, place),
    }


def _pack_wheels(trainings: Sequence[Training], out: Path, options: Options) -> None:
    own = {"ugpnet-core"}
    for training in trainings:
        model = training.home.model
        own.add(find(BackboneEntry, model.backbone.name).distribution)
        own.add(find(PriorEntry, model.prior.name).distribution)
    out.mkdir()
    folders = wheels.projects(own)
    if options.source:
        with tempfile.TemporaryDirectory() as scratch:
            wheels.build(list(folders.values()), out, Path(scratch))
    if options.present is not None:
        there = wheels.read_present(options.present)
        trackers = {tracker for one in trainings for tracker in one.home.trackers}
        # Of our own only what is not built is fetched.
        wanted = wheels.missing(own, there, [*trackers, *options.more])
        wheels.fetch(wanted, options.python, out)


def _listed(place: Path) -> list[Item]:
    paths = sorted(path for path in place.rglob("*") if path.is_file())
    return [Item(path.relative_to(place).as_posix(), path) for path in paths]


def _check_size(size: int, items: Sequence[Item], limit: int) -> None:
    if size <= limit:
        return
    parts: dict[str, int] = {}
    for item in items:
        top = "/".join(item.name.split("/")[:2])
        parts[top] = parts.get(top, 0) + item.path.stat().st_size
    largest = sorted(parts.items(), key=lambda part: -part[1])[:4]
    named = ", ".join(f"{name} {part / MIB:.1f}" for name, part in largest)
    raise SliceError(
        f"The pack has {size / MIB:.1f} MiB, more than {limit / MIB:g}; its largest "
        f"parts: {named}. Lower --quality, pack fewer trainings, or give a larger --limit."
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
