"""Does a restored photograph, degraded again, look like what came in?

Where a task says all of how x came from x_gt (noise, downsampling), the result is degraded so a few
times and averaged. Where part of it is drawn and not known (a shaken hand, compression), what the
degradation leaves alone is compared: the slow colours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ugpnet_core.factory import create_task_at
from ugpnet_core.image import resize
from ugpnet_core.inference.colours import slow
from ugpnet_core.inference.noise_level import noise_level
from ugpnet_core.plugins import TaskEntry, find
from ugpnet_core.seeding import rng_for

if TYPE_CHECKING:
    from ugpnet_core.inference.restorer import Restorer

REPETITIONS = 8
# Of the Gaussian over which means are compared, in pixels of the input.
SIGMA = 4.0
# What the heat map shows as white, and what counts as a disagreement.
WHITE = 32 / 255
VISIBLE = 4 / 255


@dataclass(frozen=True)
class Checked:
    """Where a result and its input disagree.

    Attributes:
        heat_map: RGB (3, H, W) of the input's size, from black (they agree) over red and yellow to
            white (by 32 of 255 levels or more).
        levels: the mean disagreement, of 255.
        visible: share of the image where it is 4 levels or more, beyond what noise explains.
        repeated: whether the task could be repeated; otherwise only slow colours were compared.
    """

    heat_map: Tensor
    levels: float
    visible: float
    repeated: bool

    def sentence(self) -> str:
        """Both figures in words."""
        what = "degraded again" if self.repeated else "its slow colours"
        return (
            f"checked: {what}, it differs from the input by {self.levels:.1f} of 255 levels on "
            f"average, and by 4 or more in {100 * self.visible:.1f} % of the image"
        )


def checked(restorer: Restorer, x: Tensor, restored: Tensor) -> Checked:
    """Compare x (3, H, W) with what was restored from it, (3, sH, sW), both in [0, 1]."""
    config = restorer.model.config
    repeated = find(TaskEntry, config.task.name).entry.repeatable
    if repeated:
        task = create_task_at(config.task, restorer.resolution)
        draws = [task(restored, rng_for(0, "check", one)) for one in range(REPETITIONS)]
        again = torch.stack(draws).mean(0)[:, : x.shape[-2], : x.shape[-1]]
    else:
        again = resize(restored, x.shape[-2:])
    difference = slow((x - again)[None], SIGMA).abs()
    # Means over a Gaussian still have a little of the noise: three of its standard deviations.
    noise = noise_level(x) * (1 + repeated / REPETITIONS) ** 0.5
    expected = 3 * noise / (2 * math.pi**0.5 * SIGMA)
    beyond = (difference - expected).clamp_min(0).amax(1, keepdim=True)
    whole = F.interpolate(beyond, size=x.shape[-2:], mode="bilinear", align_corners=False)[0]
    return Checked(
        heat_map=_heat(whole / WHITE),
        levels=255 * float(whole.mean()),
        visible=float((whole >= VISIBLE).float().mean()),
        repeated=repeated,
    )


def _heat(amount: Tensor) -> Tensor:
    """(1, H, W), 0 to 1 and beyond, as black, red, yellow, white."""
    return torch.cat([(3 * amount - channel).clamp(0, 1) for channel in range(3)])
