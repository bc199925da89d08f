"""Turn published checkpoints into prior files, model files and backbones' checkpoints (``ugpnet
convert``)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import nn

from ugpnet_core.checkpoints.backbones import from_layers
from ugpnet_core.checkpoints.choosing import at_key
from ugpnet_core.checkpoints.file import NCNN, Checkpoint, read_checkpoint_file
from ugpnet_core.checkpoints.recognition import recognise
from ugpnet_core.checkpoints.state_dict import (
    check_finite,
    check_fit,
    fit,
    unwrap,
    write_safetensors,
)
from ugpnet_core.errors import ConfigError, WeightsError
from ugpnet_core.factory import create_backbone
from ugpnet_core.model_files.card import is_model_file
from ugpnet_core.model_files.model import save_model
from ugpnet_core.model_files.prior import (
    check_weights,
    is_prior_file,
    licence_of,
    recognise_prior,
    write_prior,
)
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.model_files.published import from_published, gather, parts_of
from ugpnet_core.networks.ugpnet import build_model

SUFFIX = ".safetensors"
BACKBONE_FORMAT = "ugpnet-backbone-1"


@dataclass(frozen=True)
class Converted:
    """What was made, and of what: ``kind`` is "prior file", "model file" or "backbone file"."""

    path: Path
    kind: str
    layout: str
    summary: str


def convert(
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    task: str | None = None,
    key: str | None = None,
    licence: str = "",
) -> Converted:
    """Read the files together and write what they are: a prior file, a model file, or a
    backbone's checkpoint of a network of ncnn; whole or not at all.

    Args:
        inputs: a published prior (generator and discriminator may be two files), or the parts of
            a published UGPNet.
        out: a new ``.safetensors`` file; one that exists is replaced, unless it is an input.
        task: what a published UGPNet was trained for; default: what the paper trained such a
            backbone for.
        key: which network of a file that holds several, see
            :func:`ugpnet_core.checkpoints.state_dict.read_tensors`; of several files, of those
            that have it.
        licence: of the weights, kept in the file.

    Raises:
        ConfigError: ``out`` is an input or no ``.safetensors``, or ``task`` does not exist.
        WeightsError: a file is missing or damaged, the files cannot be converted, or ``out``
            cannot be written.
        PluginError: a plugin that the weights need is not installed.
    """
    target = Path(out)
    paths = [Path(path) for path in inputs]
    _check_target(paths, target)
    # The two files of a network of ncnn are read as one.
    if all(path.suffix in (".param", ".bin") for path in paths):
        paths = list({path.with_suffix(""): path for path in paths}.values())
    files = [read_checkpoint_file(path) for path in paths]
    chosen = at_key(files, key)
    try:
        return (
            _convert_layers(chosen, target, licence)
            or _convert_model(chosen, target, task, licence)
            or _convert_prior(files, target, task, key, licence)
        )
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WeightsError(f"{target} cannot be written ({reason}); choose another.") from error


def _check_target(paths: Sequence[Path], target: Path) -> None:
    if not paths:
        raise ConfigError("There is nothing to convert; give a checkpoint and a name for OUT.")
    if target.suffix != SUFFIX:
        raise ConfigError(f"{target} would hold safetensors; give it a name in {SUFFIX}.")
    if target.is_dir():
        raise ConfigError(f"{target} is a folder; give a file name in {SUFFIX}.")
    for path in paths:
        if path.absolute() == target.absolute() or (
            path.exists() and target.exists() and os.path.samefile(path, target)
        ):
            raise ConfigError(f"{target} is also an input, which is never overwritten; rename OUT.")


def _convert_layers(files: Sequence[Checkpoint], target: Path, licence: str) -> Converted | None:
    if not any(file.container == NCNN for file in files):
        return None
    if len(files) > 1:
        raise WeightsError("A network of ncnn is converted by itself; give its .param alone.")
    (file,) = files
    found = from_layers(file.content)
    if found is None:
        raise WeightsError(
            f"{file.path} is a network of no backbone that is installed and reads ncnn; use its "
            "checkpoint in PyTorch's format."
        )
    name, options, state = found
    with torch.device("meta"):
        network = cast(nn.Module, create_backbone(name, **options))
    check_fit(network, state, str(file.path))
    check_finite(state, str(file.path))
    metadata = {
        "format": BACKBONE_FORMAT,
        "backbone": name,
        "options": json.dumps(options),
        "licence": licence,
    }
    write_safetensors(state, metadata, target)
    count = sum(value.numel() for value in state.values())
    summary = f"{name}, {_millions(count)} parameters, for restoration.weights of a training"
    return Converted(target, "backbone file", NCNN, summary)


def _convert_model(
    files: Sequence[Checkpoint], target: Path, task: str | None, licence: str
) -> Converted | None:
    tensors = gather(files)
    if tensors is None:
        return None
    config, state = from_published(tensors, task)
    model = build_model(config)
    names = ", ".join(str(file.path) for file in files)
    fit(model, {k: v.float() if v.is_floating_point() else v for k, v in state.items()}, names)
    record = {"converted from": [file.path.name for file in files], "layout": "published UGPNet"}
    save_model(model, target, record=record, licence=licence)
    count = sum(parameter.numel() for parameter in model.parameters())
    summary = (
        f"{config.backbone.name} and {config.prior.name} for {config.task.name}, "
        f"{model.resolution} pixels, {_millions(count)} parameters"
    )
    return Converted(target, "model file", "published UGPNet", summary)


def _convert_prior(
    files: Sequence[Checkpoint], target: Path, task: str | None, key: str | None, licence: str
) -> Converted:
    for file in files:
        kind = "model" if is_model_file(file) else "prior" if is_prior_file(file) else None
        if kind is not None:
            raise WeightsError(f"{file.path} is a {kind} file already; use it as it is.")
    for one in at_key(files, key):
        if parts_of(one):
            raise WeightsError(
                f"{one.path} is of a published UGPNet, and another of these files is not; give "
                "only files of one network."
            )
    found = recognise_prior(files, key=key)
    if found is None:
        raise WeightsError(_unknown(at_key(files, key)))
    if task is not None:
        raise ConfigError("A prior has no task; leave --task out.")
    name, weights = found
    names = ", ".join(str(file.path) for file in files)
    counts = check_weights(name, weights, names)
    for state in (weights.generator, weights.discriminator):
        check_finite(state or {}, names)
    write_prior(target, name, weights, licence or licence_of(files[0]))
    return Converted(target, "prior file", weights.layout, _summary(name, weights, counts))


def _summary(name: str, weights: PriorWeights, counts: tuple[int, int | None] | None) -> str:
    parts = [name]
    if "resolution" in weights.facts:
        parts.append(f"{weights.facts['resolution']} pixels")
    if counts is not None:
        parts.append(f"generator of {_millions(counts[0])} parameters")
    if weights.discriminator is None:
        parts.append("no discriminator")
    elif counts is not None:
        parts.append(f"discriminator of {_millions(counts[1] or 0)}")
    return ", ".join(parts)


def _unknown(files: Sequence[Checkpoint]) -> str:
    looks = "; ".join(f"{file.path} looks like {recognise(unwrap(file))}" for file in files)
    together = "These files are" if len(files) > 1 else "This is"
    return (
        f"{together} neither a prior nor a published UGPNet ({looks}); a backbone's checkpoint "
        "needs no converting: name it in restoration.weights of a training."
    )


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"
