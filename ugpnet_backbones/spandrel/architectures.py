"""The architectures of spandrel, by names that can name nothing else.

A model file says which network to build. It comes from anyone, so that a name is looked up in a
table of spandrel's own networks, and is never imported or evaluated.
"""

from __future__ import annotations

import difflib
import inspect
import json
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ugpnet_core.plugins import (
    ConfigError,
    DependencyError,
    PluginError,
    WeightsError,
    describe_error,
    find_network,
    recognise,
)

if TYPE_CHECKING:
    from spandrel import ArchRegistry, ImageModelDescriptor


def registry() -> ArchRegistry:
    """spandrel's architectures, and those of spandrel_extra_arches where it is installed.

    Raises:
        DependencyError: spandrel is not installed.
    """
    try:
        from spandrel import MAIN_REGISTRY
    except ImportError as error:
        raise DependencyError(
            f"The backbone 'spandrel' needs spandrel ({describe_error(error)}); pip install "
            "spandrel"
        ) from error
    everything = MAIN_REGISTRY.copy()
    try:
        from spandrel_extra_arches import EXTRA_REGISTRY
    except ImportError:
        return everything
    everything.add(*EXTRA_REGISTRY, ignore_duplicates=True)
    return everything


def recognised(tensors: Mapping[str, Tensor], source: str) -> ImageModelDescriptor[nn.Module]:
    """The network whose state dict this is, with what spandrel knows of it.

    Raises:
        WeightsError: spandrel does not know it, or it restores no RGB images; or there are several
            such networks.
    """
    found = _found(tensors, source)
    if found is None:
        more = "; pip install spandrel_extra_arches for more architectures"
        if find_spec("spandrel_extra_arches"):
            more = ""
        raise WeightsError(
            f"{source} holds no network that spandrel recognises; it looks like "
            f"{recognise(tensors)}{more}."
        )
    return found


def options_of(tensors: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """The options that make the network of a state dict, untrained; None where spandrel does not
    know it.

    Raises:
        WeightsError: it restores no RGB images, or there are several such networks.
        PluginError: a model file cannot hold what it is made with.
        DependencyError: spandrel is not installed.
    """
    found = _found(tensors, "The file")
    if found is None:
        return None
    name = name_of(found.model, found.architecture.id)
    return {"architecture": name, "arguments": arguments_of(found.model)}


def _found(tensors: Mapping[str, Tensor], source: str) -> ImageModelDescriptor[nn.Module] | None:
    """What spandrel makes of the one network in a state dict; None where it knows none."""
    from spandrel import ImageModelDescriptor, UnsupportedModelError

    known = registry()

    def load(state: dict[str, Tensor]) -> ImageModelDescriptor[nn.Module] | None:
        try:
            found = known.load(state)
        except UnsupportedModelError:
            return None
        except Exception as error:
            raise WeightsError(
                f"{source} holds a network that spandrel cannot build "
                f"({shorten(describe_error(error), 200)}); use another checkpoint."
            ) from error
        check_purpose(found, source)
        assert isinstance(found, ImageModelDescriptor)
        return found

    return find_network(tensors, load, source)


def check_purpose(found: object, source: str) -> None:
    """Refuse networks that do not map an RGB image to an RGB image.

    Raises:
        WeightsError: this is one.
    """
    from spandrel import ImageModelDescriptor

    if not isinstance(found, ImageModelDescriptor):
        name = getattr(getattr(found, "architecture", None), "name", "its network")
        raise WeightsError(
            f"{source} fills masked regions ({name}) and restores no images; use another."
        )
    if (found.input_channels, found.output_channels) != (3, 3):
        raise WeightsError(
            f"{source} ({found.architecture.name}) maps {found.input_channels} channels to "
            f"{found.output_channels}; a backbone maps RGB images to RGB images."
        )


def name_of(network: nn.Module, architecture: str) -> str:
    """The name by which :func:`build` finds the class of a network again."""
    return f"{architecture}:{type(network).__name__}"


def arguments_of(network: nn.Module) -> dict[str, Any]:
    """The arguments a network was made with, as JSON can hold them.

    Raises:
        PluginError: spandrel keeps none for it, or JSON cannot hold them.
    """
    given: Mapping[str, Any] | None = getattr(network, "hyperparameters", None)
    if given is None:
        raise PluginError(
            f"spandrel does not record the arguments of {type(network).__name__}, which a model "
            "file needs; use another network."
        )
    arguments = {}
    for name, value in given.items():
        parameter = _constructor(type(network)).get(name)
        try:
            arguments[name] = json.loads(json.dumps(value))
        except (TypeError, ValueError) as error:
            if parameter is None or parameter.default is not value:
                raise PluginError(
                    f"Argument {name!r} of {type(network).__name__} cannot be kept in a model "
                    "file; use another network."
                ) from error
    return arguments


def build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Make an untrained network.

    Args:
        name: "ESRGAN", or where an architecture has several networks, "PLKSR:RealPLKSR".
        arguments: of its constructor.

    Raises:
        ConfigError: there is no such network; or the arguments are wrong.
    """
    known = networks()
    architecture, _, wanted = name.partition(":")
    classes = known.get(architecture, {})
    if wanted not in classes and not (len(classes) == 1 and not wanted):
        names = [f"{each}:{one}" for each, all_of_it in known.items() for one in all_of_it]
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names
        raise ConfigError(f"spandrel has no network {name!r}; some are {', '.join(near[:3])}.")
    made = classes[wanted] if wanted else next(iter(classes.values()))
    try:
        return made(**arguments)
    except Exception as error:
        raise ConfigError(
            f"{name} cannot be made with these arguments "
            f"({shorten(describe_error(error), 200)}); change them."
        ) from error


def networks() -> dict[str, dict[str, type[nn.Module]]]:
    """The networks of each architecture, by the names of their classes: those that spandrel
    records the arguments of, in the modules of that architecture."""
    found: dict[str, dict[str, type[nn.Module]]] = {}
    for support in registry():
        package = type(support.architecture).__module__
        modules = [m for name, m in sys.modules.items() if f"{name}.".startswith(f"{package}.")]
        found[support.architecture.id] = {
            each.__name__: each
            for module in modules
            for each in vars(module).values()
            if isinstance(each, type)
            and issubclass(each, nn.Module)
            and "hyperparameters" in vars(each)
            and each.__module__.startswith(f"{package}.")
        }
    return found


def _constructor(network: type[nn.Module]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(network.__init__).parameters
