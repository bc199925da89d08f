"""What is checked: how to make a fresh network, what is declared of it, and how it is run."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ugpnet_core.errors import ConfigError, PluginError, UnknownNameError
from ugpnet_core.plugins import BackboneEntry, PriorEntry, find, resolve, validate_options
from ugpnet_core.plugins.wellformed import fault_of
from ugpnet_core.testing.kinds import Backbones, Kind, Priors, Probe, Size
from ugpnet_core.testing.report import failing
from ugpnet_core.testing.surroundings import settings_kept

KINDS = {"backbone": Backbones(), "prior": Priors()}
_ENTRIES: dict[str, Any] = {"backbone": BackboneEntry, "prior": PriorEntry}
_CAPABILITIES = ("bfloat16", "channels_last", "compiles", "exports_onnx")


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What an entry says about a network, field by field as in
    :class:`ugpnet_core.plugins.BackboneEntry` or ``PriorEntry``; None says nothing."""

    kind: Literal["direct", "residual"] | None = None
    feature_channels: int | None = None
    scale: int | None = None
    size_multiple: int | None = None
    fixed_size: int | None = None
    resolution: int | None = None
    parameters: int | None = None
    bfloat16: bool | None = True
    channels_last: bool | None = True
    compiles: bool | None = None
    exports_onnx: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A backbone or a prior under check.

    Args:
        name: what messages call it.
        make: gives a new network, of the same architecture and options at each call.
        word: ``backbone`` or ``prior``.
        declared: what its entry says about a network of these options.
        declares_size: whether ``declared.fixed_size`` counts (None is a claim, too).
        loss: what a backbone is trained with.
        size: height and width of most probe images; default: a small one that fits its
            ``size_multiple`` and ``fixed_size``.
        make_discriminator: gives what a prior is trained against, where there is one.
        small: a small form of the same network, which most checks take where there is one, and
            the options that make it so.
        fault: a sentence that says what is wrong with the plugin or its entry, if anything.
        has_file: whether its entry names weights, and the subject has the default options.
    """

    name: str
    make: Callable[[], nn.Module]
    word: Literal["backbone", "prior"] = "backbone"
    declared: Declared = Declared()
    declares_size: bool = False
    loss: Literal["l1", "psnr", "charbonnier"] = "l1"
    size: Size | None = None
    make_discriminator: Callable[[], nn.Module] | None = None
    small: tuple[Subject, str] | None = None
    fault: str | None = None
    has_file: bool = False

    @property
    def kind(self) -> Kind:
        """How its networks are run."""
        return KINDS[self.word]

    def fresh(self, seed: int = 0, everywhere: bool = False) -> Any:
        """A new network in eval mode, made and moved away from its initial values with a seed.

        Networks often start with gates or last layers at zero (NAFNet's beta and gamma), which
        would hide whole blocks from every check. So parameters that are constant get noise added:
        0.1, or less for wide layers. With ``everywhere`` all parameters do.

        Raises:
            CheckFailed: it cannot be made.
        """
        torch.manual_seed(seed)
        network = self.raw()
        for parameter in network.parameters():
            if parameter.is_floating_point() and parameter.numel():
                spread = _spread(parameter)
                if everywhere or not spread:
                    fan_in = parameter[0].numel() if parameter.dim() > 1 else 1
                    width = max(min(0.1, fan_in**-0.5), spread)
                    with torch.no_grad():
                        parameter.add_(width * torch.randn_like(parameter))
        return network.eval()

    def raw(self) -> Any:
        """A new network as its factory makes it.

        Raises:
            CheckFailed: it cannot be made.
        """
        advice = "make the factory work with these options, or install what it imports"
        with failing("The network cannot be made", advice), settings_kept():
            return self.make()

    def discriminator(self) -> Any:
        """A new discriminator in training mode, moved away from its initial values.

        Raises:
            CheckFailed: it cannot be made.
        """
        assert self.make_discriminator is not None
        subject = Subject(name=f"the discriminator of {self.name}", make=self.make_discriminator)
        return subject.fresh().train()

    def probe(self, network: Any, count: int = 1, seed: int = 0) -> Probe:
        """So many random images or codes for a network, the same ones for a seed."""
        return self.kind.probe(network, count, seed, self.size)

    def outputs(self, network: Any, probe: Probe) -> Probe:
        """All that a network makes of copies of a probe, without gradients.

        Raises:
            CheckFailed: the network raises, or gives no tensors.
        """
        with torch.no_grad():
            return self.kind.run(network, *probe)

    def as_call(self, network: Any) -> nn.Module:
        """A network as a module that maps the tensors of a probe to a tuple of all it makes."""
        return _Whole(self.kind, network)


class _Whole(nn.Module):
    """A network as one call, as compilers and exporters want it."""

    def __init__(self, kind: Kind, network: Any) -> None:
        super().__init__()
        self.kind, self.network = kind, network
        self.training = network.training  # exporters look at the outermost module

    def forward(self, *probe: Tensor) -> Probe:
        """Map the tensors of a probe to all that the network makes of them."""
        return self.kind.plain(self.network, *probe)


def _spread(parameter: Tensor) -> float:
    values = parameter.detach().flatten()
    # Most differ in the first two already, and large networks are made many times.
    if values[0] == values[-1] and (values == values[0]).all():
        return 0.0
    return float(values.std(unbiased=False))


def subject_of(
    what: Any, word: Literal["backbone", "prior"] = "backbone", /, **options: Any
) -> Subject:
    """Make a subject of the name of an installed backbone, preset or prior, of an entry, of a
    factory (a class or function that gives a network), of a network, or of a subject, which stays
    as it is.

    What an entry declares of its default options is not held against a network with others.

    Raises:
        UnknownNameError: none of that name is installed. (One whose plugin is broken gives a
            subject that fails.)
        ConfigError: an option is unknown or impossible, or given where none can be.
    """
    kind = _ENTRIES[word]
    if isinstance(what, str):
        try:
            what = find(kind, what).entry
        except UnknownNameError:
            raise
        except PluginError as error:
            return Subject(name=what, make=nn.Module, word=word, fault=str(error))
    if isinstance(what, kind):
        if fault := fault_of(what):
            fault = f"The entry has {fault}."
            return Subject(name=what.name, make=nn.Module, word=word, fault=fault)
        return _subject_of_entry(what, word, options)
    if isinstance(what, (nn.Module, Subject)) and options:
        raise ConfigError("A finished network takes no options; give its class or its name.")
    if isinstance(what, Subject):
        return what
    name = getattr(what, "__name__", type(what).__name__)
    if isinstance(what, nn.Module):  # which stays as it was given
        return Subject(name=name, make=functools.partial(copy.deepcopy, what), word=word)
    if callable(what):
        return Subject(name=name, make=functools.partial(what, **options), word=word)
    raise ConfigError(
        f"A {type(what).__name__} cannot be checked; give the name of a {word}, an "
        "entry, a factory or a network."
    )


def _subject_of_entry(entry: Any, word: Any, options: dict[str, Any]) -> Subject:
    given = validate_options(entry, options)
    is_default = not options or given == _defaults(entry)
    names = [field.name for field in fields(Declared)] if is_default else _CAPABILITIES
    stated = {name: getattr(entry, name) for name in names if hasattr(entry, name)}
    discriminator = getattr(entry, "discriminator", None)
    small = None
    if not options and entry.small:
        text = ", ".join(f"{name}={value}" for name, value in entry.small.items())
        small = _subject_of_entry(entry, word, dict(entry.small)), text
    return Subject(
        name=entry.name,
        make=functools.partial(_make, entry.factory, given),
        word=word,
        declared=Declared(**stated),
        declares_size=is_default and word == "backbone",
        loss=getattr(entry, "loss", "l1"),
        make_discriminator=discriminator and functools.partial(_make, discriminator, given),
        small=small,
        has_file=getattr(entry, "file", None) is not None and not options,
    )


def _defaults(entry: Any) -> dict[str, Any] | None:
    """The options of an entry where none are given; None where some have to be."""
    try:
        return dict(validate_options(entry, {}))
    except ConfigError:
        return None


def _make(factory: str, options: dict[str, Any]) -> nn.Module:
    network: nn.Module = resolve(factory)(**options)
    return network
