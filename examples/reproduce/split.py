"""The photographs of val in two parts: some choose the best weights, the others are measured on."""

from __future__ import annotations

import shutil

from examples.reproduce import plan
from ugpnet_core.image import list_images

CHOOSING = 64


def split_photographs(place: plan.Place) -> None:
    """Copy the photographs of ``val``: ``CHOOSING`` of them, spread evenly, into ``choosing``, the
    others into ``measured``, under names that tell photographs of several folders apart.

    Raises:
        ValueError: there are not more than so many.
    """
    folder = place.data / "val"
    files = list_images([folder], recursive=True)
    if len(files) <= CHOOSING:
        raise ValueError(
            f"{folder} holds {len(files)} photographs, of which {CHOOSING} choose the weights; "
            "give more, so that others can be measured on."
        )
    chosen = {index * len(files) // CHOOSING for index in range(CHOOSING)}
    for index, file in enumerate(files):
        target = place.choosing if index in chosen else place.measured
        target.mkdir(parents=True, exist_ok=True)
        copy = target / "-".join(file.relative_to(folder).parts)
        if not copy.exists():
            shutil.copyfile(file, copy)
