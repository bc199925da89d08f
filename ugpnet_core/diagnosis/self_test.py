"""A restoration from end to end: is a picture made, is it the same twice, and how long does it
take? (Values that are no numbers are an error of the Restorer itself.)"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ugpnet_core.checkpoints.downloads import find_weights
from ugpnet_core.diagnosis.finding import Finding
from ugpnet_core.errors import UGPNetError
from ugpnet_core.plugins import registry
from ugpnet_core.plugins.presence import missing_parts

if TYPE_CHECKING:
    from torch import Tensor

    from ugpnet_core.faces.face import Face

SIDES = 96, 128
ROUNDING = 1 / 255


def self_test() -> Iterator[Finding]:
    """Restore a generated picture twice with the smallest model that is here."""
    name = smallest_model()
    if name is None:
        yield Finding(
            "self-test",
            "restore",
            "note",
            "there is no model to try",
            "install one, for instance pip install ugpnet-priors-portraits",
        )
        return

    from ugpnet_core.inference.restorer import Restorer

    begun = time.perf_counter()
    # A face is claimed, so that every part of the model runs.
    restorer = Restorer(name, finder=_face)
    loaded = time.perf_counter()
    picture = generated()
    first = restorer(picture).image
    once = time.perf_counter()
    apart = float((first - restorer(picture).image).abs().max())
    where = restorer.device.type
    words = (
        f"{name} on {where}: loaded in {loaded - begun:.1f} s, {SIDES[1]}x{SIDES[0]} pixels in "
        f"{once - loaded:.1f} s"
    )
    # The order in which GPUs add up is not always the same.
    if apart > (0 if where == "cpu" else ROUNDING):
        words += f", and the second time it differs by {apart:.2g}"
        yield Finding("self-test", "restore", "broken", words, _INSTALL)
    else:
        yield Finding("self-test", "restore", "ok", f"{words}, the same twice")


def smallest_model() -> str | None:
    """The installed model with the fewest parameters whose weights and parts are here."""
    models = registry().models
    for name in sorted(models, key=lambda one: models[one].entry.parameters or 2**63):
        if missing_parts(models[name]):
            continue
        try:
            find_weights(models[name], download=False)
        except UGPNetError:
            continue
        return name
    return None


def generated() -> Tensor:
    """A picture of slopes and edges with a little noise, RGB (3, 96, 128), always the same."""
    import torch

    rng = torch.Generator().manual_seed(0)
    rows, columns = (torch.linspace(0, 1, side) for side in SIDES)
    down, across = rows[:, None].expand(SIDES), columns.expand(SIDES)
    slopes = torch.stack([down, across, (down + across > 1).float()])
    noise = 0.05 * torch.randn(slopes.shape, generator=rng)
    return (0.2 + 0.6 * slopes + noise).clamp(0, 1)


def _face(image: Tensor) -> Sequence[Face]:
    from ugpnet_core.faces.face import Face

    height, width = image.shape[-2:]
    return [Face(width / 2, height / 2, side=height / 2, angle=0)]


_INSTALL = "install torch again, and tell us with what ugpnet doctor --json prints."
