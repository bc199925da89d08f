"""What a plugin returns: entries, the hooks that return them, and the marker for hooks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import pluggy
from pydantic import BaseModel, ConfigDict

GROUP = "ugpnet"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a function of a plugin's module as one of the hooks of :class:`HookSpecs`."""


class Options(BaseModel):
    """Base for the options of a backbone, prior or task: unknown names are errors.

    Examples:
        >>> from ugpnet_core.plugins import Options
        >>> class MyOptions(Options):
        ...     width: int = 16
        >>> MyOptions(width=32).width
        32
    """

    # Built when it is first used: listing plugins does not check any options.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A published configuration of a backbone, with a name of its own (``nafnet-sidd-width64``).

    The optional fields replace those of the backbone's entry, where they are not None.

    Attributes:
        name: The name, which backbones and presets share.
        description: One line about what it is.
        options: The options that differ from the backbone's defaults.
        parameters: The number of the network's parameters.
        kind: The kind of these options, where it is another one.
        feature_channels: The channels of the feature map with these options.
        scale: How many times the network enlarges with these options.
        size_multiple: The number of pixels that height and width must be multiples of.
        fixed_size: The one side of images that the network takes with these options, in pixels.
    """

    name: str
    description: str
    options: Mapping[str, Any]
    parameters: int
    kind: Literal["direct", "residual"] | None = None
    feature_channels: int | None = None
    scale: int | None = None
    size_multiple: int | None = None
    fixed_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class BackboneEntry:
    """A regression network R that a plugin brings.

    Numbers that depend on the options are those of the default options; None leaves them open. The
    network itself says what is true for others.

    ``bfloat16``, ``channels_last``, ``compiles`` and ``exports_onnx`` are capabilities, which
    ``ugpnet check-backbone`` holds to the truth, a declared no as well as a declared yes. None
    says nothing.

    Attributes:
        name: The name that :func:`ugpnet_core.create_backbone` takes.
        description: One line about what it is.
        factory: What makes the network, as "package.module:callable": it is called with the
            validated options as keyword arguments and returns an ``nn.Module`` that fulfils
            :class:`ugpnet_core.protocols.Backbone`.
        kind: What the network predicts: "direct" is the clean image, "residual" what is added to
            the degraded one.
        feature_channels: The channels C of the feature map (N, C, H * scale, W * scale).
        options: The options of the factory, as a pydantic model.
        scale: How many times the network enlarges.
        size_multiple: The number of pixels that height and width must be multiples of.
        fixed_size: The one side of images that the network takes, in pixels.
        loss: The loss that the network is trained with, unless a configuration says otherwise.
        parameters: The number of parameters.
        presets: Published configurations, which have names of their own.
        bfloat16: Whether the network computes in bfloat16.
        channels_last: Whether the network gives the same for images in ``channels_last`` memory.
        compiles: Whether ``torch.compile`` takes the network.
        exports_onnx: Whether the network can be exported as ONNX.
        signatures: Keys of its state dict that no other architecture has, each with what such a
            file is called ("NAFNet"); checkpoints are told by them.
        reader: A function, as "package.module:callable", that makes the options of the tensors of
            such a checkpoint, in whole or as far as they say them. A backbone without signatures
            may have a reader, too, which is asked about what no other tells and returns None for
            what it does not know.
        layers_reader: A function, likewise, that makes options and a state dict of a list of layers
            without names (dictionaries of tensors, in the order in which they run), as ncnn has
            them, or None where they are of another network.
        published: A function, likewise, that makes options and task of those of the restoration
            module of a UGPNet that was published with this backbone.
        small: Options that make a small form of the network, of itself and of its presets, which
            most checks take.
        paper: The paper that the network is from.
        licence: The licence of the code.
        preset_of: The backbone that this is a preset of; only :meth:`with_preset` sets it.
        preset_options: The options of the preset; only :meth:`with_preset` sets them.

    Examples:
        >>> from ugpnet_core.plugins import BackboneEntry
        >>> entry = BackboneEntry(
        ...     name="mine",
        ...     description="What it is, in a line",
        ...     factory="my_package.network:MyNetwork",
        ...     kind="residual",
        ...     feature_channels=16,
        ... )
        >>> entry.scale, entry.size_multiple
        (1, 1)
    """

    name: str
    description: str
    factory: str
    kind: Literal["direct", "residual"]
    feature_channels: int | None
    options: type[BaseModel] = Options
    scale: int = 1
    size_multiple: int = 1
    fixed_size: int | None = None
    loss: Literal["l1", "psnr", "charbonnier"] = "l1"
    parameters: int | None = None
    presets: tuple[Preset, ...] = ()
    bfloat16: bool = True
    channels_last: bool = True
    compiles: bool | None = None
    exports_onnx: bool | None = None
    signatures: Mapping[str, str] = field(default_factory=dict)
    reader: str | None = None
    layers_reader: str | None = None
    published: str | None = None
    small: Mapping[str, Any] = field(default_factory=dict)
    paper: str = ""
    licence: str = ""
    preset_of: str | None = None
    preset_options: Mapping[str, Any] = field(default_factory=dict)

    def with_preset(self, preset: Preset) -> BackboneEntry:
        """This backbone with the options of one of its presets as the defaults.

        Args:
            preset: One of ``presets``.
        """
        given = {each.name: getattr(preset, each.name) for each in dataclasses.fields(preset)}
        options = given.pop("options")
        changes = {name: value for name, value in given.items() if value is not None}
        return dataclasses.replace(
            self, **changes, presets=(), preset_of=self.name, preset_options=options
        )


@dataclass(frozen=True, kw_only=True)
class PriorEntry:
    """A generator G and, for training, its discriminator D.

    Attributes:
        name: The name that :func:`ugpnet_core.create_prior` takes.
        description: One line about what it is.
        factory: What makes the generator, as "package.module:callable": it is called with the
            validated options as keyword arguments and returns an ``nn.Module`` that fulfils
            :class:`ugpnet_core.protocols.Prior`.
        discriminator: What makes the discriminator, likewise and with the same options: a module
            that maps images (N, 3, r, r) in [0, 1] to logits (N, 1).
        reader: A function, as "package.module:callable", that knows the layouts of published
            checkpoints. It takes a list of :class:`ugpnet_core.checkpoints.file.Checkpoint` and
            returns :class:`ugpnet_core.model_files.prior_weights.PriorWeights`, or None where one
            of them is not for this prior. It raises :class:`ugpnet_core.errors.WeightsError` for a
            network that it recognises and cannot read.
        grow: A function, likewise, that takes such weights and returns them for a network of twice
            the resolution: its options, and the state dicts without the layers that begin anew. The
            first layers of a discriminator can be kept as they are where it has ``layers``, a list
            of its modules in the order in which they run (``prior.weights`` and ``prior.freeze_d``
            of a training).
        options: The options of the factory, as a pydantic model.
        resolution: The side r of its images with the default options, in pixels.
        parameters: The number of the generator's parameters with the default options.
        file: Weights of its own, in one of the forms of :class:`ModelEntry`: a prior file or a
            checkpoint that the reader knows, which :func:`ugpnet_core.create_prior` loads where no
            others are given.
        sha256: The SHA-256 of the file, which is checked before use.
        size: The size of the file in bytes, which is said before a download.
        paper: The paper that the network is from.
        signatures: Keys of its state dict that tell its checkpoints, as a backbone's do.
        discriminator_signatures: The same of its discriminator, which stands beside restoring
            networks, too.
        small: Options that make a small form, which most checks take.
        licence: The licence of the code, and of the weights where there are some.
    """

    name: str
    description: str
    factory: str
    discriminator: str | None = None
    reader: str | None = None
    grow: str | None = None
    options: type[BaseModel] = Options
    resolution: int | None = None
    parameters: int | None = None
    file: str | None = None
    sha256: str | None = None
    size: int | None = None
    paper: str = ""
    signatures: Mapping[str, str] = field(default_factory=dict)
    discriminator_signatures: Mapping[str, str] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A trained UGPNet: a model file.

    Attributes:
        name: The name that :func:`ugpnet_core.load_model` takes.
        description: One line about what it is for.
        file: The model file: "package.module:relative/path.safetensors" is one inside the
            distribution, "hub:owner/name/path@revision" one on the Hugging Face Hub; or an absolute
            path.
        sha256: The SHA-256 of the file, which is checked before use.
        task: The task that it was trained for.
        resolution: The side of its prior's images, in pixels.
        backbone: The name of its backbone.
        prior: The name of its prior.
        parameters: The number of its parameters.
        size: The size of the file in bytes, which is said before a download.
        domain: What the prior knows: "faces" are squares aligned as FFHQ's are (eyes and mouth give
            the crop), which are then found in photographs; "" is anything, which is restored in
            tiles. None leaves it to the file.
        licence: The licence of the weights.
    """

    name: str
    description: str
    file: str
    sha256: str
    task: str
    resolution: int
    backbone: str = ""
    prior: str = ""
    parameters: int | None = None
    size: int | None = None
    domain: Literal["", "faces"] | None = None
    licence: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """A degradation with its settings.

    Attributes:
        name: The name that :func:`ugpnet_core.create_task` takes.
        description: One line about what it does.
        factory: What makes the task, as "package.module:callable": it is called with the validated
            options as keyword arguments and returns an object that fulfils
            :class:`ugpnet_core.protocols.Task`.
        options: The options of the factory, as a pydantic model.
        scale: How many times smaller the degraded image is; None where the options decide.
        moves_colours: Whether the degradation changes the mean colour of neighbourhoods (noise that
            is clipped, faded film), so that its restoration has to change it back; where it does
            not, the colours of the input are kept.
        repeatable: Whether the settings are all there is to know: a result, degraded again, can
            then be compared with the input but for its noise.
        paper: The paper that it is from.
    """

    name: str
    description: str
    factory: str
    options: type[BaseModel] = Options
    scale: int | None = 1
    moves_colours: bool = False
    repeatable: bool = False
    paper: str = ""


Entry = BackboneEntry | PriorEntry | ModelEntry | TaskEntry
E = TypeVar("E", BackboneEntry, PriorEntry, ModelEntry, TaskEntry)


class HookSpecs:
    """The four hooks. Each takes nothing and returns a list of entries, cheap and torch-free."""

    @hookspec
    def ugpnet_backbones(self) -> list[BackboneEntry]:
        """Return the backbones of this plugin."""
        raise NotImplementedError

    @hookspec
    def ugpnet_priors(self) -> list[PriorEntry]:
        """Return the priors of this plugin."""
        raise NotImplementedError

    @hookspec
    def ugpnet_models(self) -> list[ModelEntry]:
        """Return the trained models of this plugin."""
        raise NotImplementedError

    @hookspec
    def ugpnet_tasks(self) -> list[TaskEntry]:
        """Return the tasks (degradations) of this plugin."""
        raise NotImplementedError


HOOKS: Mapping[str, type[Entry]] = {
    "ugpnet_backbones": BackboneEntry,
    "ugpnet_priors": PriorEntry,
    "ugpnet_models": ModelEntry,
    "ugpnet_tasks": TaskEntry,
}
WORDS: Mapping[type[Entry], str] = {
    BackboneEntry: "backbone",
    PriorEntry: "prior",
    ModelEntry: "model",
    TaskEntry: "task",
}
