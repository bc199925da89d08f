"""Pictures of some photographs with all methods side by side, written while these are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from ugpnet_core.errors import ConfigError
from ugpnet_core.evaluation.measure import Keep
from ugpnet_core.evaluation.photographs import Sample, TestSet
from ugpnet_core.image import write_image
from ugpnet_core.reports.crops import comparison_figure
from ugpnet_core.reports.figure_settings import FiguresConfig


def figures_of(test_set: TestSet, config: FiguresConfig, folder: Path) -> Keep:
    """What writes FOLDER/NAME.png for the photographs that the settings choose.

    The photograph itself stands last, as in Figs. 4 to 6 of the paper.

    Raises:
        ConfigError: the settings name photographs, and none of them is in the set.
    """
    wanted = set(_chosen([test_set.name_of(file) for file in test_set.files], config))

    def write(sample: Sample, images: Mapping[str, Tensor]) -> None:
        if sample.name in wanted:
            ordered = {name: image for name, image in images.items() if name != "clean"}
            ordered["clean"] = images["clean"]
            figure = comparison_figure(ordered, inset=config.inset)
            write_image(folder / _file_name(sample.name), figure)

    return write


def _chosen(names: Sequence[str], config: FiguresConfig) -> Sequence[str]:
    if config.names is not None:
        found = [name for name in config.names if name in names]
        if not found:
            raise ConfigError(
                f"None of figures.names is among the photographs; they are called {names[0]}, ..."
            )
        return found
    count = min(config.count, len(names))
    return [names[index * len(names) // count] for index in range(count)]


def _file_name(name: str) -> str:
    """A file's path below its folder as one name: a/b.jpg and a_b.png stay apart."""
    return name.replace("_", "__").replace("/", "_") + ".png"
