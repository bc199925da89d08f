"""A network that knows nothing of this toolkit becomes a backbone by naming its last layer.

    python examples/wrap_your_network.py

Model files know a backbone by the name of a plugin, whose factory calls wrap_backbone as below:
see custom_backbone/ and docs/plugins.md.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

import ugpnet_core as ug
from ugpnet_core.checkpoints.state_dict import load_weights, write_safetensors
from ugpnet_core.networks.ugpnet import UGPNet


class YourNetwork(nn.Module):
    def __init__(self, adds_input: bool) -> None:
        super().__init__()
        self.adds_input = adds_input
        self.body = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.GELU())
        self.conv_last = nn.Conv2d(48, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv_last(self.body(x))
        return x + y if self.adds_input else y


def build(kind: Literal["direct", "residual"]) -> UGPNet:
    network = YourNetwork(adds_input=kind == "residual")
    backbone = ug.wrap_backbone(network, "conv_last", kind=kind)
    prior = ug.create_prior("stylegan2", resolution=32, style_dim=8, num_mlp=1, narrow=0.0625)
    config = ug.ModelConfig(fusion_blocks=1, merging_channels=8)
    return UGPNet(config, backbone, prior, scale=1)


def main() -> None:
    degraded, clean = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    for kind in ("direct", "residual"):
        model = build(kind)
        optimizer = torch.optim.Adam(model.restoration.parameters(), 1e-3)
        loss = nn.functional.l1_loss(model.restoration(degraded).image, clean)
        loss.backward()
        optimizer.step()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights.safetensors"
            write_safetensors(model.state_dict(), {}, path)
            loaded = build(kind)
            load_weights(loaded, path)
        with torch.no_grad():
            same = torch.equal(model.eval()(degraded).image, loaded.eval()(degraded).image)
        channels = model.restoration.feature_channels
        print(f"{kind}: {channels} feature channels, loss {loss:.3f}, loaded the same: {same}")


if __name__ == "__main__":
    main()
