"""How fast a folder is restored: file after file, and with reading and writing beside the networks.

    python -m benchmarks.folder_speed [-m MODEL] [--pictures 40] [--size 768 512] [--kind jpg]
        [--faces auto] [--rounds 3] [--wait SECONDS]

Both ways in turn, round after round, in one process; the least seconds of each. What the machine
does else counts in both, and should be nothing. With ``--wait`` each picture takes so long instead
of going through the networks, and the processor is idle meanwhile, as beside a GPU.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

import ugpnet_core as ug
from ugpnet_core.devices import keep_memory
from ugpnet_core.inference.batch import restore_files
from ugpnet_core.inference.outputs import Job, plan
from ugpnet_core.inference.restored import RestoredLevels
from ugpnet_core.inference.rows import Array
from ugpnet_core.inference.writing import Writing


class Waiting(ug.Restorer):
    """Stands in for a device that leaves the processor alone."""

    seconds = 0.0

    def restore_levels(self, levels: Array) -> RestoredLevels:
        """The picture as it came, later."""
        time.sleep(self.seconds)
        return RestoredLevels(levels)


def photographs(folder: Path, count: int, size: tuple[int, int], kind: str) -> None:
    """Smooth colours, edges and a little noise, which compress as photographs do."""
    width, height = size
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = torch.from_numpy(rng.random((3, 12, 16), dtype=np.float32))
        image = torch.nn.functional.interpolate(
            coarse[None], size=(height, width), mode="bicubic", antialias=False
        )[0]
        image[:, height // 3 :, width // 2 :] *= 0.7
        noise = torch.from_numpy(rng.standard_normal((3, height, width), dtype=np.float32))
        ug.write_image(folder / f"{number:03}.{kind}", image + 0.03 * noise)


def one_by_one(restorer: ug.Restorer, jobs: Iterable[Job]) -> None:
    """Each file begins when the one before is written."""
    for job in jobs:
        beside_each_other(restorer, [job])


def beside_each_other(restorer: ug.Restorer, jobs: Iterable[Job]) -> None:
    """As ``ugpnet restore`` does."""
    for result in restore_files(restorer, jobs):
        if result.error:
            raise SystemExit(result.error)


def beside_the_networks(job: Job, repeats: int = 3) -> tuple[float, float]:
    """Least seconds of processor time that reading a picture takes, and writing it."""
    taken = []
    for _ in range(repeats):
        begun = time.process_time()
        photo = ug.read_image(job.source)
        read = time.process_time()
        Writing()(job.target, photo.levels[..., :3], photo)
        taken.append((read - begun, time.process_time() - read))
    reading, writing = map(min, zip(*taken, strict=True))
    return reading, writing


WAYS: dict[str, Callable[[ug.Restorer, Iterable[Job]], None]] = {
    "one by one": one_by_one,
    "beside each other": beside_each_other,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-m", "--model", default="portraits")
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument(
        "--size", type=int, nargs=2, default=(768, 512), metavar=("WIDTH", "HEIGHT")
    )
    parser.add_argument("--kind", choices=["jpg", "png", "tif", "webp"], default="jpg")
    parser.add_argument("--faces", choices=["auto", "off"], default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--wait", type=float, metavar="SECONDS")
    given = parser.parse_args()
    width, height = given.size
    keep_memory()
    restorer = (Waiting if given.wait else ug.Restorer)(given.model, faces=given.faces)
    if isinstance(restorer, Waiting):
        restorer.seconds = given.wait
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "photographs"
        photographs(folder, given.pictures, (width, height), given.kind)
        jobs = plan([folder], Path(made) / "restored")
        one_by_one(restorer, jobs[:1])  # what happens once
        reading, writing = beside_the_networks(jobs[0])
        print(f"processor time: {reading:.3f} s to read a picture, {writing:.3f} s to write it")
        taken: dict[str, list[float]] = {name: [] for name in WAYS}
        for _ in range(given.rounds):
            for name, way in WAYS.items():
                started = time.perf_counter()
                way(restorer, jobs)
                taken[name].append(time.perf_counter() - started)
    least = [min(seconds) for seconds in taken.values()]
    networks = f"{given.wait} s of waiting" if given.wait else f"faces {given.faces}"
    print(
        f"{given.model} on {restorer.device}, {torch.get_num_threads()} threads: {given.pictures} "
        f"{given.kind} of {width} x {height}, {networks}"
    )
    for name, seconds in zip(WAYS, least, strict=True):
        print(f"{name}: {seconds:.2f} s, {given.pictures / seconds:.2f} pictures a second")
    print(f"ratio: {least[0] / least[1]:.3f}")


if __name__ == "__main__":
    main()
