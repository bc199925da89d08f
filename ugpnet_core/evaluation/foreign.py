"""Networks that this toolkit knows nothing of, as methods: whatever spandrel recognises.

spandrel (https://github.com/chaiNNer-org/spandrel, MIT) finds out which network a checkpoint holds.
The checkpoint itself is read by the toolkit's own reader, which executes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ugpnet_core.checkpoints.modules import find_network
from ugpnet_core.checkpoints.recognition import recognise
from ugpnet_core.checkpoints.state_dict import read_tensors
from ugpnet_core.errors import DependencyError, WeightsError
from ugpnet_core.evaluation.findings import HIGHEST, LOWEST
from ugpnet_core.image import pad_reflect, resize
from ugpnet_core.plugins.discovery import describe_error

if TYPE_CHECKING:
    from spandrel import ArchRegistry, ImageModelDescriptor

# Face restoration networks are made for and trained on aligned faces of this side only.
FACE_PURPOSE, FACE_SIDE = "FaceSR", 512

# Their published code scales images to [-1, 1] and back (GFPGANer.enhance in TencentARC/GFPGAN,
# inference_codeformer.py in sczhou/CodeFormer); spandrel gives them what it gets, in [0, 1].
SIGNED = frozenset({"GFPGAN", "CodeFormer"})


class ForeignNetwork(nn.Module):
    """Any network that maps RGB images to RGB images, for images of any size.

    Args:
        path: its checkpoint.
        key: which network of a checkpoint that holds several, see
            :func:`ugpnet_core.checkpoints.state_dict.read_tensors`.

    Attributes:
        scale: how many times larger its images are.
        architecture: what it is called.

    Raises:
        WeightsError: the file is damaged, spandrel does not know the network, or it is not one
            from RGB to RGB.
        DependencyError: spandrel is not installed.
    """

    def __init__(self, path: Path, key: str | None = None) -> None:
        super().__init__()
        found = _recognised(path, key)
        self.network: nn.Module = found.model.eval().requires_grad_(False)
        self.architecture: str = found.architecture.name
        self.scale: int = found.scale
        self.fixed_side = FACE_SIDE if found.purpose == FACE_PURPOSE else None
        self._rules = found.size_requirements
        self._signed = found.architecture.id in SIGNED
        self._descriptor = found
        self._made: Tensor | None = None
        self.network.register_forward_hook(self._keep)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, 3, H, W) in [0, 1] to (N, 3, H * scale, W * scale) in [0, 1].

        Images are padded by reflection to a size that the network takes; for one that takes one
        size only, they are resized to it and back. An image with values far outside of [0, 1] is
        not clamped, so that what it is measured with can say so.
        """
        height, width = x.shape[-2:]
        if self.fixed_side is not None:
            x = resize(x, (self.fixed_side, self.fixed_side))
        else:
            right, below = self._rules.get_padding(width, height)
            x = pad_reflect(x, 0, right, 0, below)
        # spandrel's call takes one image.
        restored = torch.cat([self._restored(one.unsqueeze(0)) for one in x]).clone()
        if self.fixed_side is not None:
            return resize(restored, (height * self.scale, width * self.scale))
        return restored[..., : height * self.scale, : width * self.scale]

    def _restored(self, x: Tensor) -> Tensor:
        if self._signed:
            made: Tensor = (self.network(2 * x - 1)[0] + 1) / 2
            image = made.clamp(0, 1)
        else:
            image = self._descriptor(x)
            kept = self._made
            made = image if kept is None or kept.shape != image.shape else kept
        self._made = None
        # spandrel may change what a network gives by more than the clamp.
        is_image = (made.clamp(0, 1) == image).all()
        is_far = (made.amin() < LOWEST) | (made.amax() > HIGHEST)
        return torch.where(is_image & is_far, made, image)

    def _keep(self, network: nn.Module, inputs: object, output: object) -> None:
        first = output[0] if isinstance(output, (tuple, list)) else output
        # spandrel clamps in place.
        self._made = first.clone() if isinstance(first, Tensor) else None

    def restored(self, x: Tensor, side: int) -> Tensor:
        """Map x to images (N, 3, side, side), whatever the network's scale.

        One that enlarges less gets the image bicubically enlarged; one that enlarges more has
        its result bicubically made smaller.
        """
        before = side // self.scale
        if x.shape[-1] < before:
            x = resize(x, (before, before))
        return resize(self(x), (side, side))

    def words(self, side: int, degraded_side: int) -> str:
        """How images of a task are fitted to the network, for the protocol."""
        words = f"{self.architecture} by spandrel"
        if self.fixed_side is not None:
            words += f", images bicubically resized to {self.fixed_side} and back"
        else:
            words += ", images padded by reflection to a size it takes"
        enlarged = max(degraded_side, side // self.scale)
        if enlarged != degraded_side:
            words += f", degraded images bicubically enlarged to {enlarged} first"
        if enlarged * self.scale != side:
            words += f", results bicubically resized from {enlarged * self.scale} to {side}"
        return words


def _recognised(path: Path, key: str | None) -> ImageModelDescriptor[nn.Module]:
    registry = _registry()
    from spandrel import ImageModelDescriptor, UnsupportedModelError

    def load(state: dict[str, Tensor]) -> ImageModelDescriptor[nn.Module] | None:
        try:
            found = registry.load(state)
        except UnsupportedModelError:
            return None
        except Exception as error:  # constructors of other people raise anything
            raise WeightsError(
                f"{path} holds a network that spandrel cannot build ({describe_error(error)}); use "
                "another checkpoint."
            ) from error
        if not isinstance(found, ImageModelDescriptor):
            raise WeightsError(
                f"{path} ({found.architecture.name}) fills masked regions and restores no images; "
                "use another network."
            )
        if (found.input_channels, found.output_channels) != (3, 3):
            raise WeightsError(
                f"{path} ({found.architecture.name}) maps {found.input_channels} channels to "
                f"{found.output_channels}; use a network from RGB to RGB."
            )
        return found

    tensors = read_tensors(path, key)
    found = find_network(tensors, load, str(path))
    if found is None:
        raise WeightsError(
            f"{path} holds no network that spandrel recognises; it looks like "
            f"{recognise(tensors)} (pip install spandrel_extra_arches knows more)."
        )
    return found


def _registry() -> ArchRegistry:
    try:
        from spandrel import MAIN_REGISTRY
    except ImportError as error:
        raise DependencyError(
            f"A network of another program needs spandrel ({describe_error(error)}); pip install "
            "spandrel"
        ) from error
    everything = MAIN_REGISTRY.copy()
    try:
        from spandrel_extra_arches import EXTRA_REGISTRY
    except ImportError:
        return everything
    everything.add(*EXTRA_REGISTRY, ignore_duplicates=True)
    return everything
