"""One module of a UGPNet out of a file of ``ugpnet train``, a model or a stage's result, or of a
published UGPNet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from torch import Tensor

from ugpnet_core.checkpoints.choosing import at_key
from ugpnet_core.checkpoints.file import read_checkpoint_file
from ugpnet_core.config import ModelConfig
from ugpnet_core.errors import WeightsError
from ugpnet_core.model_files.card import card_of, is_model_file
from ugpnet_core.model_files.published import module_in
from ugpnet_core.model_files.shared import all_tensors
from ugpnet_core.model_files.stage_results import read_stage_result


@dataclass(frozen=True)
class OwnModule:
    """A module's weights, and what they were trained as.

    Attributes:
        tensors: state dict of the module, in whatever precision the file has.
        config: of the model; in the result of a stage, as far as that stage depends on it.
        discriminator: state dict; None where the file has none.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    config: ModelConfig
    discriminator: Mapping[str, Tensor] | None = None

    def part(self, name: str) -> dict[str, Tensor]:
        """The state dict of a network inside the module, such as "backbone"."""
        return _inner(self.tensors, f"{name}.")


def read_own_module(
    path: str | PathLike[str], module: str, key: str | None = None
) -> OwnModule | None:
    """Read a module from a model file, from the result of its stage, or from a published UGPNet.

    Args:
        key: which published UGPNet of a file that holds several.

    Returns:
        None where the file is none of these: a checkpoint from elsewhere, for instance; and, of
        a synthesis module, the result of stage prior, which is read as a prior.

    Raises:
        WeightsError: the file is missing or damaged, it holds other modules only, or leaves a key
            no choice.
    """
    file = read_checkpoint_file(path)
    result = read_stage_result(file)
    if key is not None and (result is not None or is_model_file(file)):
        raise WeightsError(
            f"{path} holds one {module} module at most, which is taken as it is; leave the key "
            f"{key!r} out."
        )
    tensors: Mapping[str, Tensor] = {}
    discriminator = None
    if result is not None and (result.stage, module) == ("prior", "synthesis"):
        return None
    if result is not None:
        config, discriminator = result.config, result.networks.get("discriminator")
        if result.stage == module:
            tensors = result.networks.get("network", {})
    elif is_model_file(file):
        config, tensors = card_of(file).config, _inner(all_tensors(file), f"{module}.")
    else:
        (chosen,) = at_key([file], key)
        published = module_in(chosen, module)
        return None if published is None else OwnModule(Path(path), published[1], published[0])
    if not tensors:
        raise WeightsError(
            f"{path} holds no {module} module; give a model file, or the {module}.safetensors of "
            "another training."
        )
    return OwnModule(Path(path), tensors, config, discriminator)


def _inner(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
