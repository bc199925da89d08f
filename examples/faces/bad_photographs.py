"""What happens to photographs that people want restored: light, colour, blur, noise, JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from examples.faces.sources import Pixels, Random


def spoil(image: Pixels, rng: Random) -> Pixels:
    """Draw what happens to RGB (H, W, 3), uint8, and return the same, some left almost clean."""
    image = change_light(image, rng)
    if rng.random() < 0.35:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 2.2))
    if rng.random() < 0.15:
        image = shrink_and_enlarge(image, rng.uniform(1.2, 2.6))
    if rng.random() < 0.45:
        image = add_noise(image, 0.2 * rng.random() ** 1.5, rng)
    if rng.random() < 0.4:
        image = compress(image, int(rng.integers(12, 90)))
    return image


def change_light(image: Pixels, rng: Random) -> Pixels:
    """Exposure, contrast, gamma, tint, saturation; a quarter loses its colour."""
    if rng.random() < 0.25:
        tint = np.array([1.0, 0.88, 0.7]) if rng.random() < 0.3 else np.ones(3)
        image = cv2.transform(image, np.outer(tint, [0.299, 0.587, 0.114]))
    elif rng.random() < 0.7:
        saturation = rng.uniform(0.2, 1.5)
        mix = saturation * np.eye(3) + (1 - saturation) / 3
        image = cv2.transform(image, np.diag(np.exp(rng.normal(0, 0.1, 3))) @ mix)
    if rng.random() < 0.8:
        gamma, contrast = np.exp(rng.normal(0, 0.3)), np.exp(rng.normal(-0.15, 0.35))
        curve = (np.linspace(0, 1, 256) ** gamma - 0.45) * contrast + 0.45 + rng.normal(0, 0.12)
        image = cv2.LUT(image, (np.clip(curve, 0, 1) * 255 + 0.5).astype(np.uint8))
    if rng.random() < 0.15:
        lit = image * side_light(image.shape[0], image.shape[1], rng)
        image = np.clip(lit, 0, 255).astype(np.uint8)
    return image


def side_light(height: int, width: int, rng: Random) -> Pixels:
    """A slow change of brightness (H, W, 1) across the image."""
    turn, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.7)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    light: Pixels = 1 + strength * (np.cos(turn) * x + np.sin(turn) * y)
    return light[..., None].astype(np.float32)


def shrink_and_enlarge(image: Pixels, factor: float) -> Pixels:
    """Lose detail as a photograph that was too small."""
    h, w = image.shape[:2]
    small = (max(1, round(w / factor)), max(1, round(h / factor)))
    small_image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(small_image, (w, h), interpolation=cv2.INTER_CUBIC)


def add_noise(image: Pixels, sigma: float, rng: Random) -> Pixels:
    """Gaussian noise, the same in all channels or not, rounded and cut to the range."""
    shape = image.shape if rng.random() < 0.8 else (*image.shape[:2], 1)
    noise = rng.standard_normal(shape, np.float32) * np.float32(255 * sigma)
    noisy: Pixels = np.clip(image + noise, 0, 255) + 0.5
    return noisy.astype(np.uint8)


def compress(image: Pixels, quality: int) -> Pixels:
    """What JPEG of that quality makes of it."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded: Pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return decoded
