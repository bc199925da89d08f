"""Prior files: one ``.safetensors`` with a prior's weights and the options that rebuild it; and
any other file that a prior is read from: the result of a prior stage, and what a prior's reader
recognises.

Metadata: ``format`` is "ugpnet-prior-1", ``prior`` the prior's name, ``options`` its options as
JSON, ``layout`` where the weights came from, ``facts`` as JSON, ``licence``. Tensors are
``generator.*`` and, where there is one, ``discriminator.*``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ugpnet_core.checkpoints.choosing import at_key, refuse_key
from ugpnet_core.checkpoints.downloads import find_weights
from ugpnet_core.checkpoints.file import Checkpoint, read_checkpoint_file
from ugpnet_core.checkpoints.state_dict import (
    check_fit,
    fit,
    load_weights,
    write_safetensors,
)
from ugpnet_core.errors import ConfigError, PluginError, WeightsError
from ugpnet_core.factory import make_discriminator, make_prior
from ugpnet_core.model_files.prior_readers import read_foreign
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.model_files.stage_results import read_stage_result
from ugpnet_core.plugins import PriorEntry, find, validate_options
from ugpnet_core.protocols import Prior

FORMAT = "ugpnet-prior-1"


def write_prior(
    path: str | PathLike[str], name: str, weights: PriorWeights, licence: str = ""
) -> None:
    """Write a prior file, whole or not at all."""
    tensors = {f"generator.{key}": value for key, value in weights.generator.items()}
    if weights.discriminator is not None:
        tensors |= {f"discriminator.{key}": v for key, v in weights.discriminator.items()}
    metadata = {
        "format": FORMAT,
        "prior": name,
        "options": json.dumps(weights.options),
        "layout": weights.layout,
        "facts": json.dumps(weights.facts),
        "licence": licence,
    }
    write_safetensors(tensors, metadata, path)


def read_prior(
    path: str | PathLike[str], name: str | None = None, key: str | None = None
) -> PriorWeights | None:
    """Read the weights of a prior from a prior file or from a checkpoint that its reader knows.

    Args:
        name: the prior that they are for; only its reader is asked.
        key: which generator of a file that holds several, see
            :func:`ugpnet_core.checkpoints.state_dict.read_tensors`; what belongs to all of them,
            such as a discriminator, is read with it.

    Returns:
        None where no reader recognises the file.

    Raises:
        WeightsError: the file is missing or damaged, of another prior, or recognised but one that
            cannot be read.
        PluginError: a reader failed.
    """
    found = recognise_prior([read_checkpoint_file(path)], name, key)
    if found is None:
        return None
    owner, weights = found
    if name is not None and owner != name:
        raise WeightsError(f"{path} holds a prior {owner!r} and not {name!r}; give another file.")
    return weights


def recognise_prior(
    files: Sequence[Checkpoint], name: str | None = None, key: str | None = None
) -> tuple[str, PriorWeights] | None:
    """The name of the prior whose weights these files hold together, and the weights; ``key`` and
    errors as :func:`read_prior`."""
    if len(files) == 1 and is_prior_file(files[0]):
        refuse_key(files[0].path, key)
        return _own(files[0])
    result = read_stage_result(files[0]) if len(files) == 1 else None
    if result is not None and result.stage == "prior":
        refuse_key(files[0].path, key)
        prior, networks = result.config.prior, result.networks
        return prior.name, PriorWeights(
            "this toolkit's (ugpnet train)",
            prior.options,
            networks.get("network", {}),
            networks.get("discriminator"),
        )
    return read_foreign(files, at_key(files, key), name, key)


def is_prior_file(file: Checkpoint) -> bool:
    """Whether a file says that it is a prior file, of any version."""
    return file.metadata.get("format", "").startswith(FORMAT.rstrip("0123456789"))


def licence_of(file: Checkpoint) -> str:
    """The licence of the weights, as far as the file says it."""
    return file.metadata.get("licence", "")


def _own(file: Checkpoint) -> tuple[str, PriorWeights]:
    metadata = file.metadata
    if metadata["format"] != FORMAT:
        raise WeightsError(
            f"{file.path} has format {metadata['format']!r} and this version reads {FORMAT!r}; "
            "install the ugpnet-core that wrote it."
        )
    networks: dict[str, dict[str, Tensor]] = {"generator": {}, "discriminator": {}}
    try:
        for key, value in file.content.items():
            network, _, inner = key.partition(".")
            networks[network][inner] = value
        options, facts = json.loads(metadata["options"]), json.loads(metadata.get("facts", "{}"))
        if not isinstance(options, dict) or not isinstance(facts, dict):
            raise ValueError("options")
        name = metadata["prior"]
    except (KeyError, ValueError) as error:
        raise WeightsError(
            f"The description inside {file.path} is damaged; get the file again."
        ) from error
    layout = metadata.get("layout", "")
    found = networks["discriminator"] or None
    return name, PriorWeights(layout, options, networks["generator"], found, facts)


def joined_options(
    name: str, given: Mapping[str, Any], weights: PriorWeights, path: str | PathLike[str]
) -> dict[str, Any]:
    """The options given, and those that the weights determine.

    Raises:
        ConfigError: the two contradict each other.
    """
    entry = find(PriorEntry, name).entry
    try:
        theirs = validate_options(entry, weights.options)
    except ConfigError as error:
        raise WeightsError(f"{path} describes what cannot be made: {error}") from error
    # Validated together, so that a pair that only fits together is judged as one.
    ours = validate_options(entry, {**weights.options, **given})
    for option in given:
        if option in weights.options and ours[option] != theirs[option]:
            raise ConfigError(
                f"Option {option!r} of prior {name!r} is {given[option]} here and "
                f"{weights.options[option]} in {Path(path).name}; leave it out."
            )
    return {**weights.options, **given}


def create_prior(
    name: str,
    *,
    weights: str | PathLike[str] | None = None,
    key: str | None = None,
    **options: Any,
) -> Prior:
    """Make a prior's generator by name.

    Args:
        name: A prior that ``ugpnet list-priors`` shows.
        weights: A prior file (see ``ugpnet convert``), a checkpoint in the generator's own keys, or
            a published one in a layout that the prior's reader knows. Where none are given, a prior
            that has weights of its own gets those; they may be downloaded.
        key: The generator of a file that holds several networks, by the name of its dictionary, or
            of its module in a larger state dict ("g_ema", "student").
        options: Options of the generator. Those that a file of weights determines may be left out.

    Returns:
        An ``nn.Module`` on the CPU, in training mode.

    Raises:
        PluginError: The prior is not installed, or its factory or reader failed.
        ConfigError: An option is unknown or impossible, or contradicts the file of weights.
        WeightsError: The file is missing or damaged, or does not fit.

    Examples:
        >>> import torch
        >>> import ugpnet_core as ug
        >>> prior = ug.create_prior("stylegan2", resolution=32, style_dim=8, narrow=0.0625)
        >>> base = torch.zeros(1, prior.base_channels, prior.base_size, prior.base_size)
        >>> styles = torch.zeros(1, prior.num_styles, prior.style_dim)
        >>> prior.synthesize(base, styles).image.shape
        torch.Size([1, 3, 32, 32])
    """
    installed = find(PriorEntry, name)
    if weights is None and installed.entry.file is not None:
        weights = find_weights(installed)
    stored, options = _stored(name, weights, options, key)
    if stored is not None:
        check_weights(name, stored, str(weights))
    prior = make_prior(name, **options)
    _load(prior, weights, None if stored is None else stored.generator, key)
    return prior


def create_discriminator(
    name: str, *, weights: str | PathLike[str] | None = None, **options: Any
) -> nn.Module:
    """Make the discriminator that fits a prior with these options (N, 3, r, r) -> (N, 1).

    Args:
        weights: as for :func:`create_prior`; a file that holds a discriminator.

    Raises:
        PluginError: the prior has none, so it cannot be trained with an adversarial loss.
        WeightsError: the file does not fit, or holds no discriminator.
    """
    stored, options = _stored(name, weights, options)
    discriminator = make_discriminator(name, **options)
    if stored is not None and stored.discriminator is None:
        raise WeightsError(f"{weights} holds no discriminator; give a file that has one.")
    _load(discriminator, weights, None if stored is None else stored.discriminator)
    return discriminator


def _stored(
    name: str,
    weights: str | PathLike[str] | None,
    options: dict[str, Any],
    key: str | None = None,
) -> tuple[PriorWeights | None, dict[str, Any]]:
    """What a file holds, where it tells more than tensors, and the options joined with its own."""
    stored = None if weights is None else read_prior(weights, name, key)
    if weights is None or stored is None:
        return None, options
    return stored, joined_options(name, options, stored, weights)


def _load(
    network: Any,
    weights: str | PathLike[str] | None,
    tensors: Mapping[str, Tensor] | None,
    key: str | None = None,
) -> None:
    """Read weights into a network; ``tensors`` where they were read from the file already."""
    if weights is None:
        return
    if tensors is None:
        load_weights(network, weights, key)
    else:
        fit(network, tensors, str(weights))


def check_weights(name: str, weights: PriorWeights, source: str) -> tuple[int, int | None] | None:
    """Compare keys and shapes with the networks that the options make, without their memory.

    Returns:
        the number of parameters of the generator and of the discriminator; None for a prior that
        cannot be made without memory.

    Raises:
        WeightsError: they do not fit, or the options are impossible.
    """
    if not weights.generator:
        raise WeightsError(
            f"{source} holds a discriminator only; give the generator, or both to ugpnet convert."
        )
    options = joined_options(name, {}, weights, source)
    own: nn.Module | None = None
    try:
        with torch.device("meta"):
            generator: Any = make_prior(name, **options)
            if weights.discriminator is not None:
                own = make_discriminator(name, **options)
    except PluginError:
        return None
    check_fit(generator, weights.generator, source)
    if own is None or weights.discriminator is None:
        return _parameters(generator), None
    check_fit(own, weights.discriminator, source)
    return _parameters(generator), _parameters(own)


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
