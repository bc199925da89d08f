"""Settings of models, tasks and trainings, as pydantic models that refuse unknown keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema


class Strict(BaseModel):
    """A section of a configuration: a misspelt key is an error, and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Positive = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]


class ComponentConfig(Strict):
    """A plugin's entry by name, with options for its factory."""

    name: str
    options: dict[str, Any] = {}


class TaskConfig(Strict):
    """A task by name, with options that differ from its defaults; a list is a composition of
    steps (``ugpnet show composition``)."""

    name: str
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _composition(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return {"name": "composition", "options": {"steps": list(value)}}
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Either form, for editors."""
        step = {"anyOf": [{"type": "string"}, {"type": "object"}]}
        return {"anyOf": [handler(core_schema), {"type": "array", "items": step}]}


class ModelConfig(Strict):
    """Everything that is needed to build a UGPNet without weights. Defaults are the paper's."""

    backbone: ComponentConfig = ComponentConfig(name="nafnet")
    prior: ComponentConfig = ComponentConfig(name="stylegan2")
    task: TaskConfig = TaskConfig(name="denoise")
    adapter: Literal["merging", "skip", "plain"] = Field(
        default="merging",
        description="What residual backbones get: R_se and R_mg; the same with x added to what "
        "they make (what is clean passes as it is); or nothing (Table 3 a), so that "
        "x_reg = x + R(x) and f_reg = R'(x).",
    )
    merging_channels: Positive = Field(
        default=64, description="Width of the merging network R_mg, and so of f_reg (residual)."
    )
    encoder_channels: list[Positive] | None = Field(
        default=None,
        description="Widths of the encoder's blocks, one per halving and a last one; by default "
        "derived from the prior by the paper's rule (16, 32, ..., base channels).",
    )
    encoder_norm: Literal["batch", "group", "none"] = Field(
        default="batch", description="Normalisation in the encoder; batch is the paper's."
    )
    map2style_channels: Positive | None = Field(
        default=None, description="Width of map2style; by default the prior's style dimension."
    )
    fusion_channels: Positive | None = Field(
        default=None,
        description="Width of the fusion network; by default that of f_reg, as in the paper.",
    )
    fusion_blocks: Positive = Field(default=8, description="Number of residual blocks in R_fusion.")
    fusion_inputs: Literal["features", "images"] = Field(
        default="features",
        description="What the fusion module joins: f_reg and f_syn, or x_reg and x_syn (Table 3b).",
    )
    baseline: Literal["", "generator-only", "feature-modulated"] = Field(
        default="",
        description="A generative baseline instead of a UGPNet, trained in the synthesis stage "
        "alone: encoder and prior (GPEN's idea), or a prior that is modulated by the features of "
        "the regression network (GFP-GAN's).",
    )
    domain: Literal["", "faces"] = Field(
        default="",
        description="What the prior knows: faces aligned as FFHQ's are, or anything; how "
        "photographs are restored depends on it, and no weights do.",
    )
    fusion_output: Literal["image", "correction"] = Field(
        default="image",
        description="What the fusion module makes: x_hat as in the paper, or what to add to x_reg.",
    )


class PairedFolders(Strict):
    """Images that come degraded: two folders with files of the same names, or of names that a
    pattern tells."""

    clean: Path
    degraded: Path = Field(
        description="Folder of degraded images, each smaller than its partner by the task's scale."
    )
    pattern: str = Field(
        default="{stem}",
        description="How degraded images are called: {stem}x4 for 0001x4.png of 0001.png; {stem}_* "
        "for several degraded versions of each; {name} is the whole name.",
    )

    @model_validator(mode="after")
    def _names_the_clean_image(self) -> PairedFolders:
        if "{stem}" not in self.pattern and "{name}" not in self.pattern:
            raise ValueError("a pattern has {stem} where the name of the clean image stands")
        return self


Source = Path | PairedFolders


class CropSource(Strict):
    """Photographs of any size and content, out of which random crops are learned from."""

    path: Path = Field(description="Folder of photographs, read recursively.")
    share: float = Field(
        default=1.0,
        gt=0,
        allow_inf_nan=False,
        description="How often it is drawn, against the other sources.",
    )
    scales: list[float] = Field(
        default=[1.0],
        min_length=1,
        description="Sizes that each photograph is there in, drawn alike; 1 is as it is.",
    )
    turn: bool = Field(default=False, description="Whether crops are turned by quarter turns, too.")

    @model_validator(mode="after")
    def _a_folder_that_shrinks(self) -> CropSource:
        if self.path.suffix == ".tar":
            raise ValueError(f"crops are cut from folders, and {self.path} is a shard; unpack it")
        if not all(0 < scale <= 1 for scale in self.scales):
            raise ValueError(
                "give scales above 0 and up to 1, as enlarged photographs would teach blur"
            )
        return self


class DataConfig(Strict):
    """Which photographs are learned from, and at which size."""

    train: list[Source] = Field(
        min_length=1,
        description="Folders of photographs, read recursively; WebDataset shards, for instance "
        "shards/train-{000000..000127}.tar; pairs of folders {clean: DIR, degraded: DIR}.",
    )
    validation: list[Source] = Field(
        min_length=1, description="The same for the fixed validation set."
    )
    resolution: Positive = Field(
        default=512, description="Side that images are cropped square and resized to."
    )
    validation_count: Positive = Field(default=64, description="How many validation images to use.")
    flip: bool = Field(default=True, description="Whether half of the images are mirrored.")
    crop: Positive | None = Field(
        default=None,
        description="Side of the random crops that the restoration stage is trained on (speed).",
    )
    crops: list[CropSource] = Field(
        default=[],
        description="What the restoration stage is trained on crops of, instead of on `train`: the "
        "regression network knows no domain, so what it learns from may be anything.",
    )
    cache: bool = Field(
        default=True,
        description="Whether decoded images are kept in memory (uint8), but for those in shards.",
    )
    workers: int = Field(
        default=0, ge=0, description="Loader processes (0: a thread) of each process that trains."
    )

    @model_validator(mode="after")
    def _crops_need_a_size(self) -> DataConfig:
        if self.crops and self.crop is None:
            raise ValueError("crops are cut to a size; set data.crop to their side in pixels")
        return self


class PerceptualConfig(Strict):
    """Where the perceptual networks come from.

    ``vgg`` is the paper's choice (LPIPS-VGG, VGG19 relu3_4 for the contextual loss). With
    ``squeeze`` the SqueezeNet trunk in ``weights`` serves both, which the log and the model file
    say. ``alex`` is for evaluation only: it has no contextual loss.
    """

    network: Literal["vgg", "squeeze", "alex"] = "vgg"
    weights: Path | None = Field(
        default=None,
        description="Weights of vgg, a checkpoint in torchvision's layout (a folder with vgg16.* "
        "and vgg19.*), or of squeeze, SqueezeNet 1.1 features in safetensors.",
    )
    resize: Positive | None = Field(
        default=256, description="Side that images are resized to for LPIPS (none: as they are)."
    )
    resize_filter: Literal["antialiased", "bicubic"] = Field(
        default="antialiased",
        description="How they are resized: bicubic takes single pixels, as the published training "
        "does; the value at 512 pixels is then about 1.6 times as large.",
    )


class StageConfig(Strict):
    """What every stage has."""

    iterations: Positive
    batch_size: Positive = Field(
        default=8,
        description="Images per batch and process; an update sees batch_size * accumulate * "
        "processes, which is 8 in the paper.",
    )
    accumulate: Positive = Field(
        default=1,
        description="Batches per update, which is then that of one large batch but for batch "
        "normalisation (in the encoder E), whose statistics are those of each batch.",
    )
    learning_rate: float = Field(gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: Weight = 0.0
    schedule: Literal["constant", "cosine", "step"] = "constant"
    warmup: int = Field(default=0, ge=0, description="Iterations of linear warm-up.")
    decay_at: int | None = Field(
        default=None, description="Iteration from which the step schedule takes 0.1 of the rate."
    )
    ema: float | None = Field(default=None, gt=0, lt=1, description="Decay of averaged weights.")
    clip_gradient: float | None = Field(default=None, gt=0)
    minutes: float | None = Field(
        default=None,
        gt=0,
        description="Minutes after which the stage ends, whatever its iterations: for a machine "
        "whose speed is not known before; a cosine schedule then follows the time.",
    )
    stop_after: Positive | None = Field(
        default=None,
        description="Validations in a row (validate_every) without a better PSNR after which the "
        "stage ends.",
    )

    @model_validator(mode="after")
    def _step_needs_a_place(self) -> StageConfig:
        if self.schedule == "step" and self.decay_at is None:
            raise ValueError("schedule 'step' needs decay_at")
        return self


Iterations = Annotated[
    int,
    Field(
        ge=0, description="Updates; 0 keeps the weights, which are those of the whole module then."
    ),
]


class StartedStageConfig(StageConfig):
    """What the stages have that may start from weights."""

    iterations: Iterations
    weights: Path | None = None
    key: str | None = Field(
        default=None,
        description="The network of the file of weights, where that holds several: the name of its "
        "dictionary, or of its module in a larger state dict.",
    )

    @model_validator(mode="after")
    def _what_belongs_together(self) -> StartedStageConfig:
        if self.iterations == 0 and self.weights is None:
            raise ValueError("iterations 0 keeps weights: give weights, too")
        if self.key is not None and self.weights is None:
            raise ValueError("key names a network of a file of weights: give weights, too")
        return self


class PriorStageConfig(StartedStageConfig):
    """Training the prior itself as a StyleGAN2 (only where asked for)."""

    weights: Path | None = Field(
        default=None,
        description="A prior file, or a published checkpoint that the prior reads, to train on: at "
        "its resolution or, with new layers on top, at the next powers of two.",
    )
    freeze_d: int = Field(
        default=0,
        ge=0,
        description="Number of the first layers of D, those next to the pixels, that are kept as "
        "they are in the file of weights.",
    )

    iterations: Positive = 100_000
    learning_rate: float = Field(default=2e-3, gt=0)
    discriminator_learning_rate: float = Field(default=2e-3, gt=0)
    betas: tuple[float, float] = (0.0, 0.99)
    ema: float | None = Field(default=0.999, gt=0, lt=1)
    r1_weight: Weight = 10.0
    r1_every: Positive = 16
    path_length_weight: Weight = Field(
        default=2.0, description="Weight of the path length penalty (0: none)."
    )
    path_length_every: Positive = 4
    mixing: float = Field(
        default=0.9, ge=0, le=1, description="How often styles are mixed, from 0 to 1."
    )
    augmentation: Literal["adaptive", "fixed", "none"] = Field(
        default="adaptive",
        description="How what D sees is changed, against overfitting to small data sets.",
    )
    augmentation_probability: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Probability of each transformation (adaptive: at the beginning).",
    )
    augmentation_target: float = Field(
        default=0.6, ge=-1, le=1, description="Mean sign of D(real) that is aimed at (adaptive)."
    )
    augmentation_images: Positive = Field(
        default=500_000, description="Images in which the probability can rise from 0 to 1."
    )
    frechet_every: Positive | None = Field(
        default=None,
        description="Iterations between measurements of the Fréchet distance to the training "
        "photographs (by the features of section perceptual).",
    )
    frechet_images: Annotated[int, Field(ge=2)] = Field(
        default=1_000, description="Images of each of the two sets that the distance lies between."
    )
    sample_truncation: float = Field(
        default=0.7, ge=0, le=1, description="Truncation of the sample pictures."
    )

    @model_validator(mode="after")
    def _kept_layers_need_weights(self) -> PriorStageConfig:
        if self.freeze_d and self.weights is None:
            raise ValueError("freeze_d keeps layers as they are in prior.weights; give these, too")
        return self

    @model_validator(mode="after")
    def _has_no_psnr(self) -> PriorStageConfig:
        if self.stop_after is not None:
            raise ValueError("stop_after goes by PSNR, which generated images do not have")
        return self


class RestorationStageConfig(StartedStageConfig):
    """Supplement S.4: Adam, 1e-4, 20,000 iterations, the backbone's own loss."""

    iterations: Iterations = 20_000
    learning_rate: float = Field(default=1e-4, gt=0)
    loss: Literal["backbone", "l1", "psnr", "charbonnier"] = "backbone"
    psnr_floor: float = Field(
        default=80.0,
        gt=0,
        le=300,
        description="PSNR in dB that the psnr loss asks for at most; lower ones keep images that "
        "come nearly clean from outweighing the others.",
    )
    weights: Path | None = Field(
        default=None,
        description="A model file or the restoration.safetensors of another training (the whole "
        "module where it fits, else the backbone inside), or a checkpoint of the backbone.",
    )


class SynthesisStageConfig(StartedStageConfig):
    """Supplement S.4: L1 + 10 LPIPS + 0.3 adversarial, 40,000 iterations."""

    iterations: Iterations = 40_000
    learning_rate: float = Field(default=1e-4, gt=0)
    discriminator_learning_rate: float = Field(default=2.5e-5, gt=0)
    pixel_weight: Weight = 1.0
    perceptual_weight: Weight = 10.0
    adversarial_weight: Weight = 0.3
    adversarial_from: int = Field(default=0, ge=0, description="First iteration with L_adv.")
    r1_weight: Weight = 10.0
    r1_every: Positive = 16
    augment: bool = Field(
        default=True, description="Whether each pair is scaled, shifted or rotated together."
    )
    augment_as: Literal["toolkit", "published"] = Field(
        default="toolkit",
        description="How: toolkit is each pair its own way, a little, mirrored at the borders; "
        "published is all pairs of a batch alike, shifts of up to 1/4 of the side, black outside.",
    )
    discriminator_first: bool = Field(
        default=False, description="Whether D learns before E and G in each step, not after them."
    )
    weights: Path | None = Field(
        default=None,
        description="A model file or the synthesis.safetensors of another training (encoder and "
        "prior, and the discriminator where there is one), or a file of the prior alone.",
    )
    restorations: list[Path] = Field(
        default=[],
        description="Model files or restoration.safetensors of other trainings, to learn from what "
        "their restoration modules make of their tasks, too, so that their models can share this "
        "synthesis module.",
    )


class FusionStageConfig(StartedStageConfig):
    """Supplement S.4: L1 + 10 LPIPS + 0.05 contextual, 40,000 iterations, 1e-3 then 1e-4."""

    iterations: Iterations = 40_000
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["constant", "cosine", "step"] = "step"
    decay_at: int | None = 8_000
    pixel_weight: Weight = 1.0
    perceptual_weight: Weight = 10.0
    contextual_weight: Weight = 0.05
    contextual_patch: Positive = Field(default=128, description="Side of the patches, in pixels.")
    contextual_bandwidth: float = Field(default=0.5, gt=0)
    contextual_weighted: bool = Field(
        default=False,
        description="Whether each feature is weighted as in the published training code.",
    )
    weights: Path | None = Field(
        default=None,
        description="A model file or the fusion.safetensors of another training.",
    )


class TrainConfig(Strict):
    """A whole training: the file that ``ugpnet train`` reads."""

    name: str = Field(description="Name of the run and of the model it makes.")
    output: Path = Field(description="Folder for checkpoints, samples, scalars and the model.")
    model: ModelConfig = ModelConfig()
    data: DataConfig
    perceptual: PerceptualConfig = PerceptualConfig()
    prior: PriorStageConfig | None = None
    restoration: RestorationStageConfig = RestorationStageConfig()
    synthesis: SynthesisStageConfig = SynthesisStageConfig()
    fusion: FusionStageConfig = FusionStageConfig()
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = True
    compile: bool | Literal["blocks"] = Field(
        default=False,
        description="Whether torch.compile takes the network that a stage makes (not D: its R1 "
        "penalty needs second derivatives, which compiled networks do not have); blocks is only "
        "what repeats in it, which takes a fraction of the time to compile.",
    )
    threads: Positive | None = Field(default=None, description="CPU threads (default: all).")
    log_every: Positive = 50
    validate_every: Positive = 1_000
    checkpoint_every: Positive = 500
    sample_every: Positive = 1_000
    trackers: list[Literal["tensorboard", "wandb"]] = ["tensorboard"]
    licence: str = Field(default="", description="Licence of the trained weights.")
    model_dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    shared_synthesis: str | None = Field(
        default=None,
        description="A model, by name or file, whose synthesis module this one takes as it is "
        "(synthesis.weights, with synthesis.iterations 0) and leaves out of its own file.",
    )
    keep_state: bool = Field(
        default=True,
        description="Whether the optimisers of finished stages are kept, with which --extend goes "
        "on; they take about five times what the weights do.",
    )
