"""The Restorer: a trained UGPNet that takes photographs of any size and content."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from os import PathLike
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ugpnet_core.devices import Precision, choose_device, choose_precision, give_back_memory
from ugpnet_core.errors import ConfigError, ImageError, SizeError, UGPNetError
from ugpnet_core.faces.alignment import scaled
from ugpnet_core.faces.face import Face, FaceFinder
from ugpnet_core.factory import create_task_at
from ugpnet_core.inference import whole
from ugpnet_core.inference.calling import Calling
from ugpnet_core.inference.layers import (
    Additions,
    FaceAdditions,
    Layers,
    Regression,
    TileAdditions,
    is_grey,
    mean_distance,
)
from ugpnet_core.inference.memory import bytes_per_pixel, fitting, halving
from ugpnet_core.inference.noise_level import noise_level
from ugpnet_core.inference.prior_share import share_of_face, share_of_photograph
from ugpnet_core.inference.restored import Restored, RestoredLevels
from ugpnet_core.inference.rows import (
    Array,
    EnlargedRows,
    LevelRows,
    Rows,
    TensorRows,
    banded,
    reduced,
    write_levels,
)
from ugpnet_core.inference.scope import Scope, scope_of, share_relied_on
from ugpnet_core.inference.tiling import OnTile
from ugpnet_core.model_files.finding import domain_of
from ugpnet_core.model_files.model import load_model
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.plugins import TaskEntry, find

SMALLEST_TILE = 64 + 2 * whole.OVERLAP
# Of the model's resolution, in the network together.
TILES_AT_ONCE = 4
# Faces are sought in a photograph that is halved until it is no larger. The finder that comes with
# the toolkit reduces photographs itself, to about half of this.
LOOKED_AT = 3840


class Restorer(Calling):
    """Restores photographs of any size and content with a trained model, and never makes them worse
    where that can be known.

    The restoration module runs over the whole photograph. A model whose domain is faces finds them,
    and the whole model sees them aligned; one without a domain sees the photograph in tiles. Slow
    colours of x_hat follow those of x_reg, and x_reg's those of x, unless the model's task moves
    them. Where the noise is far from what the model was trained for, x_hat moves towards x_reg, and
    x_reg towards x as far as x is estimated to be better. A grey image comes back grey.

    Args:
        model: A name that ``ugpnet list-models`` shows, a path, or a :class:`UGPNet`, which is
            moved to the device and put into evaluation mode.
        device: The device of the networks: ``"auto"`` (CUDA, else MPS, else the CPU), or one as
            torch names it.
        tile: The side, in pixels, of what the restoration module sees at once; less needs less
            memory. A photograph of no more pixels than two such tiles is not cut; of others, some
            squares of at most 256 pixels are seen first. Of a model without a domain it says how
            many pixels of the output tiles of the model's resolution r are apart at most, from the
            scale to r; ``"auto"`` is then three quarters of r.
        fidelity: How much of the regression the restored image keeps, from 0 to 1: the image is
            (1 - fidelity) x_hat + fidelity x_reg.
        faces: Whether faces go through the whole model; ``"off"`` leaves them to the restoration
            module.
        background: What becomes of everything but faces; ``"keep"`` leaves it as it came (enlarged
            by the model's scale).
        finder: A function from an image (3, H, W) to the faces in it; by default the finder that
            comes with the toolkit.
        precision: The type that networks compute in; ``"auto"`` is bfloat16 where the device has
            it, and float32 elsewhere. Between the two lie 60 dB.

    Attributes:
        on_tile: A function that is told how many tiles of the present image are done, and how many
            there are, or None.

    Raises:
        ConfigError: The device is not there, or a setting is out of range.
        PluginError: The model, or a plugin that it needs, is not installed.
        WeightsError: The model's file cannot be read.

    Examples:
        >>> import torch
        >>> import ugpnet_core as ug
        >>> restorer = ug.Restorer("portraits", device="cpu", faces="off")
        >>> grey = torch.full((3, 20, 33), 0.5)
        >>> restored = restorer(grey)
        >>> restored.image.shape
        torch.Size([3, 20, 33])
        >>> bool((restored.image - grey).abs().max() < 0.02)
        True
    """

    def __init__(
        self,
        model: str | PathLike[str] | UGPNet,
        device: str | torch.device = "auto",
        tile: int | Literal["auto"] = "auto",
        fidelity: float = 0.0,
        faces: Literal["auto", "off"] = "auto",
        background: Literal["restore", "keep"] = "restore",
        finder: FaceFinder | None = None,
        precision: Precision = "auto",
    ) -> None:
        if not 0 <= fidelity <= 1:
            raise ConfigError(f"fidelity is from 0 to 1, not {fidelity}.")
        self.device = choose_device(device)
        self.dtype = choose_precision(precision, self.device)
        loaded = load_model(model) if isinstance(model, (str, PathLike)) else model
        self.domain = domain_of(model, loaded.config)
        self.resolution, self.scale = loaded.resolution, loaded.scale
        self.tile = self._checked_tile(tile)
        if background == "keep" and self.domain != "faces":
            raise ConfigError(
                "background 'keep' is for models whose domain is faces; leave it out for this one."
            )
        # Faster on a CPU than channels first; the numbers differ by rounding only.
        self.model = loaded.to(self.device).to(memory_format=torch.channels_last).eval()
        self.fidelity = fidelity
        self.faces = faces
        self.background = background
        self._finder = finder
        self.on_tile: OnTile | None = None

    @torch.inference_mode()
    def restore_tensor(self, x: Tensor) -> Restored:
        """Restore a tensor; a Restorer itself is called with images of every kind.

        Args:
            x: The image or batch, RGB float (3, H, W) or (N, 3, H, W) in [0, 1].

        Returns:
            The images x_hat (blended with x_reg by ``fidelity``), x_reg and x_syn: float32 CPU
            tensors in [0, 1] with as many dimensions as the input, sides times the model's scale.

        Raises:
            ImageError: The tensor does not hold floats, or the model makes values of it that are
                no numbers.
            SizeError: The tensor is no image or batch of images.
        """
        if not x.is_floating_point():
            raise ImageError(f"Images are float tensors in [0, 1], not {x.dtype}; divide by white.")
        if x.dim() not in {3, 4} or x.shape[-3] != 3:
            raise SizeError(f"Images are RGB, (3, H, W) or (N, 3, H, W), not {tuple(x.shape)}.")
        if not x.numel():
            raise SizeError(f"There are no pixels in an image of shape {tuple(x.shape)}.")
        batch = x.detach().to("cpu", torch.float32).clamp(0, 1)
        every = [self._restored(one) for one in (batch if batch.dim() == 4 else batch[None])]

        def joined(images: Sequence[Tensor]) -> Tensor:
            return torch.stack(list(images)) if x.dim() == 4 else images[0]

        return Restored(
            image=joined([one.image for one in every]),
            regression=joined([one.regression for one in every]),
            synthesis=joined([one.synthesis for one in every]),
            faces=tuple(one.faces[0] for one in every),
            notices=tuple(notice for one in every for notice in one.notices),
        )

    @torch.inference_mode()
    def restore_levels(self, levels: Array) -> RestoredLevels:
        """Restore an image that is kept as levels, in as little memory as there may be: about 16
        bytes per pixel of the result, where floats of x_hat, x_reg and x_syn take 36 alone.

        Args:
            levels: The image, RGB (H, W, 3), uint8 or uint16.

        Returns:
            The image x_hat (blended with x_reg by ``fidelity``), sides times the model's scale, of
            the same type. Where the scale is 1 and ``levels`` can be written to, it takes their
            place.

        Raises:
            ImageError: The model makes values that are no numbers.
        """
        source = LevelRows(levels)
        layers, faces, notices = self._layers(source, exact=False, synthesis=False)
        height, width = layers.came.height, layers.came.width
        reused = self.scale == 1 and levels.flags.writeable
        made = levels if reused else np.empty((height, width, 3), levels.dtype)
        for top, (image, _, _) in layers.bands():
            write_levels(image, made[top : top + image.shape[-2]])
        return RestoredLevels(made, faces, notices)

    def _restored(self, x: Tensor) -> Restored:
        """Restore x (3, H, W)."""
        layers, faces, notices = self._layers(TensorRows(x), exact=True, synthesis=True)
        every = zip(*(parts for _, parts in layers.bands()), strict=True)
        image, regression, synthesis = (torch.cat(parts, -2) for parts in every)
        return Restored(image, regression, synthesis, (faces,), notices)

    def _layers(
        self, source: Rows, *, exact: bool, synthesis: bool
    ) -> tuple[Layers, tuple[Face, ...], tuple[str, ...]]:
        """Everything that the restored photograph is made of, its faces (in pixels of the source),
        and what there is to say about it."""
        noise = noise_level(source)
        came: Rows = source if self.scale == 1 else EnlargedRows(source, self.scale)
        prior = 1 - self.fidelity
        faces: tuple[Face, ...] = ()
        additions: Additions
        if self.domain == "faces":
            regression = self._regress(source, came, noise, exact)
            if self.faces == "auto":
                # Where the noise is gone they are found best.
                faces = self._faces_of(regression)
            shares = self._shares(came, regression, faces, noise) if prior else [0.0] * len(faces)
            if synthesis or any(shares):
                pasted = whole.by_faces(self.model, source, faces, shares, self.device, self.dtype)
            else:
                pasted = whole.nothing_added(self.model, source, faces)
            additions = FaceAdditions(pasted)
        else:
            regression, additions = self._by_tiles(source, came, noise, exact, synthesis)
            if self.scope is not None:
                prior *= share_of_photograph(self.scope, came, regression, noise)
        layers = Layers(came, regression, additions, prior=prior, grey=is_grey(source))
        layers.keep = self.background == "keep"
        notices: list[str] = []
        trust = self._trust(noise, notices)
        if trust < 1:
            share = share_relied_on(mean_distance(came, regression), noise)
            layers.reliance = trust + (1 - trust) * share
            layers.prior *= trust
        return layers, faces, tuple(notices)

    def _shares(
        self, came: Rows, regression: Regression, faces: Sequence[Face], noise: float
    ) -> list[float]:
        """How much of what the prior adds each face wants."""
        if self.scope is None:
            return [1.0] * len(faces)
        return [
            share_of_face(self.scope, came, regression, face, noise, self.resolution)
            for face in scaled(faces, self.scale)
        ]

    def _faces_of(self, regression: Regression) -> tuple[Face, ...]:
        """The faces of a photograph, in its pixels."""
        give_back_memory()
        small, factor = reduced(regression, LOOKED_AT)
        give_back_memory()
        faces = tuple(scaled(self.find_faces(small), factor / self.scale))
        give_back_memory()
        return faces

    def _regress(self, source: Rows, came: Rows, noise: float, exact: bool) -> Regression:
        """x_reg of a whole photograph."""

        def run(tile: int) -> Regression:
            kept = Regression(came, noise, follows=not self.moves_colours, exact=exact)
            rows = whole.regressed_rows(
                self.model, source, self.device, tile, self.dtype, self.on_tile
            )
            for begin, images in rows:
                for top, (image,) in banded(begin, images):
                    kept.write(top, image)
            return kept

        fixed = getattr(self.model.restoration.backbone, "fixed_size", None)
        if fixed is not None:
            return run(fixed)
        tile = fitting(self.tile, self._bytes_per_pixel, self.device, SMALLEST_TILE)
        return halving(run, tile, SMALLEST_TILE)

    def _by_tiles(
        self, source: Rows, came: Rows, noise: float, exact: bool, synthesis: bool
    ) -> tuple[Regression, TileAdditions]:
        """The whole model everywhere; ``synthesis`` keeps x_syn."""

        def run(batch: int) -> tuple[Regression, TileAdditions]:
            kept = Regression(came, noise, follows=not self.moves_colours, exact=exact)
            size = came.height, came.width
            sigma = self.resolution / whole.SLOW
            added = TileAdditions(size, sigma, exact=exact, synthesis=synthesis)
            rows = whole.by_tiles(
                self.model, source, self.device, self.tile, self.dtype, batch, self.on_tile
            )
            for begin, images in rows:
                for top, (image, regression, own) in banded(begin, images):
                    kept.write(top, regression)
                    added.write(top, image - regression, own - regression)
            return kept, added

        return halving(run, TILES_AT_ONCE, 1)

    @functools.cached_property
    def _bytes_per_pixel(self) -> float:
        return bytes_per_pixel(self.model.restoration)

    def find_faces(self, image: Tensor) -> Sequence[Face]:
        """Find the faces that the whole model would see.

        Args:
            image: The image, RGB float (3, H, W) in [0, 1].

        Returns:
            The faces as squares, in pixels of the image.
        """
        if self._finder is None:
            from ugpnet_core.faces.finder import NetworkFaceFinder

            self._finder = NetworkFaceFinder()
        return self._finder(image)

    @functools.cached_property
    def scope(self) -> Scope | None:
        """The noise that the model was trained for; None where its task cannot be repeated."""
        try:
            return scope_of(create_task_at(self.model.config.task, self.resolution))
        except UGPNetError:
            return None

    def _trust(self, noise: float, notices: list[str]) -> float:
        """How far the model can be relied on, and a notice where that is not fully so."""
        scope = self.scope
        trust = 1.0 if scope is None else scope.trust(noise)
        if scope is not None and trust < 1:
            kept = "the input" if noise < scope.weakest else "the regression and the input"
            notices.append(
                f"its noise (about {noise:.2f}, white being 1) is {scope.against(noise)}, so more "
                f"of {kept} was kept"
            )
        return trust

    @functools.cached_property
    def moves_colours(self) -> bool:
        """Whether the model's task changes slow colours, which are then not held to the input's."""
        return find(TaskEntry, self.model.config.task.name).entry.moves_colours

    def _checked_tile(self, tile: int | Literal["auto"]) -> int:
        if self.domain == "faces":
            if tile != "auto" and tile < SMALLEST_TILE:
                raise ConfigError(
                    f"tile is {tile}; give at least {SMALLEST_TILE} pixels, or 'auto'."
                )
            return whole.TILE if tile == "auto" else tile
        spacing = self.resolution * 3 // 4 if tile == "auto" else tile
        if not self.scale <= spacing <= self.resolution:
            raise ConfigError(
                f"This model's tiles have {self.resolution} pixels a side; give a tile from "
                f"{self.scale} to {self.resolution}, or 'auto', not {tile}."
            )
        # Tiles that do not overlap show: at their borders a network knows least.
        return min(spacing, self.resolution * 3 // 4) // self.scale
