"""What is checked: how to make a fresh network, what is declared of it, and the images to probe."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ugpnet_core.errors import ConfigError, PluginError, UnknownNameError
from ugpnet_core.plugins import WORDS, BackboneEntry, find, resolve, validate_options
from ugpnet_core.plugins.wellformed import fault_of
from ugpnet_core.testing.probing import Wording
from ugpnet_core.testing.report import CheckFailed, in_words
from ugpnet_core.testing.surroundings import settings_kept

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What an entry says about a network, field by field as in
    :class:`ugpnet_core.plugins.BackboneEntry`; None says nothing."""

    kind: Literal["direct", "residual"] | None = None
    feature_channels: int | None = None
    scale: int | None = None
    size_multiple: int | None = None
    fixed_size: int | None = None
    parameters: int | None = None
    bfloat16: bool | None = True
    channels_last: bool | None = True
    compiles: bool | None = None
    exports_onnx: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A backbone under check.

    Args:
        name: what messages call it.
        make: gives a new network, of the same architecture and options at each call.
        declared: what its entry says about a network of these options.
        declares_size: whether ``declared.fixed_size`` counts (None is a claim, too).
        loss: what it is trained with.
        size: height and width of most probe images; default: a small one that fits its
            ``size_multiple`` and ``fixed_size``.
        fault: a sentence that says what is wrong with the plugin or its entry, if anything.
    """

    wording: ClassVar[Wording] = Wording("network", "result")

    name: str
    make: Callable[[], nn.Module]
    declared: Declared = Declared()
    declares_size: bool = False
    loss: Literal["l1", "psnr", "charbonnier"] = "l1"
    size: Size | None = None
    fault: str | None = None

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
                constant = _is_constant(parameter)
                if everywhere or constant:
                    spread = 0.0 if constant else float(parameter.detach().std(unbiased=False))
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
        try:
            with settings_kept():
                return self.make()
        except PluginError as error:
            raise CheckFailed(
                f"The network cannot be made: {str(error).rstrip('.')}; correct the name of the "
                "factory, or install what it imports."
            ) from error
        except (Exception, SystemExit) as error:
            raise CheckFailed(
                f"The network cannot be made: {in_words(error)}; make the factory work with "
                "these options."
            ) from error

    def probe_size(self, network: nn.Module) -> Size:
        """Height and width of most probe images: small, not square where that stays small."""
        if self.size is not None:
            return self.size
        fixed: int | None = getattr(network, "fixed_size", None)
        if fixed is not None:
            return fixed, fixed
        multiple: int = getattr(network, "size_multiple", 1)
        if multiple > 32:
            return multiple, multiple
        return -(-16 // multiple) * multiple, -(-24 // multiple) * multiple

    def images(self, network: nn.Module, count: int = 1, seed: int = 0) -> Tensor:
        """Images (count, 3, H, W) of the probe size."""
        return images(count, self.probe_size(network), seed)

    def probe(self, network: Any, count: int = 1, seed: int = 0) -> tuple[Tensor, ...]:
        """Images, as :class:`ugpnet_core.testing.probing.Probed` wants them."""
        return (self.images(network, count, seed),)

    def outputs(self, network: Any, probe: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Features and head of a probe, without gradients."""
        return outputs_of(network, *probe)

    def training_image(self, network: Any, probe: tuple[Tensor, ...]) -> Tensor:
        """What head makes of a probe, with gradients."""
        return training_outputs_of(network, *probe)[1]

    def as_call(self, network: Any) -> nn.Module:
        """Features and head as one call, without anything around them."""
        return _Call(network)


class _Call(nn.Module):
    """What a backbone does for an image."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.training = network.training  # exporters look at the outermost module

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (N, 3, H, W) to the feature map and to what head gives for it."""
        features = self.network.forward_features(x)
        return features, self.network.head(features)


def _is_constant(parameter: Tensor) -> bool:
    values = parameter.detach().flatten()
    # Most differ in the first two already, and large networks are made many times.
    return bool(values[0] == values[-1]) and bool((values == values[0]).all())


def images(count: int, size: Size, seed: int = 0) -> Tensor:
    """Random images (count, 3, H, W), RGB in [0.2, 0.8], the same ones for a seed."""
    generator = torch.Generator().manual_seed(seed)
    # A network may have changed the default data type.
    drawn = torch.rand(count, 3, *size, generator=generator, dtype=torch.float32)
    return 0.2 + 0.6 * drawn


def subject_of(what: Any, **options: Any) -> Subject:
    """Make a subject of the name of an installed backbone or preset, of an entry, of a factory
    (a class or function that gives a network), of a network, or of a subject, which stays as it is.

    What an entry declares of its default options is not held against a network with others.

    Raises:
        UnknownNameError: no such backbone is installed. (One whose plugin is broken gives a
            subject that fails.)
        ConfigError: an option is unknown or impossible, or given where none can be.
    """
    subject: Subject = subject_from(what, options, BackboneEntry, Subject, _subject_of_entry)
    return subject


def subject_from(
    what: Any,
    options: dict[str, Any],
    entry_type: type[Any],
    subject_type: type[Any],
    of_entry: Callable[[Any, dict[str, Any], bool], Any],
) -> Any:
    """Make a subject of a type, of a name, entry, factory or network, as ``subject_of`` does.

    Args:
        entry_type: the kind of entry that a name is looked up in.
        of_entry: makes it of an entry, of checked options, and of whether these are the defaults.
    """
    if isinstance(what, str):
        try:
            what = find(entry_type, what).entry
        except UnknownNameError:
            raise
        except PluginError as error:
            return subject_type(name=what, make=_refuse, fault=str(error))
    if isinstance(what, entry_type):
        fault = fault_of(what)
        if fault is not None:
            return subject_type(name=what.name, make=_refuse, fault=f"The entry has {fault}.")
        given = validate_options(what, options)
        return of_entry(what, given, not options or given == validate_options(what, {}))
    if isinstance(what, (nn.Module, subject_type)):
        if options:
            raise ConfigError("A finished network takes no options; give its class or its name.")
        if isinstance(what, subject_type):
            return what
        # The original stays as it was given.
        return subject_type(name=type(what).__name__, make=functools.partial(copy.deepcopy, what))
    if callable(what):
        name = getattr(what, "__name__", type(what).__name__)
        return subject_type(name=name, make=functools.partial(what, **options))
    raise ConfigError(
        f"A {type(what).__name__} cannot be checked; give the name of a {WORDS[entry_type]}, an "
        "entry, a factory or a network."
    )


def _subject_of_entry(entry: BackboneEntry, given: dict[str, Any], is_default: bool) -> Subject:
    names = [field.name for field in fields(Declared)]
    if not is_default:
        names = ["bfloat16", "channels_last", "compiles", "exports_onnx"]

    def make() -> nn.Module:
        network: nn.Module = resolve(entry.factory)(**given)
        return network

    return Subject(
        name=entry.name,
        make=make,
        declared=Declared(**{name: getattr(entry, name) for name in names}),
        declares_size=is_default,
        loss=entry.loss,
    )


def _refuse() -> nn.Module:
    raise PluginError("The entry is not usable.")


# --- running a network ----------------------------------------------------------------------------


def features_of(network: Any, x: Tensor) -> Tensor:
    """What ``forward_features`` gives for a copy of x.

    Raises:
        CheckFailed: it raises, or gives no tensor.
    """
    return _tensor(network, "forward_features", x)


def head_of(network: Any, f: Tensor) -> Tensor:
    """What ``head`` gives for a copy of f.

    Raises:
        CheckFailed: it raises, or gives no tensor.
    """
    return _tensor(network, "head", f)


def outputs_of(network: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Features and head of x, without gradients.

    Raises:
        CheckFailed: the network raises, or gives no tensor.
    """
    with torch.no_grad():
        features = features_of(network, x)
        return features, head_of(network, features)


def training_outputs_of(network: Any, x: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Features, head and intermediate images as training asks for them, with gradients.

    Raises:
        CheckFailed: the network raises, or gives something else.
    """
    if not hasattr(network, "forward_supervised"):
        features = features_of(network, x)
        return features, head_of(network, features), ()
    try:
        with settings_kept():
            features, intermediate = network.forward_supervised(x.clone())
        intermediate = tuple(intermediate)
    except Exception as error:
        raise CheckFailed(
            f"forward_supervised fails in training on {shown(x)}: {in_words(error)}; make it "
            "return the features and a tuple of images."
        ) from error
    if not all(isinstance(image, Tensor) for image in (features, *intermediate)):
        raise CheckFailed(
            "forward_supervised returns something other than tensors; make it return the features "
            "and a tuple of images."
        )
    return features, head_of(network, features), intermediate


def _tensor(network: Any, method: str, given: Tensor) -> Tensor:
    mode = " in training mode" if network.training else ""
    try:
        with settings_kept():
            result = getattr(network, method)(given.clone(memory_format=torch.preserve_format))
    except (Exception, SystemExit) as error:
        raise CheckFailed(f"{method} fails{mode} on {shown(given)}: {in_words(error)}.") from error
    if not isinstance(result, Tensor):
        raise CheckFailed(
            f"{method} returns {_kind_of(result)}; make it return one tensor (N, C, H, W)."
        )
    return result


def _kind_of(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def shown(x: Tensor) -> str:
    """A tensor in words: its size and what else is not usual."""
    dtype = "" if x.dtype == torch.float32 else f" of {str(x.dtype).removeprefix('torch.')}"
    if x.dim() != 4:
        return f"{tuple(x.shape)}{dtype}"
    count, channels, height, width = x.shape
    what = "image" if channels == 3 else f"{channels}-channel map"
    return f"{count} {what}{'s' if count > 1 else ''} of {height}x{width}{dtype}"


def has_own_forward(network: nn.Module) -> bool:
    """Whether a module defines ``forward``."""
    return "forward_unimplemented" not in getattr(inspect.unwrap(network.forward), "__name__", "")
