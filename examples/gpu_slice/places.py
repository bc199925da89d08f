"""A training at home and in a pack: the same settings with other paths."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from examples.gpu_slice.archive import Item, SliceError
from examples.gpu_slice.moved import Words, differing
from examples.gpu_slice.photographs import Need, joined
from ugpnet_core.config import PairedFolders, Source, TrainConfig
from ugpnet_core.training.fingerprint import LISTING, Fingerprint, fingerprint
from ugpnet_core.training.plan import planned
from ugpnet_core.training.pretrained import read_pretrained_prior
from ugpnet_core.training.sources import find_originals
from ugpnet_core.training.trained_prior import prior_file_path

RUNS = "runs"


@dataclass
class Luggage:
    """What several trainings take along, each thing once.

    Attributes:
        outputs: of the trainings, by the folder at home: results of one may be inputs of another.
        folders: where in the pack the photographs of a need lie.
        items: files that are taken as they are.
    """

    outputs: Mapping[Path, str]
    folders: dict[Need, str] = field(default_factory=dict)
    items: dict[Path, str] = field(default_factory=dict)

    def photographs(self, need: Need) -> str:
        """Where photographs lie in the pack."""
        if need not in self.folders:
            self.folders[need] = f"photographs/{len(self.folders)}-{need.folder.name}"
        return self.folders[need]

    def file(self, path: Path) -> str:
        """Where a file, or a folder of files, lies in the pack.

        Raises:
            SliceError: it is missing.
        """
        output = self.outputs.get(path.absolute().parent)
        if output is not None:
            return f"{output}/{path.name}"
        if not path.exists():
            raise SliceError(f"There is no {path}; correct the configuration.")
        inside = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else []
        if path not in self.items:
            self.items[path] = f"inputs/{len(self.items)}-{path.name}"
        for one in inside:
            self.items[one] = f"{self.items[path]}/{one.relative_to(path).as_posix()}"
        return self.items[path]

    def all_files(self) -> list[Item]:
        """Every file that is taken as it is."""
        return [Item(name, path) for path, name in self.items.items() if path.is_file()]


@dataclass(frozen=True)
class Training:
    """A training in both places.

    Attributes:
        home: its settings here, with a pretrained prior's file where the prior brings one.
        away: its settings in the pack, relative to where that is unpacked.
    """

    home: TrainConfig
    away: TrainConfig

    @property
    def stages(self) -> tuple[str, ...]:
        """In their order."""
        return tuple(stage.name for stage in planned(self.home))

    def files(self, output: Path) -> list[Path]:
        """The files of an output folder that are no state, logs or pictures, but are inputs of
        other trainings, byte for byte."""
        prior = prior_file_path(self.home).name
        return [path for path in [output / prior] if path.is_file()]


def needs(config: TrainConfig) -> list[Need]:
    """The folders of photographs that a training reads."""
    data = config.data
    found = [Need(crops.path.absolute(), None) for crops in data.crops]
    found += [Need(one.absolute(), data.resolution) for one in _folders(data.train)]
    found += [
        Need(one.absolute(), data.resolution, _share(config), exact=True)
        for one in _folders(data.validation)
    ]
    return found


def _folders(sources: Sequence[Source]) -> list[Path]:
    return [one for one in sources if isinstance(one, Path) and one.suffix != ".tar"]


def _share(config: TrainConfig) -> int | None:
    """How many validation photographs travel; of several sources all, as they count together."""
    return config.data.validation_count if len(config.data.validation) == 1 else None


def with_paths(
    config: TrainConfig, output: str, luggage: Luggage, packed: Mapping[Need, Need]
) -> TrainConfig:
    """The settings of a training in the pack."""
    content = config.model_dump(mode="json")
    data = config.data

    def source(one: Path | PairedFolders, exact: bool) -> Any:
        if isinstance(one, PairedFolders):
            folders = {"clean": luggage.file(one.clean), "degraded": luggage.file(one.degraded)}
            return {**folders, "pattern": one.pattern}
        if not _folders([one]):
            return luggage.file(one)
        count = _share(config) if exact else None
        return luggage.photographs(packed[Need(one.absolute(), data.resolution, count, exact)])

    content["output"] = output
    content["data"]["train"] = [source(one, False) for one in data.train]
    content["data"]["validation"] = [source(one, True) for one in data.validation]
    for crops, said in zip(data.crops, content["data"]["crops"], strict=True):
        said["path"] = luggage.photographs(packed[Need(crops.path.absolute(), None)])
    for section in ("perceptual", "restoration", "synthesis", "fusion"):
        path = getattr(getattr(config, section), "weights", None)
        if path is not None:
            content[section]["weights"] = luggage.file(path)
    others = config.synthesis.restorations
    content["synthesis"]["restorations"] = [luggage.file(path) for path in others]
    content["model"] = _files_moved(content["model"], luggage.file)
    return TrainConfig.model_validate(content)


def _files_moved(value: Any, move: Callable[[Path], str]) -> Any:
    """Options in which a path of a file that exists is that of its copy."""
    if isinstance(value, dict):
        return {key: _files_moved(one, move) for key, one in value.items()}
    if isinstance(value, list):
        return [_files_moved(one, move) for one in value]
    if isinstance(value, str) and PurePosixPath(value).suffix and Path(value).is_file():
        return move(Path(value))
    return value


def at_home(config: TrainConfig) -> TrainConfig:
    """The settings with the file of a prior that brings its weights along."""
    weights = config.synthesis.weights
    if weights is not None and not weights.exists():
        return config  # that of another training, which is to make it
    return read_pretrained_prior(config)[0]


def plan_trainings(
    configs: Sequence[TrainConfig], outputs: Sequence[str]
) -> tuple[list[Training], Luggage]:
    """Say for each training what it is in the pack, and what has to be taken along."""
    homes = {
        config.output.absolute(): output for config, output in zip(configs, outputs, strict=True)
    }
    luggage = Luggage(homes)
    packed = joined(need for config in configs for need in needs(config))
    trainings = []
    for config, output in zip(configs, outputs, strict=True):
        home = at_home(config)
        trainings.append(Training(home, with_paths(home, output, luggage, packed)))
    return trainings, luggage


def fingerprints(config: TrainConfig, root: Path | None) -> dict[str, Fingerprint]:
    """For each stage, its fingerprint without the content of files.

    Args:
        root: where a pack's relative paths begin; None: the current folder.
    """
    data = config.data
    listings = {
        LISTING + what: find_originals([_below(root, one) for one in sources]).listing
        for what, sources in (("training", data.train), ("validation", data.validation))
    }
    if data.crops:
        listings[LISTING + "crops"] = _listing_of_crops(config, root)
    said = {what.removeprefix(LISTING): digest for what, digest in listings.items()}
    return {stage.name: fingerprint(config, stage, {}, 0, said) for stage in planned(config)}


def _listing_of_crops(config: TrainConfig, root: Path | None) -> str:
    # As ugpnet_core.training.crops has it; the test of slices fails where these part.
    joined_listing = hashlib.sha256()
    for crops in config.data.crops:
        found = find_originals([_below(root, crops.path)])
        joined_listing.update(found.listing.encode())
    return joined_listing.hexdigest()


def _below(root: Path | None, source: Any) -> Any:
    if root is None:
        return source
    if isinstance(source, PairedFolders):
        folders = {"clean": root / source.clean, "degraded": root / source.degraded}
        return source.model_copy(update=folders)
    return root / source


def vocabulary(
    home: Mapping[str, Fingerprint], away: Mapping[str, Fingerprint]
) -> dict[str, Words]:
    """For each stage, what has to be translated from home to the pack."""
    return {stage: differing(home[stage], away[stage]) for stage in home}
