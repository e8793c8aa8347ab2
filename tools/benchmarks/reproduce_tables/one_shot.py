"""A network of cells in which every link can carry many operations; all that are made of it share its weights."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tools.research.networks.cell_network import CellModule, CellNetwork
from tools.research.networks.cell_ops import make_op
from tools.research.networks.cells import Cell, stack
from tools.research.networks.genotypes import Genotype

__all__ = ["OneShot", "operations_of", "runs", "with_operations"]


def operations_of(genotype: Genotype) -> tuple[str, ...]:
    """The operations of a genotype's links, those of its normal cell first."""
    return tuple(link.op for link in (*genotype.normal, *genotype.reduce))


def with_operations(genotype: Genotype, operations: Sequence[str]) -> Genotype:
    """A genotype whose links carry others, in the order of `operations_of`."""
    links = [link._replace(op=op) for link, op in zip((*genotype.normal, *genotype.reduce), operations, strict=True)]
    count = len(genotype.normal)
    return genotype._replace(normal=tuple(links[:count]), reduce=tuple(links[count:]))


def runs(genotype: Genotype) -> bool:
    """Whether something gets through either cell."""
    return bool(Cell(genotype.normal, genotype.normal_concat).active) and bool(
        Cell(genotype.reduce, genotype.reduce_concat, reduction=True).active
    )


class OneShot(nn.Module):
    """Weights of every operation on every link of every cell; a null link adds zeros.

    Args:
        genotype: Which links there are.
        ops: What each of them can carry, besides its own.
        channels: Width of the first cells' nodes.
        cells: How many there are.
        seed: Of the initial weights.
    """

    def __init__(self, genotype: Genotype, ops: Sequence[str], channels: int, cells: int, seed: int) -> None:
        super().__init__()
        self.normal = len(genotype.normal)
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            self.network = CellNetwork(stack(genotype, cells), channels, free_skips=True, keep_dead=True)
            for module in self._cells():
                for i in module.order:
                    stride = 2 if module.cell.reduction and module.cell.links[i].source < 2 else 1
                    every = dict.fromkeys((*ops, module.cell.links[i].op))
                    module.links[str(i)] = _Mixed(tuple(every), module.channels, stride)

    def forward(self, image: Tensor, operations: Sequence[str]) -> Tensor:
        """Maps images ``[n, 3, H, W]`` to scores ``[n, classes]`` by operations in the order of `operations_of`."""
        for module in self._cells():
            own = operations[self.normal :] if module.cell.reduction else operations[: self.normal]
            for i in module.order:
                link = module.links[str(i)]
                assert isinstance(link, _Mixed)
                link.op = own[i]
        scores: Tensor = self.network(image)
        return scores

    def _cells(self) -> list[CellModule]:
        return [module for module in self.network.cells.values() if isinstance(module, CellModule)]


class _Mixed(nn.Module):
    """A link; `op` is what it carries now."""

    def __init__(self, ops: Sequence[str], channels: int, stride: int) -> None:
        super().__init__()
        self.op, self.stride = "null", stride
        self.ops = nn.ModuleDict({op: make_op(op, channels, stride, free_skips=True) for op in ops if op != "null"})

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[n, C, H, W]`` to ``[n, C, H/stride, W/stride]``."""
        if self.op == "null":
            return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])
        found: Tensor = self.ops[self.op](x)
        return found
