"""A model whose networks onnxruntime computes, in the place of a UGPNet."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ugpnet_core.engines.parts import INPUT, OUTPUTS, Facts, facts_from
from ugpnet_core.engines.runtime import session_of
from ugpnet_core.errors import ConfigError
from ugpnet_core.image import pad_to_multiple
from ugpnet_core.networks.ugpnet import UGPNet
from ugpnet_core.protocols import RestorationOutput, UGPNetOutput


class Session(nn.Module):
    """An open file. Copies share it: it holds no state, and may run in several threads at once."""

    def __init__(self, path: Path, device: torch.device) -> None:
        super().__init__()
        self.runtime: Any = session_of(path, device)
        self.facts = facts_from(self.runtime.get_modelmeta().custom_metadata_map, str(path))

    def __deepcopy__(self, memo: dict[int, Any]) -> Session:
        return self

    def forward(self, x: Tensor, outputs: tuple[str, ...]) -> list[Tensor]:
        """The named outputs for x; what they do not need is not computed."""
        import onnxruntime  # type: ignore[import-untyped, unused-ignore]

        options = onnxruntime.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        options.only_execute_path_to_fetches = True
        feed = {INPUT: x.detach().cpu().float().contiguous().numpy()}
        made = self.runtime.run(list(outputs), feed, options)
        return [torch.from_numpy(one).to(x.device) for one in made]


class OnnxRestoration(nn.Module):
    """The restoration module: x_reg by a file of it, or of a whole model at its one size."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        facts = session.facts
        # What Restorer asks of a backbone: whether it takes one size only.
        self.backbone = SimpleNamespace(fixed_size=facts.side or None)

    def forward(self, x: Tensor) -> RestorationOutput:
        """Restore x (N, 3, H, W); there are no features, x_reg stands for them."""
        facts = self.session.facts
        padded = x if facts.side else pad_to_multiple(x, facts.multiple)
        (image,) = self.session(padded, OUTPUTS["restoration"])
        height, width = (side * facts.scale for side in x.shape[-2:])
        return RestorationOutput(image[..., :height, :width], image[..., :height, :width])


class OnnxUGPNet(UGPNet):
    """Stands where a UGPNet does, for :class:`ugpnet_core.Restorer`; it cannot be trained."""

    def __init__(self, session: Session, whole: Session | None) -> None:
        # None of a UGPNet's networks is made.
        nn.Module.__init__(self)
        facts: Facts = session.facts
        self.config = facts.model_config()
        self.scale = facts.scale
        self.resolution = facts.resolution
        self.name = facts.model
        self.whole = whole
        restoration: Any = OnnxRestoration(session)
        self.restoration = restoration

    def forward(self, x: Tensor) -> UGPNetOutput:
        """As :meth:`UGPNet.forward`.

        Raises:
            ConfigError: there is a file of the restoration module only.
        """
        if self.whole is None:
            raise ConfigError(
                f"This file of {self.name} holds the restoration module alone; restore with "
                "--faces off, or export the whole model."
            )
        return UGPNetOutput(*self.whole(x, OUTPUTS["whole"]))


def load_onnx(
    path: str | PathLike[str],
    restoration: str | PathLike[str] | None = None,
    device: str | torch.device = "cpu",
) -> OnnxUGPNet:
    """Open what ``ugpnet export`` wrote, for ``Restorer(load_onnx("portraits.onnx"))``.

    Args:
        path: of a whole model, or of a restoration module, which restores without the prior.
        restoration: a file of the same model's restoration module. Without one, whole photographs
            go through the whole model's in tiles of its one size, which takes longer.
        device: cpu, or cuda with onnxruntime-gpu.

    Raises:
        WeightsError: a file is missing, damaged, or was not exported by this toolkit.
        ConfigError: the two are not of one model, or the device cannot be used.
        DependencyError: onnxruntime is not installed.
    """
    where = torch.device(device)
    first = Session(Path(path), where)
    second = first if restoration is None else Session(Path(restoration), where)
    if second.facts.config != first.facts.config:
        raise ConfigError(f"{restoration} is of another model than {path}; export both anew.")
    if first.facts.part == "restoration" and first.facts.domain == "":
        raise ConfigError(
            f"{path} holds the restoration module alone, and without a domain this model needs "
            "its prior everywhere; export the whole model."
        )
    return OnnxUGPNet(second, first if first.facts.part == "whole" else None).eval()
