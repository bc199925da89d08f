"""Backbones as the checks see them: images, and what forward_features and head make of them."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from ugpnet_core.testing.kind import Kind, Probe, Size
from ugpnet_core.testing.report import CheckFailed, in_words
from ugpnet_core.testing.surroundings import settings_kept


class Backbones(Kind):
    """Networks that restore images."""

    word, given, result = "backbone", "image", "result"
    parts = ("features", "image")
    inputs = ("image",)
    methods = ("forward_features", "head")

    def probe(self, network: Any, count: int, seed: int, size: Size | None) -> Probe:
        """Images (count, 3, H, W)."""
        return (images(count, size or probe_size(network), seed),)

    def others(self, network: Any, size: Size | None) -> list[Probe]:
        """Black and white images, others, and images of other sizes."""
        (x,) = self.probe(network, 1, 0, size)
        height, width = x.shape[2:]
        found = [torch.zeros_like(x), torch.ones_like(x).repeat(2, 1, 1, 1), 1 - x]
        if takes_sizes(network) and size is None:
            found += [images(2, (2 * height, width), 1), images(1, (height, width * 2), 2)]
            if network.size_multiple <= 16:  # larger than other checks have shown to this class
                found.append(images(1, (height, 5 * width), 3))
        return [(one,) for one in found]

    def unseen(self, network: Any, size: Size | None) -> list[Probe]:
        """Images of two more sizes."""
        multiple: int = getattr(network, "size_multiple", 1)
        if size is not None or not takes_sizes(network) or multiple > 16:
            return []
        return [(images(1, (a * multiple, b * multiple)),) for a, b in ((9, 2), (5, 3))]

    def run(self, network: Any, *probe: Tensor) -> tuple[Tensor, Tensor]:
        """Features and what head makes of them."""
        features = called(network, "forward_features", *probe)
        return features, called(network, "head", features)

    def train(self, network: Any, *probe: Tensor) -> tuple[Tensor, ...]:
        """What head gives, and the intermediate images."""
        if not hasattr(network, "forward_supervised"):
            return self.run(network, *probe)[1:]
        (x,) = probe
        try:
            with settings_kept():
                features, intermediate = network.forward_supervised(x.clone())
            made = (features, *intermediate)
        except Exception as error:
            raise CheckFailed(
                f"forward_supervised fails in training on {shown(x)}: {in_words(error)}; make it "
                "return the features and a tuple of images."
            ) from error
        if not all(isinstance(image, Tensor) for image in made):
            raise CheckFailed(
                "forward_supervised returns something other than tensors; make it return the "
                "features and a tuple of images."
            )
        return (called(network, "head", features), *made[1:])

    def plain(self, network: Any, *probe: Tensor) -> tuple[Tensor, ...]:
        """Features and what head makes of them."""
        features = network.forward_features(*probe)
        return features, network.head(features)


def takes_sizes(network: Any) -> bool:
    """Whether a network takes images of more than one size."""
    return getattr(network, "fixed_size", None) is None


def probe_size(network: Any) -> Size:
    """Height and width of most probe images: small, not square where that stays small."""
    fixed: int | None = getattr(network, "fixed_size", None)
    if fixed is not None:
        return fixed, fixed
    multiple: int = getattr(network, "size_multiple", 1)
    if multiple > 32:
        return multiple, multiple
    return -(-16 // multiple) * multiple, -(-24 // multiple) * multiple


def images(count: int, size: Size, seed: int = 0) -> Tensor:
    """Random images (count, 3, H, W), RGB in [0.2, 0.8], the same ones for a seed."""
    generator = torch.Generator().manual_seed(seed)
    # A network may have changed the default data type.
    drawn = torch.rand(count, 3, *size, generator=generator, dtype=torch.float32)
    return 0.2 + 0.6 * drawn


def called(network: Any, method: str, given: Tensor) -> Tensor:
    """What a method gives for a copy of a tensor.

    Raises:
        CheckFailed: it raises, or gives no tensor.
    """
    mode = " in training mode" if network.training else ""
    try:
        with settings_kept():
            result = getattr(network, method)(given.clone(memory_format=torch.preserve_format))
    except (Exception, SystemExit) as error:
        raise CheckFailed(f"{method} fails{mode} on {shown(given)}: {in_words(error)}.") from error
    if not isinstance(result, Tensor):
        what = "None" if result is None else f"a {type(result).__name__}"
        raise CheckFailed(f"{method} returns {what}; make it return one tensor (N, C, H, W).")
    return result


def shown(x: Tensor) -> str:
    """A tensor in words: its size and what else is not usual."""
    dtype = "" if x.dtype == torch.float32 else f" of {str(x.dtype).removeprefix('torch.')}"
    if x.dim() != 4:
        return f"{tuple(x.shape)}{dtype}"
    count, channels, height, width = x.shape
    what = "image" if channels == 3 else f"{channels}-channel map"
    return f"{count} {what}{'s' if count > 1 else ''} of {height}x{width}{dtype}"


def has_own_forward(network: nn.Module) -> bool:
    """Whether a module defines ``forward``."""
    return "forward_unimplemented" not in getattr(inspect.unwrap(network.forward), "__name__", "")
