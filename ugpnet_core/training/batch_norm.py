"""Batch normalisation whose statistics are those of the batches of all processes.

torch.nn.SyncBatchNorm needs GPUs; this one runs wherever the processes can exchange tensors.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor, nn


def synchronise_batch_norm(network: nn.Module, accelerator: Accelerator) -> None:
    """Let the batch normalisation of a network see the batches of all processes.

    In one process nothing is changed. Names and shapes of weights never change.
    """
    if accelerator.num_processes > 1:
        for module in network.modules():
            if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
                module.__class__ = SynchronisedBatchNorm


class SynchronisedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """A batch normalisation that becomes one of all processes while it trains."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions is fine: all but the second are averaged over."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, ...); each process may have another N."""
        if not self.training:
            return super().forward(x)
        over = [0, *range(2, x.dim())]
        shape = [1, -1, *(1,) * (x.dim() - 2)]
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        count = _sum(torch.tensor(float(x.numel() // x.shape[1]), device=x.device))
        mean = _sum(values.sum(over)) / count
        centred = values - mean.view(shape)
        variance = _sum(centred.square().sum(over)) / count
        self._follow(mean.detach(), variance.detach() * (count / (count - 1)))
        y = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(variance.to(self.running_var), share)


class _Sum(torch.autograd.Function):
    """The sum over all processes. Each contributes to the losses of all, so gradients add up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def _sum(x: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(x)
    return total
