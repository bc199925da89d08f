"""A folder of photographs over the machines of a cluster, by Ray Data's pools of actors."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any

from ugpnet_core.engines.addresses import Place, list_place, place_at
from ugpnet_core.engines.cached import digest_of
from ugpnet_core.engines.manifest import Manifest, Record
from ugpnet_core.engines.worker import Settings, Worker
from ugpnet_core.errors import ConfigError, DependencyError
from ugpnet_core.image import EXTENSIONS
from ugpnet_core.model_files.finding import domain_of, find_model_file
from ugpnet_core.model_files.model import read_card

_CORES = 2


@dataclass
class Work:
    """What there is to do.

    Attributes:
        source, target: the folders.
        jobs: names below them, of what is not done yet.
        done: how many are.
        left_out: files that are no images, by suffix.
        manifest: that takes the records.
    """

    source: Place
    target: Place
    jobs: dict[str, str]
    done: int
    left_out: Mapping[str, int]
    manifest: Manifest
    model: Path
    domain: str
    settings: Settings = field(default_factory=Settings)
    device: str = "auto"


def prepare(
    source: str | Path,
    target: str | Path,
    model: str | PathLike[str],
    settings: Settings,
    *,
    device: str = "auto",
    recursive: bool = False,
    overwrite: bool = False,
    skip_existing: bool = False,
) -> Work:
    """Find out what is to do, before any worker starts.

    A run that was interrupted goes on: what its manifest has is done. Results that no manifest
    knows are not touched.

    Args:
        source, target: folders or addresses.
        model: a name or a path.
        device: of each worker.
        overwrite: replace results that no manifest knows.
        skip_existing: leave them as they are.

    Raises:
        ConfigError: results exist, or were made with another model or other settings; or both
            folders are the same.
        UGPNetError: the model or the folder is not there.
    """
    path = find_model_file(model)
    here, there = place_at(source), place_at(target)
    for place in (here, there):
        if place.address.startswith("memory://"):
            raise ConfigError(f"{place.address}: workers do not share memory; give another place.")
    if (here.local, here.root) == (there.local, there.root):
        raise ConfigError(f"{there.address} is the input itself; choose another -o.")
    listing = list_place(here, recursive=recursive, without=there)
    made_with = {"model": Path(model).name, "digest": digest_of(path), **asdict(settings)}
    manifest = Manifest(there, made_with)
    jobs = _targets(listing.names)
    missing = {name: to for name, to in jobs.items() if name not in manifest.done}
    if not manifest.exists and not overwrite:
        existing = there.names() & set(missing.values())
        if existing and not skip_existing:
            raise ConfigError(
                f"{there.path(min(existing))} exists and was not made by such a run; choose "
                "another -o, --skip-existing or --overwrite."
            )
        missing = {name: to for name, to in missing.items() if to not in existing}
    return Work(
        source=here,
        target=there,
        jobs=missing,
        done=len(jobs) - len(missing),
        left_out=listing.left_out,
        manifest=manifest,
        model=path,
        domain=domain_of(str(model), read_card(path).config),
        settings=settings,
        device=device,
    )


def run(work: Work, workers: int | None = None) -> Iterator[Record]:
    """Restore on the cluster of ``RAY_ADDRESS``, or on one that is started on this machine.

    Records come in the order in which files are done, each once, and are in the manifest. A file
    whose worker dies is done by another one.

    Args:
        workers: default: one for each GPU, or for every two cores.

    Raises:
        DependencyError: Ray is not installed.
    """
    if not work.jobs:
        work.manifest.finish()
        return
    ray = _started(workers)
    todo = dict(work.jobs)
    try:
        for row in _rows(ray, work, workers):
            record = Record(**{**row, "notices": tuple(row["notices"])})
            if todo.pop(record.source, None) is not None:
                work.manifest.add(record)
                yield record
        for source, target in todo.items():
            error = "the cluster lost it; run the same command again."
            record = Record(source, target, error, 0.0, 0, "")
            work.manifest.add(record)
            yield record
    finally:
        if todo:
            work.manifest.flush()
        else:
            work.manifest.finish()


class ClusterWorker(Worker):
    """A worker that gets its model from Ray's store of objects, once for each machine.

    Args:
        model: a list of one reference: what is passed bare, Ray would copy for each worker.
    """

    def __init__(self, model: list[Any], **settings: Any) -> None:
        ray: Any = importlib.import_module("ray")
        super().__init__(ray.get(model[0]), **settings)


def _started(workers: int | None) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ours says how far it is, and Ray's are many lines for each second.
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        ray: Any = importlib.import_module("ray")
        importlib.import_module("ray.data")
    except ImportError as error:
        raise DependencyError("Clusters need Ray; pip install 'ugpnet-core[ray]'.") from error
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if not ray.is_initialized():
        own = "RAY_ADDRESS" not in os.environ
        cores = {"num_cpus": max(workers or 1, os.cpu_count() or 1)} if own else {}
        ray.init(
            include_dashboard=False if own else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **cores,
        )
    return ray


def _rows(ray: Any, work: Work, workers: int | None) -> Iterator[dict[str, Any]]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    there = ray.cluster_resources()
    on_gpus = there.get("GPU", 0) >= 1
    count = workers or max(1, int(there["GPU"] if on_gpus else there["CPU"] // _CORES))
    share = {"num_gpus": 1} if on_gpus else {"num_cpus": max(1, int(there["CPU"] // count))}
    items = [{"source": source, "target": target} for source, target in work.jobs.items()]
    # One file in each block: that is what is done again when a worker dies.
    data = ray.data.from_items(items, override_num_blocks=len(items))
    arguments = {
        "model": [ray.put(work.model.read_bytes())],
        "domain": work.domain,
        "source": work.source.address,
        "target": work.target.address,
        "settings": work.settings,
        "device": work.device,
    }
    # Ray starts a worker that died again, and gives its file to another one.
    mapped = data.map(
        ClusterWorker,
        fn_constructor_kwargs=arguments,
        compute=ray.data.ActorPoolStrategy(size=min(count, len(items))),
        **share,
    )
    yield from mapped.iter_rows()


def _targets(names: list[str]) -> dict[str, str]:
    """A name for each result: that of its file, where such a file can be written; of equal names,
    later ones are numbered."""
    targets: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        path = PurePosixPath(name)
        wish = path if path.suffix.lower() in EXTENSIONS else path.with_suffix(".png")
        number, free = 1, wish
        while str(free).casefold() in taken:
            number += 1
            free = wish.with_stem(f"{wish.stem}_{number}")
        taken.add(str(free).casefold())
        targets[name] = str(free)
    return targets
