"""The settings of figures. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ugpnet_core.config import Positive, Strict


class FiguresConfig(Strict):
    """Pictures with the methods side by side, one for each of some photographs."""

    count: Positive = Field(default=4, description="how many, spread evenly over the files")
    names: list[str] | None = Field(
        default=None, description="these files, as per-image.csv names them, instead"
    )
    inset: Literal["auto"] | tuple[int, int, int] | None = Field(
        default="auto", description="x, y and side of the part that is enlarged below"
    )
