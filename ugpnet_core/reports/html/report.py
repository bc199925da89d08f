"""A report as a whole: pictures while methods are measured, pages when the figures are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any

from ugpnet_core.errors import UGPNetError
from ugpnet_core.evaluation.results import Comparison, Evaluation
from ugpnet_core.reports.domains import conclusion
from ugpnet_core.reports.html.evaluation_page import evaluation_page, methods_shown
from ugpnet_core.reports.html.folder import ReportFolder, check_apart
from ugpnet_core.reports.html.names import UniqueNames
from ugpnet_core.reports.html.page_data import script
from ugpnet_core.reports.html.pages import render
from ugpnet_core.reports.html.photograph_page import Neighbours, photograph_page
from ugpnet_core.reports.html.pictures import PhotographFiles, Pictures
from ugpnet_core.reports.table import domains_table

ASSETS = "assets"
STYLES = ("page.css", "tables.css", "chart.css", "photograph.css")
LIST_SCRIPTS = ("order.js", "list.js")
PHOTOGRAPH_SCRIPTS = ("order.js", "view.js", "slider.js", "photograph.js")
DATA = "photographs.js"


class HtmlReport:
    """Writes a report: pictures first, one photograph after the other, then all pages.

    The folder appears when :meth:`finish` has returned, whole; until then an older report there
    stays as it is::

        with HtmlReport(Path("report"), "portraits-denoise") as report:
            evaluation = measure_methods(..., keep=report.pictures("denoise"))
            report.finish(evaluation)

    Args:
        folder: its place: nothing, an empty folder or an older report.
        title: what was evaluated, for people.
        inputs: folders of photographs, in which no report may lie: its pictures would be taken
            for photographs the next time.

    Raises:
        ConfigError: (on entering) in the place is something else, or it lies in an input.
        UGPNetError: (on entering) nothing can be written there.
    """

    def __init__(self, folder: Path, title: str, inputs: Iterable[Path] = ()) -> None:
        self.title = title
        self._inputs = tuple(inputs)
        self._folder = ReportFolder(folder)
        self._names = UniqueNames(ASSETS)
        self._pictures: dict[str, Pictures] = {}

    def __enter__(self) -> HtmlReport:
        check_apart(self._folder.place, self._inputs)
        self._folder.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._folder.discard()

    def pictures(self, title: str) -> Pictures:
        """What takes the images of an evaluation while it runs (``keep``).

        Args:
            title: of the evaluation.
        """
        if title not in self._pictures:
            folder = self._folder.partial / self._names.of(title, "evaluation")
            self._pictures[title] = Pictures(folder)
        return self._pictures[title]

    def finish(self, results: Evaluation | Comparison) -> None:
        """Write all pages, and move the report to its place.

        Args:
            results: of which all images were given to :meth:`pictures`.

        Raises:
            ConfigError: in the place is now something that is not a report.
            UGPNetError: the disk refuses.
        """
        evaluations = (results,) if isinstance(results, Evaluation) else results.evaluations
        try:
            self._write_assets()
            for evaluation in evaluations:
                self._write_evaluation(evaluation, alone=len(evaluations) == 1)
            if isinstance(results, Comparison) and len(evaluations) > 1:
                self._write("index.html", "overview.html", self._overview(results), "")
            self._folder.complete()
        except OSError as error:
            raise UGPNetError(
                f"{self._folder.place} cannot be written ({error.strerror or error}); make room "
                "or name another folder."
            ) from error

    def _write_assets(self) -> None:
        target = self._folder.partial / ASSETS
        target.mkdir()
        for name in (*STYLES, *dict.fromkeys((*LIST_SCRIPTS, *PHOTOGRAPH_SCRIPTS))):
            (target / name).write_text(_asset(name), encoding="utf-8", newline="\n")

    def _write_evaluation(self, evaluation: Evaluation, *, alone: bool) -> None:
        name = self._names.of(evaluation.title, "evaluation")
        photographs = self.pictures(evaluation.title).photographs
        folder = self._folder.partial / name
        (folder / DATA).write_text(script(evaluation, photographs), encoding="utf-8")
        base, page = (f"{name}/", "index.html") if alone else ("", f"{name}/index.html")
        above, below = (self.title, evaluation.title) if alone else (evaluation.title, self.title)
        self._write(
            page,
            "evaluation.html",
            {
                **evaluation_page(evaluation, photographs),
                "page_title": self.title if alone else f"{evaluation.title} – {self.title}",
                "above": above,
                "below": below,
                "back": "" if alone else "../index.html",
                "base": base,
            },
            "" if alone else "../",
            [base + DATA],
            LIST_SCRIPTS,
        )
        self._write_photographs(evaluation, photographs, name, "../" if alone else "")

    def _write_photographs(
        self,
        evaluation: Evaluation,
        photographs: Mapping[str, PhotographFiles],
        name: str,
        up: str,
    ) -> None:
        pages = [photographs[image.name].page for image in evaluation.images]
        for index, image in enumerate(evaluation.images):
            neighbours = Neighbours(
                pages[index - 1] if index else None,
                pages[index + 1] if index + 1 < len(pages) else None,
                f"{up}index.html",
            )
            content = {
                **photograph_page(evaluation, image, photographs[image.name], neighbours),
                "page_title": f"{image.name} – {self.title}",
            }
            path = f"{name}/{pages[index]}"
            self._write(path, "photograph.html", content, "../", [DATA], PHOTOGRAPH_SCRIPTS)

    def _write(
        self,
        path: str,
        template: str,
        content: Mapping[str, Any],
        root: str,
        data: Sequence[str] = (),
        scripts: Sequence[str] = (),
    ) -> None:
        """Write a page.

        Args:
            content: what the template shows.
            root: from the page to the report's folder.
            data, scripts: files to load, data relative to the page.
        """
        page = render(
            template,
            styles=[f"{root}{ASSETS}/{style}" for style in STYLES],
            scripts=[*data, *(f"{root}{ASSETS}/{script}" for script in scripts)],
            **content,
        )
        (self._folder.partial / path).write_text(page, encoding="utf-8", newline="\n")

    def _overview(self, comparison: Comparison) -> Mapping[str, Any]:
        """What overview.html shows, by the names that it has there."""
        return {
            "page_title": self.title,
            "title": self.title,
            "evaluations": [
                {
                    "title": evaluation.title,
                    "methods": methods_shown(evaluation),
                    "link": self._names.of(evaluation.title, "evaluation") + "/index.html",
                    "count": len(evaluation.images),
                }
                for evaluation in comparison.evaluations
            ],
            "domains": [
                {
                    "task": study.task,
                    "table": domains_table(study),
                    "conclusion": conclusion(study),
                }
                for study in comparison.domains
            ],
            "settings": comparison.settings,
        }


def _asset(name: str) -> str:
    return (files(__package__) / ASSETS / name).read_text(encoding="utf-8")
