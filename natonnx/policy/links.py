"""Links between nodes, and sums of what goes along them: the one step of message passing that policies need."""

from functools import cached_property
from typing import Any

from torch import Tensor

from natonnx.policy.backend import serving

__all__ = ["Links"]


class Links:
    """Along each link goes a message from its source to its target; all on the CPU.

    Args:
        sources: Node that each link leads from, int64 [links].
        targets: Node that it leads to, int64 [links].
        nodes: Number of nodes that links may lead from.
        into: Number of nodes that they may lead to; the same nodes where None.
    """

    def __init__(self, sources: Tensor, targets: Tensor, nodes: int, into: int | None = None) -> None:
        self.sources, self.targets = sources, targets
        self.nodes, self.into = nodes, nodes if into is None else into

    def sum(self, values: Tensor) -> Tensor:
        """Sum at each target over its sources [nodes, width] → [into, width]; zero where there are none."""
        if serving().name == "dgl":
            from natonnx.policy import by_dgl

            return by_dgl.sums(self._dgl, values)
        return values.new_zeros(self.into, values.shape[1]).index_add(
            0, self.targets, values.index_select(0, self.sources)
        )

    def mean(self, values: Tensor) -> Tensor:
        """Mean at each target over its sources [nodes, width] → [into, width]; zero where there are none."""
        return self.sum(values) / self.entering[:, None]

    @cached_property
    def entering(self) -> Tensor:
        """Links that lead to each target, but at least 1 [into]."""
        return self.targets.bincount(minlength=self.into).clamp(min=1)

    @cached_property
    def leaving(self) -> Tensor:
        """Links that lead from each source, but at least 1 [nodes]."""
        return self.sources.bincount(minlength=self.nodes).clamp(min=1)

    @cached_property
    def _dgl(self) -> Any:
        from natonnx.policy import by_dgl

        return by_dgl.links_graph(self.sources, self.targets, self.nodes, self.into)
