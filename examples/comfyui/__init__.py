"""A node for ComfyUI. Copy this folder to ``ComfyUI/custom_nodes/ugpnet``, and install
``ugpnet-core`` and a model into the Python that ComfyUI runs in."""

from __future__ import annotations

import functools
from typing import Any

from torch import Tensor

import ugpnet_core as ug


class Restore:
    """Restores ComfyUI's images (N, H, W, 3) in [0, 1]."""

    CATEGORY = "image/restoration"
    FUNCTION = "restore"
    RETURN_TYPES = ("IMAGE", "IMAGE")
    RETURN_NAMES = ("restored", "regression")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        """What the node asks for, in ComfyUI's words."""
        fidelity = {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.05}
        return {
            "required": {
                "image": ("IMAGE",),
                "model": ([one.name for one in ug.list_models()],),
                "fidelity": ("FLOAT", fidelity),
                "faces": ("BOOLEAN", {"default": True}),
            }
        }

    def restore(
        self, image: Tensor, model: str, fidelity: float, faces: bool
    ) -> tuple[Tensor, Tensor]:
        """x_hat and x_reg."""
        restored = restorer(model, fidelity, faces)(image.movedim(-1, 1))
        return restored.image.movedim(1, -1), restored.regression.movedim(1, -1)


@functools.lru_cache(maxsize=2)
def restorer(model: str, fidelity: float, faces: bool) -> ug.Restorer:
    """Kept, so that a graph that runs again does not load the model again."""
    return ug.Restorer(model, fidelity=fidelity, faces="auto" if faces else "off")


NODE_CLASS_MAPPINGS = {"UGPNetRestore": Restore}
NODE_DISPLAY_NAME_MAPPINGS = {"UGPNetRestore": "Restore photograph (UGPNet)"}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "Restore"]
