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


class Options(BaseModel):
    """Base for the options of a backbone, prior or task: unknown names are errors."""

    # Built when it is first used: listing plugins does not check any options.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A published configuration of a backbone, with a name of its own (``nafnet-sidd-width64``).

    ``options`` are those that differ from the defaults. The other fields replace those of the
    entry, where they are not None.
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

    ``factory`` ("package.module:callable") is called with the validated options as keyword
    arguments and returns an ``nn.Module`` that fulfils :class:`ugpnet_core.protocols.Backbone`.
    ``kind``, ``feature_channels``, ``scale``, ``size_multiple``, ``fixed_size`` and
    ``parameters`` are those of the default options (None where these leave them open); the
    network itself says what is true for others.

    ``bfloat16``, ``channels_last``, ``compiles`` and ``exports_onnx`` are capabilities, which
    ``ugpnet check-backbone`` holds to the truth, a declared no as well as a declared yes. None
    says nothing.

    ``signatures`` tells its checkpoints: keys of its state dict that no other architecture has,
    each with what such a file is called ("NAFNet"). ``reader`` ("package.module:callable") makes
    the options of the tensors of such a file, in whole or as far as they say them. A backbone
    without signatures may have a reader, too, which is asked about what no other tells and returns
    None for what it does not know. ``layers_reader`` makes options and a state dict of a list of
    layers without names (dictionaries of tensors, in the order in which they run), as ncnn has
    them, or None where they are of another network. ``published`` makes options and task of those
    of the restoration module of a UGPNet that was published with this backbone.

    An entry of a preset is made by :meth:`with_preset`, which alone sets ``preset_of`` and
    ``preset_options``.
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
    paper: str = ""
    licence: str = ""
    preset_of: str | None = None
    preset_options: Mapping[str, Any] = field(default_factory=dict)

    def with_preset(self, preset: Preset) -> BackboneEntry:
        """This backbone with the options of one of its presets as the defaults."""
        given = {each.name: getattr(preset, each.name) for each in dataclasses.fields(preset)}
        options = given.pop("options")
        changes = {name: value for name, value in given.items() if value is not None}
        return dataclasses.replace(
            self, **changes, presets=(), preset_of=self.name, preset_options=options
        )


@dataclass(frozen=True, kw_only=True)
class PriorEntry:
    """A generator G and, for training, its discriminator D.

    ``factory`` gives an ``nn.Module`` that fulfils :class:`ugpnet_core.protocols.Prior`;
    ``discriminator`` is called with the same options and gives a module that maps images
    (N, 3, r, r) in [0, 1] to logits (N, 1).

    ``signatures`` tells its checkpoints, as a backbone's do.
    ``reader`` ("package.module:callable") knows the layouts of published checkpoints: it takes a
    list of :class:`ugpnet_core.checkpoints.file.Checkpoint` and returns
    :class:`ugpnet_core.model_files.prior_weights.PriorWeights`, or None where one of them is not
    for this prior. It raises :class:`ugpnet_core.errors.WeightsError` for a network that it
    recognises and cannot read.

    ``grow`` ("package.module:callable") takes such weights and returns them for a network of twice
    the resolution: its options, and the state dicts without the layers that begin anew. The first
    layers of a discriminator can be kept as they are where it has ``layers``, a list of its modules
    in the order in which they run (``prior.weights`` and ``prior.freeze_d`` of a training).

    ``file`` are weights of its own, in one of the forms of :class:`ModelEntry`: a prior file or a
    checkpoint that the reader knows, which :func:`ugpnet_core.create_prior` loads where no others
    are given. ``licence`` is then that of the weights, too.
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
    licence: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A trained UGPNet: a model file.

    ``file`` is "package.module:relative/path.safetensors" for one inside the distribution,
    "hub:owner/name/path@revision" for one on the Hugging Face Hub, or an absolute path; ``sha256``
    is checked before use. ``size`` in bytes is what is said before a download.

    ``domain`` is what the prior knows: "faces" for squares aligned as FFHQ's are (eyes and mouth
    give the crop), which are then found in photographs; "" for anything, which is restored in
    tiles. None leaves it to the file.

    ``name`` is what ``-m`` takes and ``description`` its line in listings. ``task``, ``backbone``
    and ``prior`` are the names of what its configuration has, ``resolution`` is the side of the
    images that it makes, in pixels, and ``parameters`` counts its numbers: they say again what the
    file says, so that listings need not open it, and ``ugpnet check-model`` compares them.
    ``licence`` is that of the weights.
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

    ``factory`` is called with the validated options as keyword arguments and returns an object
    that fulfils :class:`ugpnet_core.protocols.Task`. ``scale`` is that object's; None where the
    options decide.

    ``moves_colours`` says that the degradation changes the mean colour of neighbourhoods (noise
    that is clipped, faded film), so that its restoration has to change it back; where it does not,
    the colours of the input are kept. ``repeatable`` says that the settings are all there is to
    know: a result, degraded again, can be compared with the input but for its noise.
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
