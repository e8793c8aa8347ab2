"""All 15,625 cells at once: which α's each may become, by the same rules as any model's, in arrays.

The topology is one and the same, so what null propagation and the single transitions' legality depend on is the states
of six edges: 729 combinations. `natonnx.architecture` is asked once for each, and indexing does the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import dgl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from natonnx.architecture import (
    ALLOWED,
    Architecture,
    Flow,
    State,
    flow,
    nasbench201_cell,
    transition_mask,
)
from natonnx.policy.encode import encode
from natonnx.policy.graph import Graph, edge_graph

__all__ = ["EDGES", "OPS", "Space", "Walk"]

EDGES = 6
OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
_STATES = tuple(State)
_O, _S, _N = range(3)
_COMBINATIONS = len(_STATES) ** EDGES
_STATE_WEIGHTS = len(_STATES) ** np.arange(EDGES)
_OP_WEIGHTS = len(OPS) ** np.arange(EDGES)
_KIND_OPS = ("nor_conv_3x3", "avg_pool_3x3", "skip_connect", "none", "none")
_KIND_WEIGHTS = torch.tensor(len(_KIND_OPS)) ** torch.arange(EDGES)


@dataclass(frozen=True)
class Walk:
    """α's drawn for B β's, n each.

    Attributes:
        columns: State that each edge takes [B, n, EDGES].
        masks: What it could choose from [B, n, EDGES, 3].
    """

    columns: Tensor
    masks: Tensor

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Log π of each α, given each β's logits [B, EDGES, 3] → [B, n]."""
        masked = logits[:, None].masked_fill(~self.masks, -torch.inf)
        return torch.log_softmax(masked, -1).gather(-1, self.columns[..., None]).sum((-1, -2))


class Space:
    """The cells of a table, by position.

    Args:
        cells: NAS-Bench-201 strings, each once.
    """

    def __init__(self, cells: Sequence[str]) -> None:
        self.cells = tuple(cells)
        self.architectures = tuple(map(nasbench201_cell, cells))
        self._graphs: dict[int, Graph] = {}
        ops = np.array([_ops(cell) for cell in cells])
        self.ops = torch.from_numpy(ops)
        self.position = np.full(len(OPS) ** EDGES, -1)
        self.position[ops @ _OP_WEIGHTS] = np.arange(len(cells))
        self.current = torch.from_numpy(np.where(ops == 0, _N, np.where(ops == 1, _S, _O)))
        """Column of each edge's state [cells, EDGES]."""

    def graph(self, count: int) -> Graph:
        """The graph of `count` cells at once; kept, since batches have few sizes."""
        if count not in self._graphs:
            self._graphs[count] = dgl.batch([edge_graph(self.architectures[0].topology)] * count)
        return self._graphs[count]

    @cached_property
    def features(self) -> Tensor:
        """`encode` of every cell [cells, EDGES, FEATURES]."""
        return torch.from_numpy(np.stack([encode(architecture) for architecture in self.architectures]))

    @cached_property
    def masks(self) -> Tensor:
        """What each edge of each cell may become [cells, EDGES, 3]."""
        every = torch.arange(len(self.cells))
        columns = self.current[:, None]
        first = [
            torch.where(
                columns[..., e, None] == _N,
                self._allowed(every, columns, e, adding=True),
                self._allowed(every, columns, e, adding=False),
            )
            for e in range(EDGES)
        ]
        return torch.cat(first, 1)

    def alphas(self, betas: Tensor, columns: Tensor) -> Tensor:
        """Positions of the cells that β's [B] become with these states [B, n, EDGES] → [B, n]."""
        kept = self.ops[betas][:, None].expand_as(columns)
        ops = torch.where(columns == _N, 0, torch.where(columns == _S, 1, kept))
        return torch.from_numpy(self.position[(ops.numpy() @ _OP_WEIGHTS)])

    def walk(self, betas: Tensor, logits: Tensor, count: int | None, generator: torch.Generator) -> Walk:
        """Draw α's as `natonnx.policy.base.draw` does: one edge after the other, legal after those before it.

        Args:
            betas: Positions [B].
            logits: Scores with the prior [B, EDGES, 3].
            count: α's a β; None for the most probable one.
            generator: Source of randomness.
        """
        samples = count or 1
        logits = logits.detach()[:, None].expand(-1, samples, -1, -1)
        before = self.current[betas][:, None].expand(-1, samples, -1)
        columns = before.clone()
        masks = torch.empty(*columns.shape, len(_STATES), dtype=torch.bool)
        for adding in (True, False):  # null edges come first
            for e in range(EDGES):
                chosen = (before[:, :, e] == _N) == adding
                allowed = self._allowed(betas, columns, e, adding=adding)
                masked = logits[:, :, e].masked_fill(~allowed, -torch.inf)
                if count is not None:  # the Gumbel-max form of sampling from the softmax
                    masked = masked - torch.empty(masked.shape).exponential_(generator=generator).log()
                columns[:, :, e] = torch.where(chosen, masked.argmax(-1), columns[:, :, e])
                masks[:, :, e] = torch.where(chosen[..., None], allowed, masks[:, :, e])
        return Walk(columns, masks)

    def _allowed(self, betas: Tensor, columns: Tensor, e: int, *, adding: bool) -> Tensor:
        """What an edge may become where edges of β have these states now [B, n, 3]."""
        if adding:
            return self._adding[self._kinds(betas, columns) @ _KIND_WEIGHTS][:, :, e]
        before = self._code(self.current[betas])
        allowed = self._removing[self._origin[before][:, None].expand(columns.shape[:-1]), self._code(columns)][:, :, e]
        stays = one_hot(columns[:, :, e], len(_STATES)).bool()
        return torch.where(self._active[before, e][:, None, None], allowed, stays)  # what β does not use stays

    @cached_property
    def legal(self) -> Tensor:
        """Whether a cell may become the α with these states by the joint check [cells, 729]."""
        return self._pairs[self._code(self.current)] & ~self._dearer

    @cached_property
    def neighbours(self) -> Tensor:
        """Positions of the cells that each cell becomes with these states [cells, 729]; its own where illegal."""
        columns = self.combinations[None].expand(len(self.cells), -1, -1)
        own = torch.arange(len(self.cells))[:, None]
        return torch.where(self.legal, self.alphas(torch.arange(len(self.cells)), columns), own)

    @cached_property
    def costs(self) -> Tensor:
        """Parameters and MAdds of each cell with these states, as `cost` counts them [cells, 729, 2]."""
        single = {
            op: next(edge.operation for edge in self._template(op).topology.edges if edge.operation) for op in OPS[2:]
        }
        table = [(0, 0), (0, 0), *((op.params, op.madds or 0) for op in single.values())]
        of_edges = torch.tensor(table, dtype=torch.float64)[self.ops]  # [cells, EDGES, 2]
        working = self._active & (self.combinations == _O)
        return torch.einsum("ce,bek->bck", working.double(), of_edges)

    @cached_property
    def own_costs(self) -> Tensor:
        """Parameters and MAdds of each cell as it is [cells, 2]."""
        return self.costs[torch.arange(len(self.cells)), self._code(self.current)]

    @cached_property
    def combinations(self) -> Tensor:
        """Column of each edge [729, EDGES]."""
        return torch.from_numpy(np.arange(_COMBINATIONS)[:, None] // _STATE_WEIGHTS % len(_STATES))

    @cached_property
    def signatures(self) -> list[str]:
        """A text that is equal for cells that are equal after null propagation."""
        active = np.stack([self._flows[c].active for c in self._code(self.current).tolist()])
        ops = np.where(active, self.ops.numpy(), 0)
        return ["".join(map(str, row)) for row in ops.tolist()]

    @property
    def broken(self) -> NDArray[np.bool_]:
        """Cells whose output does not depend on their input [cells]."""
        return np.array([self._flows[c].broken is not None for c in self._code(self.current).tolist()])

    # What depends on states alone, from natonnx.architecture

    def _code(self, columns: Tensor) -> Tensor:
        return columns @ torch.from_numpy(_STATE_WEIGHTS)

    def _template(self, op: str) -> Architecture:
        return nasbench201_cell(_text([op] * EDGES))

    @cached_property
    def _with_states(self) -> list[Architecture]:
        template = self._template("nor_conv_3x3")
        return [template.with_states(tuple(_STATES[column] for column in row)) for row in self.combinations.tolist()]

    @cached_property
    def _flows(self) -> list[Flow]:
        return list(map(flow, self._with_states))

    @cached_property
    def _active(self) -> Tensor:
        """Whether each edge carries anything [729, EDGES]."""
        return torch.from_numpy(np.array([one.active for one in self._flows]))

    @cached_property
    def _origin(self) -> Tensor:
        """By state combination: which maps are alive, as a number; the walk depends on β by this alone [729]."""
        lives = [tuple(one.live.tolist()) for one in self._flows]
        kinds = {live: i for i, live in enumerate(sorted(set(lives)))}
        return torch.tensor([kinds[live] for live in lives])

    def _kinds(self, betas: Tensor, columns: Tensor) -> Tensor:
        """0 to 4 an edge: convolution, pooling, skip, null, null that has become a skip [B, n, EDGES]."""
        before = self.current[betas][:, None].expand_as(columns)
        pooling = (self.ops[betas] == OPS.index("avg_pool_3x3"))[:, None].expand_as(columns)
        kinds = torch.where(before == _O, pooling.long(), torch.where(before == _S, 2, 3))
        return torch.where((before == _N) & (columns == _S), 4, kinds)

    @cached_property
    def _adding(self) -> Tensor:
        """What each edge may become while null edges are decided, by the edges' kinds [5 ** EDGES, EDGES, 3]."""
        masks = []
        for code in range(5**EDGES):
            kinds = code // _KIND_WEIGHTS.numpy() % 5
            beta = nasbench201_cell(_text([_KIND_OPS[kind] for kind in kinds]))
            states = zip(kinds.tolist(), beta.states, strict=True)
            alpha = beta.with_states(tuple(State.S if kind == 4 else state for kind, state in states))
            masks.append(transition_mask(alpha, flow(beta)))
        return torch.from_numpy(np.array(masks))

    @cached_property
    def _removing(self) -> Tensor:
        """What each edge may become afterwards, by β's kind of origin and the states so far [origins, 729, EDGES, 3].

        Whether an operation or a skip may go does not depend on what it costs.
        """
        first = {kind: self._flows[c] for c, kind in reversed(list(enumerate(self._origin.tolist())))}
        masks = [[transition_mask(alpha, first[kind]) for alpha in self._with_states] for kind in sorted(first)]
        return torch.from_numpy(np.array(masks))

    @cached_property
    def _pairs(self) -> Tensor:
        """Whether states may become other states, cost left aside [729, 729]."""
        allowed = torch.tensor([[b is a or a in ALLOWED[b] for a in _STATES] for b in _STATES])
        before, after = self.combinations[:, None], self.combinations[None]
        may_change = self._active | (self.combinations == _N)
        edges = allowed[before, after] & ((before == after) | may_change[:, None])
        broken = torch.tensor([one.broken is not None for one in self._flows])
        legal = edges.all(-1) & ~broken[None]
        legal.fill_diagonal_(True)
        return legal

    @cached_property
    def _dearer(self) -> Tensor:
        return (self.costs > self.own_costs[:, None]).any(-1)


def _ops(cell: str) -> list[int]:
    words = cell.replace("|+|", "|").strip("|").split("|")
    return [OPS.index(word.partition("~")[0]) for word in words]


def _text(ops: Sequence[str]) -> str:
    a, b, c, d, e, f = ops
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"
