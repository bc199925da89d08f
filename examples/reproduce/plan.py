"""What is reproduced: a prior, a training for each task and backbone, and the studies on them.

Everything is a call of ``ugpnet``; nothing is trained or measured here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CONFIGS = Path(__file__).parents[1] / "configs"
RECIPE = CONFIGS / "small.yaml"
SEED = 0
SIDE = 64

NAFNET, HINET, RRDBNET = "NAFNet", "HINet", "RRDBNet"
# NAFNet is the recipe's own.
BACKBONES: Mapping[str, object] = {
    HINET: {"name": "hinet", "options": {"wf": 16, "depth": 3}},
    RRDBNET: {
        "name": "rrdbnet",
        "options": {"scale": 8, "num_feat": 32, "num_block": 6, "num_grow_ch": 16},
    },
}
# Table 1: each task with the backbone that the paper uses for it, and one more.
TASKS: Mapping[str, tuple[str, str]] = {
    "denoise": (NAFNET, HINET),
    "deblur": (NAFNET, HINET),
    "sr8": (RRDBNET, NAFNET),
}
CLASSICAL: Mapping[str, Mapping[str, str]] = {
    "denoise": {"name": "non-local means", "classical": "non-local means"},
    "deblur": {"name": "Wiener, kernel known", "classical": "wiener"},
}
PRIOR = {
    "iterations": 3000,
    "batch_size": 8,
    "r1_weight": 1.0,
    "path_length_weight": 0.0,
    "augmentation_images": 100_000,
    "ema": 0.998,
    "frechet_every": 1000,
}
# S.5 asks what pretraining saves, so that its trainings are shorter.
SHORT = {"restoration.iterations": 800, "synthesis.iterations": 600, "fusion.iterations": 500}
COMPONENT_VARIANTS = ("no-merging", "image-fusion", "full")
# Those of the first group have different restorations, which the second group's take over.
INITIALISATION_VARIANTS = (("neither", "regression-only"), ("prior-only", "both"))
# The model of the studies of one model.
STUDIED = ("denoise", NAFNET)


@dataclass(frozen=True)
class Place:
    """Where things are: photographs (with folders train and val), photographs of other things,
    the perceptual network, and the folder of all runs."""

    data: Path
    natural: Path | None
    perceptual: Path
    runs: Path

    def model(self, task: str, backbone: str) -> Path:
        """The model file of a training."""
        name = run_name(task, backbone)
        return self.runs / name / f"{name}.safetensors"

    @property
    def prior(self) -> Path:
        """The prior file."""
        return self.runs / "prior" / "small-prior.safetensors"

    @property
    def validation(self) -> Path:
        """The photographs that are measured on."""
        return self.data / "val"

    def settings(self) -> list[str]:
        """What every training is told of its surroundings."""
        return [
            f"data.train=[{self.data / 'train'}]",
            f"data.validation=[{self.validation}]",
            f"perceptual.weights={self.perceptual}",
            f"seed={SEED}",
        ]


@dataclass(frozen=True)
class Step:
    """One call of ``ugpnet``: its name, for the log, and the words after ``ugpnet``."""

    name: str
    words: Sequence[str]


def run_name(task: str, backbone: str) -> str:
    """Name of the training, its folder and its model file, without suffix."""
    return f"{task}-{backbone.lower()}"


def trainings(place: Place) -> list[list[Step]]:
    """The trainings of Table 1, in groups whose members can run side by side: the prior and all
    restoration modules; then all that starts from the prior."""
    prior = _train(place, "prior", "prior", f"prior={in_yaml(PRIOR)}")
    pairs = [(task, backbone) for task, both in TASKS.items() for backbone in both]
    # Trained without the prior's file, which does not exist yet. Once it does, the later stages
    # belong to it, and a training without it would refuse them.
    restorations = [
        _model(place, *pair, "restoration")
        for pair in pairs
        if not (place.runs / run_name(*pair) / "restoration.safetensors").exists()
    ]
    return [
        [prior, *restorations],
        [_model(place, task, backbone, "all") for task, backbone in pairs],
    ]


def _model(place: Place, task: str, backbone: str, stage: str) -> Step:
    name = run_name(task, backbone)
    changes = [f"name={name}", f"model.task={in_yaml({'name': task})}"]
    if backbone in BACKBONES:
        changes.append(f"model.backbone={in_yaml(BACKBONES[backbone])}")
    if stage == "all":
        changes.append(f"synthesis.weights={place.prior}")
    return _train(place, name, stage, *changes)


def _train(place: Place, folder: str, stage: str, *changes: str) -> Step:
    words = ["train", str(RECIPE), *place.settings(), f"output={place.runs / folder}", *changes]
    only = ["--stage", stage] if stage != "all" else []
    return Step(f"{folder} ({stage})", [*words, *only, "--resume"])


def comparison(place: Place) -> dict[str, Any]:
    """The settings of ``ugpnet compare`` for Tables 1 and 2 and Figs. 4 to 6."""
    methods: list[dict[str, Any]] = []
    for task, backbones in TASKS.items():
        if task in CLASSICAL:
            methods.append({**CLASSICAL[task], "tasks": [task]})
        for name, part in (
            ("{}", "regression"),
            ("synthesis on {}", "synthesis"),
            ("UGPNet with {}", "ugpnet"),
        ):
            methods += [
                {
                    "name": name.format(backbone),
                    "model": str(place.model(task, backbone)),
                    "part": part,
                    "tasks": [task],
                }
                for backbone in backbones
            ]
    return {
        "name": "Table 1",
        "output": str(place.runs / "compare"),
        "data": {"photographs": [str(place.validation)], "resolution": SIDE, "seed": SEED},
        "tasks": list(TASKS),
        "perceptual_weights": str(place.perceptual),
        "methods": methods,
        "figures": {"count": 4, "inset": "auto"},
    }


def comparing(place: Place) -> Step:
    """Measures everything of Table 1; :func:`comparison` must have been written."""
    return Step("compare", ["compare", str(place.runs / "compare.yaml")])


def ablations(place: Place) -> list[list[Step]]:
    """Table 3 and S.5: trainings in groups that can run side by side, then the measuring."""
    reuse = [str(place.runs / run_name("deblur", backbone)) for backbone in (NAFNET, HINET)]
    shared = [*place.settings(), f"synthesis.weights={place.prior}"]
    components = [
        "ablate",
        str(CONFIGS / "ablate-components.yaml"),
        f"output={place.runs / 'components'}",
        f"reuse=[{', '.join(reuse)}]",
        *shared,
    ]
    pretrained = place.runs / "components" / NAFNET / "no-merging" / "restoration.safetensors"
    initialisation = [
        "ablate",
        str(CONFIGS / "ablate-initialisation.yaml"),
        f"output={place.runs / 'initialisation'}",
        *shared,
        f"restoration.weights={pretrained}",
        *(f"{key}={value}" for key, value in SHORT.items()),
    ]
    groups = [
        [
            Step(
                f"components {backbone}/{variant}", [*components, f"--variant={backbone}/{variant}"]
            )
            for variant in COMPONENT_VARIANTS
            for backbone in (NAFNET, HINET)
        ]
    ]
    for variants in INITIALISATION_VARIANTS:
        groups.append(
            [
                Step(f"initialisation {variant}", [*initialisation, f"--variant={variant}"])
                for variant in variants
            ]
        )
    groups.append([Step("components", components), Step("initialisation", initialisation)])
    return groups


def studies(place: Place) -> list[Step]:
    """Fig. 7, where there are photographs of other things, and the perception-distortion curve."""
    photographs: dict[str, object] = {"fidelity": [str(place.validation)]}
    if place.natural is not None:
        photographs["out-of-domain"] = {
            "portraits": [str(place.validation)],
            "other photographs": [str(place.natural)],
        }
    return [_study(place, name, where) for name, where in photographs.items()]


def _study(place: Place, name: str, photographs: object) -> Step:
    """An example configuration on the studied model: its methods, with that model's file."""
    example = CONFIGS / f"{name}.yaml"
    model = str(place.model(*STUDIED))
    methods = yaml.safe_load(example.read_text(encoding="utf-8"))["methods"]
    changes = {
        "data.photographs": photographs,
        "data.resolution": SIDE,
        "data.seed": SEED,
        "tasks": [STUDIED[0]],
        "methods": [method | {"model": model} for method in methods],
        "perceptual_weights": str(place.perceptual),
        "figures.count": 3,
        "output": str(place.runs / name),
    }
    words = [f"{key}={in_yaml(value)}" for key, value in changes.items()]
    return Step(name, ["compare", str(example), *words])


def in_yaml(value: object) -> str:
    """A value as an override holds it, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")
