"""The paper's tables and figures in small, from nothing but photographs.

    python -m examples.reproduce --data FOLDER --perceptual SQUEEZENET --natural FOLDER

(``make reproduce``) trains a prior and a model for each task and backbone, measures them, runs the
ablations and studies, and writes docs/results.md. Stop it at any moment and start it again: what is
finished is not done again. Every training uses one thread, so that the numbers do not depend on
--jobs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from examples.reproduce import plan
from examples.reproduce.document import write_document
from examples.reproduce.split import split_photographs
from examples.reproduce.steps import run_one, run_side_by_side
from ugpnet_core.devices import choose_device, has_bfloat16

ROOT = Path(__file__).parents[2]
PARTS = ("trainings", "compare", "ablations", "studies", "document")


def main() -> int:
    """Run the parts that are asked for, in their order."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of photographs: train, val"
    )
    parser.add_argument(
        "--perceptual", type=Path, required=True, help="SqueezeNet 1.1, torchvision's layout"
    )
    parser.add_argument("--natural", type=Path, help="photographs of other things, for Fig. 7")
    parser.add_argument("--runs", type=Path, default=Path("runs/reproduce"), help="all output")
    parser.add_argument(
        "--document", type=Path, default=ROOT / "docs" / "results.md", help="what is written"
    )
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    given = parser.parse_args()
    precision = "bfloat16" if has_bfloat16(choose_device("auto")) else "float32"
    place = plan.Place(given.data, given.natural, given.perceptual, given.runs, precision)
    for folder in (place.data / "train", place.data / "val", *filter(None, [place.natural])):
        if not folder.is_dir():
            parser.error(f"there is no folder {folder}")
    if not place.perceptual.is_file():
        parser.error(f"there is no file {place.perceptual}")
    place.runs.mkdir(parents=True, exist_ok=True)
    try:
        split_photographs(place)
    except ValueError as error:
        parser.error(str(error))
    logs = place.runs / "logs"
    if "trainings" in given.parts:
        for group in plan.trainings(place):
            run_side_by_side(group, given.jobs, logs)
    if "compare" in given.parts:
        settings = plan.in_yaml(plan.comparison(place))
        (place.runs / "compare.yaml").write_text(settings + "\n", encoding="utf-8")
        run_one(plan.comparing(place), logs)
    if "ablations" in given.parts:
        for group in plan.ablations(place):
            run_side_by_side(group, given.jobs, logs)
    if "studies" in given.parts:
        run_side_by_side(plan.studies(place), given.jobs, logs)
    if "document" in given.parts:
        write_document(place, given.document)
        print(f"Written: {given.document}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
