"""What is reproduced: a prior, restoration modules for each task and backbone, a synthesis module
for all of them, a fusion module for each, generative baselines, and the studies on them.

Everything is a call of ``ugpnet``; nothing is trained or measured here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CONFIGS = Path(__file__).parents[1] / "configs"
RECIPE = CONFIGS / "results.yaml"
SEED = 0
SIDE = 128

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
# The paper's second group of rows: others' ideas, with our encoder, prior and losses.
BASELINES: Mapping[str, str] = {
    "generator only": "generator-only",
    "features modulate the prior": "feature-modulated",
}
PRIOR = {
    "iterations": 2000,
    "batch_size": 8,
    "r1_weight": 1.0,
    "path_length_weight": 0.0,
    "augmentation_images": 100_000,
    "ema": 0.998,
    "frechet_every": 1000,
}
# What a task changes in the recipe. After its 2,400 iterations, UGPNet with NAFNet (24.4 dB in
# x_reg) was not sure to beat the blurred images (23.9 dB).
CHANGES: Mapping[str, Mapping[str, object]] = {"deblur": {"restoration.iterations": 3600}}
# Images of all tasks in turn; the baselines, one for each task, have the recipe's 700 iterations.
SYNTHESIS_ITERATIONS = 2000
# S.5 asks what pretraining saves, so that its trainings are shorter.
SHORT = {"restoration.iterations": 600, "synthesis.iterations": 450, "fusion.iterations": 225}
COMPONENT_VARIANTS = ("no-merging", "image-fusion", "full")
ADAPTER_VARIANTS = ("full", "skip")
# Those of the first group have different restorations, which the second group's take over.
INITIALISATION_VARIANTS = (("neither", "regression-only"), ("prior-only", "both"))
# The model of the studies of one model.
STUDIED = ("denoise", NAFNET)


@dataclass(frozen=True)
class Place:
    """Where things are: photographs (with folders train and val), photographs of other things,
    the perceptual network, and the folder of all runs; and the precision that suits the machine."""

    data: Path
    natural: Path | None
    perceptual: Path
    runs: Path
    precision: str = "float32"

    def model(self, task: str, backbone: str) -> Path:
        """The model file of a training."""
        name = run_name(task, backbone)
        return self.runs / name / f"{name}.safetensors"

    @property
    def prior(self) -> Path:
        """The prior file."""
        return self.runs / "prior" / f"{RECIPE.stem}-prior.safetensors"

    @property
    def synthesis(self) -> Path:
        """The synthesis module of all models."""
        return self.runs / "synthesis" / "synthesis.safetensors"

    @property
    def choosing(self) -> Path:
        """The photographs that choose the best iteration of a stage (:mod:`.split`)."""
        return self.runs / "photographs" / "choosing"

    @property
    def measured(self) -> Path:
        """The photographs that are measured on, which nothing else sees (:mod:`.split`)."""
        return self.runs / "photographs" / "measured"

    def settings(self) -> list[str]:
        """What every training is told of its surroundings."""
        return [
            f"data.train=[{self.data / 'train'}]",
            f"data.validation=[{self.choosing}]",
            f"perceptual.weights={self.perceptual}",
            f"precision={self.precision}",
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
    restoration modules; the synthesis module on what these make, and the baselines; the fusion
    modules."""
    pairs = [(task, backbone) for task, both in TASKS.items() for backbone in both]
    # Trained without the synthesis module's file, which does not exist yet. Once it does, the later
    # stages belong to it, and a training without it would refuse them.
    restorations = [
        _model(place, *pair, "restoration")
        for pair in pairs
        if not (place.runs / run_name(*pair) / "restoration.safetensors").exists()
    ]
    first, *others = (place.runs / run_name(*pair) / "restoration.safetensors" for pair in pairs)
    shared = [
        _train(
            place,
            "synthesis",
            stage,
            "name=shared",
            f"restoration.weights={first}",
            "restoration.iterations=0",
            f"synthesis.weights={place.prior}",
            f"synthesis.iterations={SYNTHESIS_ITERATIONS}",
            f"synthesis.restorations=[{', '.join(map(str, others))}]",
        )
        for stage in ("restoration", "synthesis")
    ]
    baselines = [_baseline(place, task, idea) for task in TASKS for idea in BASELINES.values()]
    return [
        [_train(place, "prior", "prior", f"prior={in_yaml(PRIOR)}"), *restorations],
        [shared[0]],
        [shared[1], *baselines],
        [_model(place, task, backbone, "all") for task, backbone in pairs],
    ]


def _baseline(place: Place, task: str, idea: str) -> Step:
    name = run_name(task, idea)
    return _train(
        place,
        name,
        "all",
        f"name={name}",
        *_for_task(task),
        f"model.baseline={idea}",
        f"synthesis.weights={place.prior}",
    )


def _model(place: Place, task: str, backbone: str, stage: str) -> Step:
    name = run_name(task, backbone)
    changes = [f"name={name}", *_for_task(task)]
    if backbone in BACKBONES:
        changes.append(f"model.backbone={in_yaml(BACKBONES[backbone])}")
    if stage == "all":
        changes += _synthesised(place)
    return _train(place, name, stage, *changes)


def _for_task(task: str) -> list[str]:
    changes = CHANGES.get(task, {})
    return [
        f"model.task={in_yaml({'name': task})}",
        *(f"{key}={value}" for key, value in changes.items()),
    ]


def _synthesised(place: Place) -> list[str]:
    """What makes a training take the synthesis module as it is."""
    return [f"synthesis.weights={place.synthesis}", "synthesis.iterations=0"]


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
        methods += _parts(place, task, "{}", "regression", backbones)
        for title, idea in BASELINES.items():
            (row,) = _parts(place, task, title, "synthesis", [idea])
            methods.append({**row, "class": "generative"})
        methods += _parts(place, task, "synthesis on {}", "synthesis", backbones)
        methods += _parts(place, task, "UGPNet with {}", "ugpnet", backbones)
    return {
        "name": "Table 1",
        "output": str(place.runs / "compare"),
        "data": {"photographs": [str(place.measured)], "resolution": SIDE, "seed": SEED},
        "tasks": list(TASKS),
        "perceptual_weights": str(place.perceptual),
        "methods": methods,
        "figures": {"count": 4, "inset": "auto"},
    }


def _parts(
    place: Place, task: str, title: str, part: str, backbones: Sequence[str]
) -> list[dict[str, Any]]:
    """A row for each backbone: so much of its model."""
    return [
        {
            "name": title.format(backbone),
            "model": str(place.model(task, backbone)),
            "part": part,
            "tasks": [task],
        }
        for backbone in backbones
    ]


def comparing(place: Place) -> Step:
    """Measures everything of Table 1; :func:`comparison` must have been written."""
    return Step("compare", ["compare", str(place.runs / "compare.yaml")])


def ablations(place: Place) -> list[list[Step]]:
    """Table 3, why its order is what it is, and S.5: trainings in groups that can run side by side,
    then the measuring."""
    reuse = [str(place.runs / run_name("deblur", backbone)) for backbone in (NAFNET, HINET)]
    again = [f"reuse=[{', '.join(reuse)}]", *_for_task("deblur"), *_synthesised(place)]
    components = _ablate(place, "components", *again)
    adapters = _ablate(place, "adapters", *again)
    pretrained = place.runs / "components" / NAFNET / "no-merging" / "restoration.safetensors"
    initialisation = _ablate(
        place,
        "initialisation",
        f"synthesis.weights={place.prior}",
        f"restoration.weights={pretrained}",
        *(f"{key}={value}" for key, value in SHORT.items()),
    )
    groups = [
        [
            *(
                _variant("components", components, f"{backbone}/{variant}")
                for variant in COMPONENT_VARIANTS
                for backbone in (NAFNET, HINET)
            ),
            *(_variant("adapters", adapters, variant) for variant in ADAPTER_VARIANTS),
        ]
    ]
    for variants in INITIALISATION_VARIANTS:
        groups.append([_variant("initialisation", initialisation, name) for name in variants])
    measuring = {"components": components, "adapters": adapters, "initialisation": initialisation}
    groups.append([Step(name, words) for name, words in measuring.items()])
    return groups


def _ablate(place: Place, name: str, *changes: str) -> list[str]:
    return [
        "ablate",
        str(CONFIGS / f"ablate-{name}.yaml"),
        f"base={RECIPE}",
        f"output={place.runs / name}",
        f"measuring.data=[{place.measured}]",
        *place.settings(),
        *changes,
    ]


def _variant(name: str, words: Sequence[str], variant: str) -> Step:
    return Step(f"{name} {variant}", [*words, f"--variant={variant}"])


def studies(place: Place) -> list[Step]:
    """Fig. 7, where there are photographs of other things, and the perception-distortion curve."""
    photographs: dict[str, object] = {"fidelity": [str(place.measured)]}
    if place.natural is not None:
        photographs["out-of-domain"] = {
            "portraits": [str(place.measured)],
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
