"""Motion blur kernels of random camera shakes, one by one and in sets.

The kernels are made as J. Rim et al., "Real-world blur dataset for learning and benchmarking
deblurring algorithms" (ECCV 2020), and their sources do: a random smooth trajectory of the camera
is projected to the image plane, and the kernel is the time that a point of light spends over each
pixel during the exposure. Here the camera turns about three axes. Each angle is a Gaussian
process with a Matern 5/2 covariance, as in C. J. Schuler et al., "Learning to deblur" (PAMI 2016),
which also keeps the speed smooth; some hands tremble on top of that, at 8 to 12 Hz as hands do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ugpnet_core.seeding import rng_for

Floats = npt.NDArray[np.float64]

GENERATOR = "1"  # a new number whenever the same seed gives other kernels

_NODES = 160  # times at which the Gaussian process is drawn; linear between them
_SAMPLES = 4000  # positions that are exposed: at 71 pixels, neighbours lie closer than 1/4 pixel
_JITTER = 1e-8  # keeps the covariance positive definite in floating point


@dataclass(frozen=True)
class KernelSet:
    """Kernels (N, K, K), float32, non-negative, sum 1, K odd, and where they come from.

    ``seed`` and ``generator`` are None for kernels that :func:`kernel_set` did not make.
    """

    kernels: Tensor
    seed: int | None = None
    generator: str | None = None


def kernel_set(count: int = 1000, size: int = 71, seed: int = 0) -> KernelSet:
    """The first ``count`` camera shakes of a seed; the paper's sets are 1,000 of 71x71 for faces
    (section 4) and 2,000 of 51x51 for churches (supplement S.7).

    Kernel i is ``camera_shake_kernel(size, rng_for(seed, i))`` for every ``count``.
    """
    return KernelSet(torch.stack(list(each_kernel(count, size, seed))), seed, GENERATOR)


def each_kernel(count: int, size: int, seed: int) -> Iterator[Tensor]:
    """The kernels of a set (size, size), one after the other."""
    for index in range(count):
        yield camera_shake_kernel(size, rng_for(seed, index))


def kernel_pictures(kernels: Tensor) -> list[Tensor]:
    """Kernels (N, K, K) to be looked at: RGB (3, K, K) in [0, 1], white on black, each as bright
    as its brightest pixel, on a square-root scale so that faint parts show."""
    brightest = kernels.amax(dim=(1, 2), keepdim=True)
    return list((kernels / brightest).sqrt().unsqueeze(1).expand(-1, 3, -1, -1))


def camera_shake_kernel(size: int, rng: np.random.Generator) -> Tensor:
    """The kernel (size, size) of a random camera shake, float32.

    It is non-negative, of sum 1 and centred: its centre of mass is the middle pixel, to a
    thousandth of a pixel. The whole movement lies inside: nothing is cut off. The same ``rng``
    state gives the same movement at every size.

    Args:
        size: odd, at least 3.
        rng: the only source of randomness.
    """
    path = camera_path(rng)
    return torch.from_numpy(_exposure(path * (size - 1) / 2, size))


def camera_path(rng: np.random.Generator) -> Floats:
    """Positions (T, 2) in the image at equal times, of mean 0; the kernel's window is [-1, 1]^2.

    A point at (u, v), in focal lengths from the middle of the image, moves by
    (yaw - v roll, pitch + u roll) when the camera turns by small angles.
    """
    trembles = rng.random() < 0.4
    # Hands move slowly in comparison with an exposure: the path bends a few times, or hardly.
    memory = math.exp(rng.uniform(math.log(0.25), math.log(0.9)))
    exposure = rng.uniform(0.1, 0.35)  # seconds, for the tremor
    cycles = rng.uniform(8, 12) * exposure
    tremor = rng.uniform(0.02, 0.12) if trembles else 0.0  # in sweeps
    u, v = rng.uniform(-0.35, 0.35, 2)  # an image is about 0.7 focal lengths wide
    extent = rng.uniform(0.2, 0.96)  # part of the window that the movement fills

    factor = _toeplitz_cholesky(_covariance(memory, tremor, cycles))
    yaw, pitch, roll = np.einsum("ij,ja->ai", factor, rng.standard_normal((_NODES, 3)))
    nodes = np.stack([yaw - v * roll, pitch + u * roll], axis=1)
    times, instants = np.linspace(0, 1, _NODES), (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    path = np.stack([np.interp(instants, times, axis) for axis in nodes.T], axis=1)
    path -= path.mean(axis=0)
    path *= extent / np.abs(path).max()
    return path


def _covariance(memory: float, tremor: float, cycles: float) -> Floats:
    """Of an angle at the nodes with that at the first: Matern 5/2, and a tremor whose phase
    wanders."""
    apart = np.linspace(0, 1, _NODES)
    scaled = math.sqrt(5) * apart / memory
    sweep = (1 + scaled + scaled**2 / 3) * np.exp(-scaled)
    shiver = np.cos(2 * math.pi * cycles * apart) * np.exp(-2 * apart**2)
    covariance: Floats = sweep + tremor**2 * shiver
    covariance[0] += _JITTER
    return covariance


def _toeplitz_cholesky(column: Floats) -> Floats:
    """L with L L^T = the symmetric Toeplitz matrix of this first column, by Schur's algorithm.

    LAPACK's general one is quicker on an idle machine; on a busy one, where its threads wait for
    each other, a kernel took 20 ms with it and takes 2 to 4 ms with this.
    """
    size = len(column)
    factor = np.zeros((size, size))
    upper, lower = column / math.sqrt(column[0]), column / math.sqrt(column[0])
    factor[:, 0] = upper
    for step in range(1, size):
        shifted, rest = upper[:-1], lower[1:]
        reflection = rest[0] / shifted[0]
        scale = 1 / math.sqrt((1 - reflection) * (1 + reflection))
        upper = (shifted - reflection * rest) * scale
        lower = (rest - reflection * shifted) * scale
        factor[step:, step] = upper
    return factor


def _exposure(path: Floats, size: int) -> npt.NDArray[np.float32]:
    """Spread every position (T, 2), from the middle, over its four nearest pixels, bilinearly.

    That keeps the centre of mass where it is, to a fraction of a pixel.
    """
    place = path + (size - 1) / 2
    corner = np.minimum(np.floor(place).astype(np.int64), size - 2)
    right, below = (place - corner).T
    first = corner[:, 1] * size + corner[:, 0]
    pixels = np.concatenate([first, first + 1, first + size, first + size + 1])
    weights = np.concatenate(
        [(1 - right) * (1 - below), right * (1 - below), (1 - right) * below, right * below]
    )
    kernel = np.bincount(pixels, weights, minlength=size * size).reshape(size, size)
    normalised: npt.NDArray[np.float32] = (kernel / len(path)).astype(np.float32)
    return normalised
