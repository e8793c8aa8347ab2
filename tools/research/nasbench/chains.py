"""All networks of NAS-Bench-Macro at once, as `Space` has the cells of NAS-Bench-201."""

from collections.abc import Sequence
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor

from natonnx.architecture import LETTERS, State
from natonnx.policy.encode import encode, encode_choices
from natonnx.policy.graph import Graph, edge_graph, joined
from tools.research.cells import Transitions
from tools.research.nasbench.macro import LAYERS, NETWORKS, network
from tools.research.nasbench.space import Walk

__all__ = ["Chains"]

_O, _S = map(LETTERS.index, (State.O, State.S))
_WEIGHTS = torch.tensor([3 ** (LAYERS - 1 - i) for i in range(LAYERS)])


class Chains:
    """The networks, by position in `NETWORKS`. Edges are free of one another: whatever is left of a chain is legal.

    Args:
        transitions: Whether a 2 may become a 1.
    """

    cells: Sequence[str] = NETWORKS

    def __init__(self, transitions: Transitions = "nat") -> None:
        self._transitions: Transitions = transitions
        self._width = network(NETWORKS[-1], transitions).topology.width
        self._graphs: dict[int, Graph] = {}
        self.ops = torch.tensor([[int(digit) for digit in digits] for digits in NETWORKS])
        self.current = torch.where(self.ops == 0, _S, _O)

    @cached_property
    def features(self) -> Tensor:
        """`encode` of every network [networks, LAYERS, FEATURES]."""
        return _features()

    @cached_property
    def choices(self) -> Tensor:
        """`encode_choices` of every network [networks, LAYERS, width, CHOICE]."""
        of_digits = [encode_choices(network(digit * LAYERS, self._transitions).topology) for digit in "012"]
        table = np.zeros((3, LAYERS, self._width, of_digits[0].shape[-1]), np.float32)
        for row, found in zip(table, of_digits, strict=True):
            row[:, : found.shape[1]] = found
        return torch.from_numpy(table)[self.ops, torch.arange(LAYERS)]

    @cached_property
    def masks(self) -> Tensor:
        """What each edge of each network may become [networks, LAYERS, width]: a layer may go, and none comes back."""
        masks = torch.zeros(*self.ops.shape, self._width, dtype=torch.bool)
        masks[..., _O], masks[..., _S] = self.ops > 0, True
        masks[..., len(LETTERS) :] = (self.ops == 2)[..., None]
        return masks

    def graph(self, count: int) -> Graph:
        """The graph of `count` networks at once; kept, since batches have few sizes."""
        if count not in self._graphs:
            self._graphs[count] = joined([edge_graph(network(NETWORKS[-1]).topology)] * count)
        return self._graphs[count]

    def find(self, digits: Sequence[str]) -> Tensor:
        """Positions of networks [n]."""
        return torch.tensor([int(one, 3) for one in digits])

    def walk(self, betas: Tensor, logits: Tensor, count: int | None, generator: torch.Generator) -> Walk:
        """Draw α's; see `Space.walk`."""
        masks = self.masks[betas][:, None].expand(-1, count or 1, -1, -1)
        scores = logits.detach()[:, None].expand(*masks.shape).masked_fill(~masks, -torch.inf)
        if count is not None:  # the Gumbel-max form of sampling from the softmax
            scores = scores - torch.empty(scores.shape).exponential_(generator=generator).log()
        columns = scores.argmax(-1)
        ops = torch.where(columns == _O, self.ops[betas][:, None], (columns >= len(LETTERS)).long())
        return Walk(columns, masks, ops @ _WEIGHTS)


@cache
def _features() -> Tensor:
    """They do not depend on the transitions: made once a process."""
    return torch.from_numpy(np.stack([encode(network(digits)) for digits in NETWORKS]))
