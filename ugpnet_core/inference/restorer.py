"""The Restorer: a trained UGPNet that takes photographs of any size and content."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from os import PathLike
from typing import Literal

import torch
from torch import Tensor

from ugpnet_core.devices import Precision, choose_device, choose_precision
from ugpnet_core.errors import ConfigError, ImageError, SizeError, UGPNetError
from ugpnet_core.faces.alignment import scaled
from ugpnet_core.faces.face import Face, FaceFinder
from ugpnet_core.factory import create_task_at
from ugpnet_core.image import read_image, resize
from ugpnet_core.inference import whole
from ugpnet_core.inference.colours import follow
from ugpnet_core.inference.noise_level import noise_level
from ugpnet_core.inference.restored import Restored
from ugpnet_core.inference.scope import Scope, relied_on, scope_of
from ugpnet_core.inference.tiling import OnTile
from ugpnet_core.model_files.model import domain_of, load_model
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.plugins import TaskEntry, find

SMALLEST_TILE = 64


class Restorer:
    """Restores photographs of any size and content with a trained model, and never makes them worse
    where that can be known.

    The restoration module runs over the whole photograph. A model whose domain is faces finds them,
    and the whole model sees them aligned; one without a domain sees the photograph in tiles. Slow
    colours of x_hat follow those of x_reg, and x_reg's those of x, unless the model's task moves
    them. Where the noise is far from what the model was trained for, x_hat moves towards x_reg, and
    x_reg towards x as far as x is estimated to be better. A grey image comes back grey.

    Args:
        model: a name that ``ugpnet list-models`` shows, a path, or a :class:`UGPNet`, which is
            moved to the device and put into evaluation mode.
        device: ``"auto"`` (CUDA, else MPS, else the CPU) or a torch device.
        tile: pixels of a side that the restoration module sees at once; less needs less memory.
            Without a domain: how many pixels of the output tiles of the model's resolution r are
            apart at most, from the scale to r; ``"auto"`` is three quarters of r.
        fidelity: how much of the regression the restored image keeps, from 0 to 1: the image is
            (1 - fidelity) x_hat + fidelity x_reg.
        faces: ``"off"`` leaves faces to the restoration module.
        background: ``"keep"`` leaves everything but faces as it came (enlarged by the model's
            scale).
        finder: of faces; by default the one that comes with the toolkit.
        precision: what networks compute in: ``"auto"`` is bfloat16 where the device has it, and
            float32 elsewhere. Between the two lie 60 dB.

    Attributes:
        on_tile: None, or a function that is told how many tiles of the present image are done, and
            how many there are.

    Raises:
        ConfigError: a device that is not there, or a setting out of range.
        PluginError, WeightsError: the model cannot be loaded.
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
    def __call__(self, image: str | PathLike[str] | Tensor) -> Restored:
        """Restore an image.

        Args:
            image: a file, or RGB float (3, H, W) or (N, 3, H, W) in [0, 1].

        Returns:
            x_hat (blended with x_reg by ``fidelity``), x_reg and x_syn: float32 CPU tensors in
            [0, 1] with as many dimensions as the input (three for a file), sides times the
            model's scale.

        Raises:
            ImageError: the file cannot be read, the tensor does not hold floats, or the model
                makes values of it that are no numbers.
            SizeError: the tensor is no image or batch of images.
        """
        x = image if isinstance(image, Tensor) else read_image(image).pixels
        if not x.is_floating_point():
            raise ImageError(f"Images are float tensors in [0, 1], not {x.dtype}; divide by white.")
        if x.dim() not in {3, 4} or x.shape[-3] != 3:
            raise SizeError(f"Images are RGB, (3, H, W) or (N, 3, H, W), not {tuple(x.shape)}.")
        if not x.numel():
            raise SizeError(f"There are no pixels in an image of shape {tuple(x.shape)}.")
        batch = x.detach().to("cpu", torch.float32).clamp(0, 1)
        every = [self._restore(one[None]) for one in (batch if batch.dim() == 4 else batch[None])]

        def joined(images: Sequence[Tensor]) -> Tensor:
            return torch.cat(list(images)) if x.dim() == 4 else images[0][0]

        return Restored(
            image=joined([one.image for one in every]),
            regression=joined([one.regression for one in every]),
            synthesis=joined([one.synthesis for one in every]),
            faces=tuple(one.faces[0] for one in every),
            notices=tuple(notice for one in every for notice in one.notices),
        )

    def _restore(self, x: Tensor) -> Restored:
        """Restore x (1, 3, H, W)."""
        faces: Sequence[Face] = ()
        notices: list[str] = []
        if self.domain == "faces":
            regression = whole.regressed(
                self.model, x, self.device, self.tile, self.dtype, self.on_tile
            )
            if self.faces == "auto":
                # Where the noise is gone they are found best.
                found = self.find_faces(regression[0].clamp(0, 1))
                faces = scaled(found, 1 / self.scale)
            parts = whole.by_faces(self.model, x, regression, faces, self.device, self.dtype)
        else:
            parts = whole.by_tiles(self.model, x, self.device, self.tile, self.dtype, self.on_tile)
        regression, addition, synthesis, mask = parts
        if not all(bool(part.isfinite().all()) for part in parts):
            raise ImageError(
                "The model makes values that are no finite numbers of this image; use another "
                "model, or tell who made it."
            )
        noise = noise_level(x[0])
        came = resize(x, [side * self.scale for side in x.shape[-2:]])
        if not self.moves_colours:
            regression = follow(regression, came, noise)
        if self.scope is not None:
            addition = self.scope.prior_share(noise) * addition
        trust = self._trust(noise, notices)
        if trust < 1:
            share = relied_on(came, regression, noise)
            regression = torch.lerp(came, regression, trust + (1 - trust) * share)
            addition = trust * addition
        if torch.equal(x[:, :1].expand_as(x), x):
            regression, addition, synthesis = map(_grey, (regression, addition, synthesis))
        image = regression + (1 - self.fidelity) * addition
        if self.background == "keep":
            image = torch.lerp(came, image, mask)
        return Restored(
            image=image.clamp(0, 1),
            regression=regression.clamp(0, 1),
            synthesis=(regression + synthesis).clamp(0, 1),
            faces=(tuple(faces),),
            notices=tuple(notices),
        )

    def find_faces(self, image: Tensor) -> Sequence[Face]:
        """Find faces in RGB (3, H, W) in [0, 1]."""
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
                f"its noise (about {noise:.2f}, white being 1) is "
                f"{'weaker' if noise < scope.weakest else 'stronger'} than what the model was "
                f"trained for ({scope.weakest:.2f} to {scope.strongest:.2f}), so more of {kept} "
                "was kept"
            )
        return trust

    @functools.cached_property
    def moves_colours(self) -> bool:
        """Whether the model's task changes slow colours, which are then not held to the input's."""
        return find(TaskEntry, self.model.config.task.name).entry.moves_colours

    def _checked_tile(self, tile: int | Literal["auto"]) -> int:
        if self.domain == "faces":
            if tile != "auto" and tile < SMALLEST_TILE + 2 * whole.OVERLAP:
                raise ConfigError(
                    f"tile is {tile}; give at least {SMALLEST_TILE + 2 * whole.OVERLAP} pixels, "
                    "or 'auto'."
                )
            return whole.TILE if tile == "auto" else tile
        spacing = self.resolution * 3 // 4 if tile == "auto" else tile
        if not self.scale <= spacing <= self.resolution:
            raise ConfigError(
                f"This model's tiles have {self.resolution} pixels a side; give a tile from "
                f"{self.scale} to {self.resolution}, or 'auto', not {tile}."
            )
        return spacing // self.scale


def _grey(image: Tensor) -> Tensor:
    return image.mean(1, keepdim=True).expand_as(image)
