"""The finder of faces that comes with the install, on what ships with scikit-image."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import astuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ugpnet_core.errors import SizeError
from ugpnet_core.faces.face import Face
from ugpnet_core.faces.finder import NetworkFaceFinder, find_faces

samples = pytest.importorskip("skimage.data")

ASTRONAUT = Face(225, 106, 172, 0.0)
"""Where the aligned square of the astronaut's face lies, measured from her eyes and mouth."""


def photograph(name: str) -> Tensor:
    return torch.from_numpy(getattr(samples, name)()).permute(2, 0, 1).float() / 255


def pasted(into: str, face: Face) -> Tensor:
    """The astronaut's head, with soft edges, where `face` says, in another photograph."""
    scene, astronaut = photograph(into), photograph("astronaut")
    height, width = scene.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    cos, sin = math.cos(face.angle) / face.side, math.sin(face.angle) / face.side
    u = (x - face.x) * cos + (y - face.y) * sin  # in sides, along the head's axes
    v = (y - face.y) * cos - (x - face.x) * sin
    shrink = max(1, round(ASTRONAUT.side / face.side))
    small = F.avg_pool2d(astronaut, shrink)[None]
    grid = torch.stack([ASTRONAUT.x + ASTRONAUT.side * u, ASTRONAUT.y + ASTRONAUT.side * v], -1)
    grid = 2 * grid / (shrink * torch.tensor(small.shape[:1:-1])) - 1
    head = F.grid_sample(small, grid[None], align_corners=False)[0]
    weight = (8 * (0.5 - torch.hypot(u / 0.95, v))).clamp(0, 1)
    return scene + weight * (head - scene)


def corners(face: Face) -> Tensor:
    """(4, 2), in pixels."""
    cos, sin = face.side / 2 * math.cos(face.angle), face.side / 2 * math.sin(face.angle)
    return torch.tensor(
        [
            [face.x + a * cos - b * sin, face.y + a * sin + b * cos]
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]
    )


def error(found: Face, truth: Face) -> float:
    """Mean distance of the corners, in sides."""
    return float((corners(found) - corners(truth)).norm(dim=1).mean()) / truth.side


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_astronaut_is_found_once_and_aligned() -> None:
    faces = find_faces(photograph("astronaut"))
    assert len(faces) == 1
    assert error(faces[0], ASTRONAUT) < 0.12
    assert faces[0].score > 0.8


@pytest.mark.parametrize("name", ["coffee", "chelsea"])
def test_there_is_no_face_in(name: str) -> None:
    assert find_faces(photograph(name)) == []


@pytest.mark.parametrize(
    ("into", "face"),
    [
        ("coffee", Face(300, 180, 120, math.radians(25))),
        ("chelsea", Face(100, 200, 90, math.radians(-20))),
        ("rocket", Face(480, 90, 64, math.radians(8))),
        ("rocket", Face(150, 200, 300, math.radians(-10))),
    ],
)
def test_pasted_face_is_found_where_it_is(into: str, face: Face) -> None:
    faces = find_faces(pasted(into, face))
    assert len(faces) == 1
    assert error(faces[0], face) < 0.12
    assert math.degrees(abs(faces[0].angle - face.angle)) < 9


def test_two_faces_are_two() -> None:
    left = F.interpolate(photograph("astronaut")[None, :, :300], scale_factor=0.6)[0]
    faces = find_faces(torch.cat([left, left.flip(-1)], dim=2))
    assert len(faces) == 2
    assert abs(sum(face.x for face in faces) - 2 * left.shape[-1]) < 0.1 * faces[0].side


@pytest.mark.parametrize("kind", ["grey", "noisy", "blurred", "flat contrast"])
def test_face_is_found_in_bad_photographs(kind: str) -> None:
    image = photograph("astronaut")
    if kind == "grey":
        image = image.mean(0, keepdim=True).expand(3, -1, -1)
    elif kind == "noisy":
        noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
        image = (image + 0.2 * noise).clamp(0, 1)
    elif kind == "blurred":
        image = F.avg_pool2d(image, 9, stride=1, padding=4)
    else:
        image = 0.35 + 0.3 * image
    faces = find_faces(image)
    assert len(faces) == 1
    assert error(faces[0], ASTRONAUT) < 0.15


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 300), (37, 2)])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_tiny_and_thin_images_hold_no_face(size: tuple[int, int], value: float) -> None:
    assert find_faces(torch.full((3, *size), value)) == []


def test_a_face_larger_than_the_photograph_is_found() -> None:
    image = photograph("astronaut")[:, 50:190, 155:295]
    faces = find_faces(image)
    assert len(faces) == 1
    assert error(faces[0], Face(225 - 155, 106 - 50, 172, 0.0)) < 0.15


def test_large_photographs_are_looked_at_reduced() -> None:
    image = F.interpolate(photograph("astronaut")[None], scale_factor=4, mode="bilinear")[0]
    seen_whole = find_faces(photograph("astronaut"))
    faces = NetworkFaceFinder(longest=512)(image)
    assert len(faces) == 1
    face = faces[0]
    assert error(Face(face.x / 4, face.y / 4, face.side / 4, face.angle), seen_whole[0]) < 0.05


def test_same_faces_again_and_with_other_threads() -> None:
    image = photograph("astronaut")[:, :256, 96:352]
    first = find_faces(image)
    assert first
    assert first == find_faces(image)
    torch.set_num_threads(2)
    for one, other in zip(first, find_faces(image), strict=True):
        assert astuple(one) == pytest.approx(astuple(other), abs=1e-3)


def test_image_is_left_as_it_was() -> None:
    image = photograph("astronaut")
    before = image.clone()
    find_faces(image)
    assert torch.equal(image, before)


def test_wrong_shape_says_what_to_do() -> None:
    with pytest.raises(SizeError, match="repeat a grey image three times"):
        find_faces(torch.zeros(1, 32, 32))


def test_what_a_face_is_needs_no_torch() -> None:
    code = "import sys, ugpnet_core.faces.face; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
