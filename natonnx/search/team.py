"""Processes that train one architecture together, by torch's DistributedDataParallel."""

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from natonnx.architecture import Architecture
from natonnx.data.batches import Axes, Share
from natonnx.search.runner import forward
from natonnx.supernet import Supernet

__all__ = ["Part", "Team"]


class Part(NamedTuple):
    """What a process has of a minibatch.

    Attributes:
        first: Position of its first sample in the minibatch.
        size: How many it has.
        total: How many the minibatch has.
        smallest: The fewest that one of the processes has.
        seconds: Mean of what the processes have measured.
    """

    first: int
    size: int
    total: int
    smallest: int
    seconds: float


class Team:
    """Processes of a group, which take the same steps at the same time.

    Each runs its part of a minibatch; gradients are averaged by the number of samples. The statistics of normalisation
    are each part's own, as in torch's DistributedDataParallel.

    Args:
        group: See `torch.distributed`.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self._group = group
        self.share: Share = dist.get_rank(group), dist.get_world_size(group)

    def part(self, size: int, seconds: float) -> Part:
        """Compare what each has of a minibatch, and what each has measured; the same everywhere but for `first`."""
        own = torch.tensor([size, seconds], dtype=torch.float64)
        found = [torch.empty_like(own) for _ in range(self.share[1])]
        dist.all_gather(found, own, group=self._group)
        sizes = [int(one[0]) for one in found]
        mean = float(torch.stack(found)[:, 1].mean())
        return Part(sum(sizes[: self.share[0]]), size, sum(sizes), min(sizes), mean)

    def weight(self, part: Part) -> float:
        """Return what a process's mean loss counts, so that the mean over processes is that over samples."""
        return part.size * self.share[1] / part.total

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a number over the processes."""
        found = value.detach().cpu().double().reshape(1)
        dist.all_reduce(found, group=self._group)
        return (found[0] / self.share[1]).to(value.device, value.dtype)

    def wrap(self, supernet: Supernet, architecture: Architecture, captures: Axes) -> nn.Module:
        """Return a module of inputs and their number whose backward averages gradients over the processes."""
        # Its buffers are statistics, which are estimated anew before they are used; its graph is always the same
        module = _Forward(supernet, architecture, captures)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 has another name for it, which 2.4 lacks
            return nn.parallel.DistributedDataParallel(module, broadcast_buffers=False, static_graph=True)


class _Forward(nn.Module):
    """Runs an architecture: what DistributedDataParallel wraps."""

    def __init__(self, supernet: Supernet, architecture: Architecture, captures: Axes) -> None:
        super().__init__()
        self.supernet, self._architecture, self._captures = supernet, architecture, captures

    def forward(self, inputs: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
        """Return what is captured, by name."""
        return forward(self.supernet, inputs, size, self._architecture, self._captures)
