"""How well faces are found: portraits of known alignment pasted into photographs.

    python -m benchmarks.face_finding --portraits portraits/val --photos natural [--draw FOLDER]

Prints, for each size of square and each degradation, the share of faces found, the error of their
squares' corners (in percent of the side and in pixels) and angles, and false alarms per photograph;
then what is found in photographs as they are, and the time per megapixel. A face is found if a
square's centre is nearer than a quarter of the side and its side is within a factor of 1.5.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugpnet_core.faces.face import Face
from ugpnet_core.faces.finder import NetworkFaceFinder

Pixels = NDArray[Any]
SIZES = ((40, 60), (60, 100), (100, 200), (200, 500))
DEGRADATIONS = ("clean", "noise 0.1", "blur 2", "JPEG 20")
TURN = math.radians(30)


def read(file: Path) -> Pixels:
    """RGB (H, W, 3), uint8."""
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise SystemExit(f"{file} is no image that can be read; remove it from the folder.")
    return np.ascontiguousarray(image[..., ::-1])


def paste(photograph: Pixels, portrait: Pixels, face: Face, *, whole: bool) -> None:
    """Paste a portrait, as a whole square or as a head with soft edges, in place."""
    n = portrait.shape[0]
    while n >= 2 * face.side:
        n //= 2
        portrait = cv2.resize(portrait, (n, n), interpolation=cv2.INTER_AREA)
    mask: Pixels = np.zeros((n, n), np.float32)
    if whole:
        mask[:] = 1
    else:
        cv2.ellipse(mask, (n // 2, n // 2), (int(0.38 * n), int(0.46 * n)), 0, 0, 360, 1.0, -1)
        mask = cv2.GaussianBlur(mask, (0, 0), 0.03 * n)
    cos, sin = (face.side / n * part for part in (math.cos(face.angle), math.sin(face.angle)))
    turn = np.array([[cos, -sin], [sin, cos]])
    shift = np.array([face.x, face.y]) - 0.5 - turn @ np.full(2, n / 2 - 0.5)
    matrix = np.concatenate([turn, shift[:, None]], axis=1)
    size = photograph.shape[1::-1]
    weight = cv2.warpAffine(mask, matrix, size)[..., None]
    pasted = cv2.warpAffine(portrait, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    photograph[:] = (photograph + weight * (pasted.astype(np.float32) - photograph) + 0.5).astype(
        np.uint8
    )


def degrade(image: Pixels, name: str, rng: np.random.Generator) -> Pixels:
    """One of DEGRADATIONS applied to RGB (H, W, 3), uint8."""
    if name == "noise 0.1":
        noisy = image + rng.standard_normal(image.shape) * 25.5
        return (np.clip(noisy, 0, 255) + 0.5).astype(np.uint8)
    if name == "blur 2":
        return cv2.GaussianBlur(image, (0, 0), 2)
    if name == "JPEG 20":
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 20])[1]
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return image


def as_tensor(image: Pixels) -> Tensor:
    """RGB (3, H, W), float32 in [0, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def corners(face: Face) -> Pixels:
    """(4, 2): x, y of upper left, upper right, lower right, lower left."""
    cos, sin = face.side / 2 * math.cos(face.angle), face.side / 2 * math.sin(face.angle)
    right, lower = np.array([cos, sin]), np.array([-sin, cos])
    offsets = np.stack([-right - lower, right - lower, right + lower, lower - right])
    points: Pixels = np.array([face.x, face.y]) + offsets
    return points


def matches(found: Face, truth: Face) -> bool:
    """Whether a square is that face's."""
    near = math.hypot(found.x - truth.x, found.y - truth.y) < 0.25 * truth.side
    return near and abs(math.log(found.side / truth.side)) < math.log(1.5)


def draw(image: Pixels, faces: Sequence[Face], file: Path) -> None:
    """Write the image with the squares, and their scores."""
    picture = np.ascontiguousarray(image[..., ::-1])
    for face in faces:
        points = np.rint(corners(face)).astype(np.int32)
        cv2.polylines(picture, [points], True, (0, 255, 0), 2)
        at = points[0].tolist()
        cv2.putText(picture, f"{face.score:.2f}", at, cv2.FONT_HERSHEY_PLAIN, 1, (0, 0, 255))
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), picture)


def measure_pasted(
    finder: NetworkFaceFinder, arguments: argparse.Namespace, photographs: dict[str, Pixels]
) -> None:
    """Print recall and errors of `arguments.count` faces for each size and degradation."""
    portraits = [read(file) for file in sorted(arguments.portraits.rglob("*.jpg"))]
    # What is found in the photographs anyway is neither a false alarm of the pasting nor hidden.
    known = {name: finder(as_tensor(image)) for name, image in photographs.items()}
    head = f"{'side':>9} {'degradation':11} {'found':>7} {'corners, median, 95 %':>22}"
    print(f"{head} {'pixels':>7} {'angle':>7} {'false alarms':>13}")
    for low, high in SIZES:
        for degradation in DEGRADATIONS:
            rng = np.random.default_rng([7, low])
            found, errors, pixels, angles, alarms = 0, [], [], [], 0
            for i in range(arguments.count):
                name = list(photographs)[i % len(photographs)]
                image = photographs[name].copy()
                height, width = image.shape[:2]
                side = math.exp(rng.uniform(math.log(low), math.log(high)))
                inside = 0.4 * min(side, height)
                x, y = rng.uniform(inside, [width - inside, height - inside])
                truth = Face(float(x), float(y), side, rng.uniform(-TURN, TURN))
                portrait = portraits[rng.integers(len(portraits))]
                paste(image, portrait, truth, whole=bool(rng.random() < 0.5))
                image = degrade(image, degradation, rng)
                faces = finder(as_tensor(image))
                mine = [face for face in faces if matches(face, truth)]
                others = [face for face in faces if not any(matches(face, k) for k in known[name])]
                alarms += len(others) - len([face for face in mine if face in others])
                if arguments.draw and i < 3:
                    draw(image, faces, arguments.draw / f"{low}-{degradation}-{i}.png")
                if mine:
                    found += 1
                    far = np.linalg.norm(corners(mine[0]) - corners(truth), axis=1).mean()
                    errors.append(100 * far / truth.side)
                    pixels.append(far)
                    turn = mine[0].angle - truth.angle
                    angles.append(abs(math.degrees(math.remainder(turn, math.tau))))
            median, most = np.percentile(errors or [math.nan], [50, 95])
            print(
                f"{low:4}-{high:<4} {degradation:11} {found / arguments.count:7.1%}"
                f" {median:12.2f} % {most:5.2f} % {np.median(pixels or [math.nan]):7.2f}"
                f" {np.median(angles or [math.nan]):6.2f}° {alarms / arguments.count:13.3f}",
                flush=True,
            )


def measure_alone(
    finder: NetworkFaceFinder, photographs: dict[str, Pixels], folder: Path | None
) -> None:
    """Print what is found in photographs as they are, and the time."""
    seconds, megapixels = 0.0, 0.0
    for name, image in photographs.items():
        start = time.perf_counter()
        faces = finder(as_tensor(image))
        seconds += time.perf_counter() - start
        megapixels += image.shape[0] * image.shape[1] / 1e6
        squares = [f"({f.x:.0f}, {f.y:.0f}) side {f.side:.0f}, {f.score:.2f}" for f in faces]
        print(f"{name}: {'; '.join(squares) or 'none'}")
        if folder:
            draw(image, faces, folder / f"alone-{name}.png")
    print(f"{seconds / megapixels:.2f} seconds per megapixel, {torch.get_num_threads()} thread(s)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--portraits", type=Path, required=True, help="aligned, not trained on")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--count", type=int, default=60, help="faces per row")
    parser.add_argument("--draw", type=Path, help="folder for pictures with the squares")
    parser.add_argument("--weights", type=Path, help="instead of those of the install")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    finder = NetworkFaceFinder()
    if arguments.weights:
        finder = NetworkFaceFinder(weights=arguments.weights)

    import skimage.data

    photographs = {file.stem: read(file) for file in sorted(arguments.photos.glob("*.*"))}
    samples = ("astronaut", "coffee", "chelsea", "rocket")
    more = {name: np.asarray(getattr(skimage.data, name)()) for name in samples}
    measure_alone(finder, {**photographs, **more}, arguments.draw)
    measure_pasted(finder, arguments, photographs)


if __name__ == "__main__":
    main()
