"""What of a model goes into one exported file, and what the file says of itself."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from torch import Tensor, nn

from ugpnet_core.config import ModelConfig
from ugpnet_core.errors import WeightsError
from ugpnet_core.inference.whole import MULTIPLE
from ugpnet_core.networks.ugpnet import UGPNet

Part = Literal["whole", "restoration"]
FORMAT = "ugpnet-export-1"
INPUT = "x"
OUTPUTS: Mapping[Part, tuple[str, ...]] = {
    "whole": ("x_hat", "x_reg", "x_syn"),
    "restoration": ("x_reg",),
}


@dataclass(frozen=True)
class Facts:
    """What an exported file says of itself.

    Attributes:
        model: its name, or that of its file.
        part: ``"whole"``, x (N, 3, side, side) to x_hat, x_reg, x_syn; or ``"restoration"``,
            x (N, 3, H, W) to x_reg.
        resolution: of the whole model's outputs, pixels of a side.
        scale: how many times larger outputs are than x.
        side: that x must have, height and width; 0 where any multiple of ``multiple`` will do.
        multiple: what the sides of x are multiples of. Mirror an image at its right and bottom
            up to that, and cut outputs.
        domain: "faces", or "" for anything.
        config: of the model, as JSON.
    """

    model: str
    part: Part
    resolution: int
    scale: int
    side: int
    multiple: int
    domain: str
    config: str

    def as_metadata(self) -> dict[str, str]:
        """Words by words, as ONNX files can hold them; with what is the same for every file."""
        facts = {name: str(value) for name, value in asdict(self).items()}
        return facts | {
            "format": FORMAT,
            "layout": "NCHW, RGB",
            "range": "0 to 1; outputs may leave it a little",
        }

    def model_config(self) -> ModelConfig:
        """The model's configuration, with the domain that its entry declares."""
        return ModelConfig.model_validate_json(self.config)


def facts_of(model: UGPNet, part: Part, name: str, domain: str) -> Facts:
    """What a file with this part of the model will say."""
    backbone = model.restoration.backbone
    fixed = getattr(backbone, "fixed_size", None) or 0
    side = model.resolution // model.scale if part == "whole" else fixed
    config = model.config.model_copy(update={"domain": domain})
    return Facts(
        model=name,
        part=part,
        resolution=model.resolution,
        scale=model.scale,
        side=side,
        multiple=side or math.lcm(MULTIPLE, backbone.size_multiple),
        domain=domain,
        config=config.model_dump_json(),
    )


def facts_from(metadata: Mapping[str, str], source: str) -> Facts:
    """Read what :meth:`Facts.as_metadata` made.

    Raises:
        WeightsError: this is no file of ours.
    """
    try:
        if metadata["format"] != FORMAT:
            raise ValueError(metadata["format"])
        part: Part = "whole" if metadata["part"] == "whole" else "restoration"
        numbers = {name: int(metadata[name]) for name in _NUMBERS}
        facts = Facts(
            model=metadata["model"],
            part=part,
            domain=metadata["domain"],
            config=metadata["config"],
            **numbers,
        )
        json.loads(facts.config)
    except (KeyError, ValueError) as error:
        raise WeightsError(
            f"{source} was not made by this version's ugpnet export; export the model again."
        ) from error
    return facts


_NUMBERS = ("resolution", "scale", "side", "multiple")


class Whole(nn.Module):
    """A UGPNet whose outputs are a plain tuple, as exporters want them."""

    def __init__(self, model: UGPNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map x (N, 3, side, side) to x_hat, x_reg and x_syn."""
        image, regression, synthesis = self.model(x)
        return image, regression, synthesis


class Regression(nn.Module):
    """The restoration module, x to x_reg alone."""

    def __init__(self, model: UGPNet) -> None:
        super().__init__()
        self.restoration = model.restoration

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map x (N, 3, H, W) to x_reg."""
        return (self.restoration(x).image,)


def part_of(model: UGPNet, part: Part) -> nn.Module:
    """The network of a part, in evaluation mode."""
    return (Whole(model) if part == "whole" else Regression(model)).eval()
