"""The Restorer: a trained UGPNet that takes images and files of any size."""

from __future__ import annotations

from os import PathLike
from typing import Literal

import torch
from torch import Tensor

from ugpnet_core.errors import ConfigError, ImageError, SizeError
from ugpnet_core.image import read_image
from ugpnet_core.inference.tiling import run_tiled
from ugpnet_core.model_file import load_model
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.protocols import UGPNetOutput


class Restorer:
    """Restores images of any size with a trained model.

    Args:
        model: a name that ``ugpnet list-models`` shows, a path, or a :class:`UGPNet`, which is
            moved to the device and put into evaluation mode.
        device: ``"auto"`` (CUDA, else MPS, else the CPU) or a torch device.
        tile: the network always sees tiles of the model's resolution r; ``tile=N`` places them
            at most N pixels of the output apart, N <= r. Smaller is smoother and slower;
            ``"auto"`` is three quarters of r.
        fidelity: how much of the regression the restored image keeps, from 0 to 1: the image is
            (1 - fidelity) x_hat + fidelity x_reg.

    Raises:
        ConfigError: a device that is not there, or a tile or fidelity out of range.
        PluginError, WeightsError: the model cannot be loaded.
    """

    def __init__(
        self,
        model: str | PathLike[str] | UGPNet,
        device: str | torch.device = "auto",
        tile: int | Literal["auto"] = "auto",
        fidelity: float = 0.0,
    ) -> None:
        if not 0 <= fidelity <= 1:
            raise ConfigError(f"fidelity is from 0 to 1, not {fidelity}.")
        self.device = choose_device(device)
        loaded = load_model(model) if isinstance(model, (str, PathLike)) else model
        resolution, scale = loaded.resolution, loaded.scale
        spacing = resolution * 3 // 4 if tile == "auto" else tile
        if not scale <= spacing <= resolution:
            raise ConfigError(
                f"This model's tiles have {resolution} pixels a side; give a tile from {scale} "
                f"to {resolution}, or 'auto', not {tile}."
            )
        # Faster on a CPU than channels first; the numbers differ by rounding only.
        self.model = loaded.to(self.device).to(memory_format=torch.channels_last).eval()
        self.fidelity = fidelity
        self.resolution = resolution
        self.scale = scale
        self._stride = spacing // scale

    @torch.inference_mode()
    def __call__(self, image: str | PathLike[str] | Tensor) -> UGPNetOutput:
        """Restore an image.

        Args:
            image: a file, or RGB float (3, H, W) or (N, 3, H, W) in [0, 1].

        Returns:
            x_hat (blended with x_reg by ``fidelity``), x_reg and x_syn: float32 CPU tensors in
            [0, 1] with as many dimensions as the input (three for a file), sides times the
            model's scale.

        Raises:
            ImageError: the file cannot be read, or the tensor does not hold floats.
            SizeError: the tensor is no image or batch of images.
        """
        x = image if isinstance(image, Tensor) else read_image(image).pixels
        if not x.is_floating_point():
            raise ImageError(f"Images are float tensors in [0, 1], not {x.dtype}; divide by white.")
        if x.dim() not in {3, 4} or x.shape[-3] != 3:
            raise SizeError(f"Images are RGB, (3, H, W) or (N, 3, H, W), not {tuple(x.shape)}.")
        batch = x.detach().to("cpu", torch.float32).clamp(0, 1)
        restored, regression, synthesis = run_tiled(
            lambda tiles: self.model(tiles.contiguous(memory_format=torch.channels_last)),
            batch if batch.dim() == 4 else batch.unsqueeze(0),
            tile=self.resolution // self.scale,
            scale=self.scale,
            stride=self._stride,
            device=self.device,
        )
        if self.fidelity:
            restored = torch.lerp(restored, regression, self.fidelity)
        outputs = (restored.clamp_(0, 1), regression.clamp_(0, 1), synthesis.clamp_(0, 1))
        return UGPNetOutput(*(outputs if x.dim() == 4 else (one[0] for one in outputs)))


def choose_device(device: str | torch.device) -> torch.device:
    """The device that ``"auto"`` or a name stands for.

    Raises:
        ConfigError: torch does not know it or cannot use it here.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"Device {str(device)!r} cannot be used here; choose auto, cpu, cuda or mps."
        ) from error
    return chosen
