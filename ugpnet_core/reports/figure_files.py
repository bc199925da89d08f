"""Pictures of some photographs with all methods side by side, taken while these are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from ugpnet_core.errors import ConfigError
from ugpnet_core.evaluation.measure import Keep
from ugpnet_core.evaluation.photographs import Sample, TestSet
from ugpnet_core.image import write_image
from ugpnet_core.reports.crops import comparison_figure, comparison_sheet
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
            figure = comparison_figure(_clean_last(images), inset=config.inset)
            write_image(folder / _file_name(sample.name), figure)

    return write


class Sheet:
    """The photographs of several sets that the settings choose, one a row, as in Fig. 7."""

    def __init__(self, config: FiguresConfig) -> None:
        self.config = config
        self._rows: dict[str, Mapping[str, Tensor]] = {}

    def of(self, title: str, test_set: TestSet) -> Keep:
        """What takes the images of a set.

        Raises:
            ConfigError: as :func:`figures_of`.
        """
        names = [test_set.name_of(file) for file in test_set.files]
        wanted = set(_chosen(names, self.config))

        def take(sample: Sample, images: Mapping[str, Tensor]) -> None:
            if sample.name in wanted:
                self._rows[f"{title}: {sample.name}"] = _clean_last(images)

        return take

    def write(self, path: Path) -> None:
        """Write the sheet."""
        rows = list(self._rows.values())
        insets = [self.config.inset] * len(rows)
        write_image(path, comparison_sheet(rows, titles=list(self._rows), insets=insets))


def _clean_last(images: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return dict(sorted(images.items(), key=lambda item: item[0] == "clean"))


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
