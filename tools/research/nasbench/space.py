"""All 15,625 cells at once: which α's each may become, by the same rules as any model's, in arrays.

The topology is one and the same, so what null propagation and the single transitions' legality depend on is the states
of six edges: 729 combinations. `natonnx.architecture` is asked once for each, and indexing does the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import dgl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from natonnx.architecture import (
    LETTERS,
    Architecture,
    Edge,
    Liveness,
    Operation,
    Skip,
    find_liveness,
    transition_mask,
)
from natonnx.policy.base import log_probability
from natonnx.policy.encode import encode, encode_choices
from natonnx.policy.graph import Graph, edge_graph
from tools.research.cells import links, nasbench201_cell

__all__ = ["EDGES", "OPS", "Space", "Walk"]

EDGES = 6
OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
_LINK_OPS = ("null", *OPS[1:])
_STATES = LETTERS
_O, _S, _N = range(3)
_COMBINATIONS = len(_STATES) ** EDGES
_STATE_WEIGHTS = len(_STATES) ** np.arange(EDGES)
_OP_WEIGHTS = len(OPS) ** np.arange(EDGES)
_KIND_OPS = ("nor_conv_3x3", "avg_pool_3x3", "skip_connect", "none")
_EDGE = Edge("an operation's", "0", "1", Operation("Conv"), Skip(4))
_TRANSITIONS = torch.tensor([[b == a or a in _EDGE.successors[b] for a in _STATES] for b in _STATES])
_KIND_WEIGHTS = torch.tensor(len(_KIND_OPS)) ** torch.arange(EDGES)


@dataclass(frozen=True)
class Walk:
    """α's drawn for B β's, n each.

    Attributes:
        columns: State that each edge takes [B, n, EDGES].
        masks: What it could choose from [B, n, EDGES, 3].
        alphas: Positions of the cells that come of it, choices without effect undone [B, n].
    """

    columns: Tensor
    masks: Tensor
    alphas: Tensor

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Log π of each α, given each β's logits [B, EDGES, 3] → [B, n]."""
        return log_probability(logits[:, None].expand(*self.masks.shape), self.masks, self.columns)


class Space:
    """The cells of a table, by position.

    Args:
        cells: NAS-Bench-201 strings, each once.
    """

    def __init__(self, cells: Sequence[str]) -> None:
        self.cells = tuple(cells)
        self.architectures = tuple(map(nasbench201_cell, cells))
        self._graphs: dict[int, Graph] = {}
        ops = np.array([[_LINK_OPS.index(link.op) for link in links(one)] for one in self.architectures])
        self.ops = torch.from_numpy(ops)
        self._position = np.full(len(OPS) ** EDGES, -1)
        self._position[ops @ _OP_WEIGHTS] = np.arange(len(cells))
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
    def choices(self) -> Tensor:
        """`encode_choices` of every cell [cells, EDGES, width, CHOICE]."""
        found = [encode_choices(architecture.topology) for architecture in self.architectures]
        return torch.from_numpy(np.stack(found))

    @cached_property
    def masks(self) -> Tensor:
        """What each edge of each cell may become [cells, EDGES, 3]."""
        every, columns = torch.arange(len(self.cells)), self.current[:, None]
        found = torch.empty(len(self.cells), EDGES, len(_STATES), dtype=torch.bool)
        for e in range(EDGES):
            for turn in range(3):
                chosen = self._turns[:, e] == turn
                found[chosen, e] = self._allowed(every, columns, e, turn)[chosen, 0]
        return found

    def alphas(self, betas: Tensor, columns: Tensor) -> Tensor:
        """Positions of the cells that β's [B] become with these states [B, n, EDGES] → [B, n]."""
        kept = self.ops[betas][:, None].expand_as(columns)
        ops = torch.where(columns == _N, 0, torch.where(columns == _S, 1, kept))
        return self.find(ops)

    def find(self, ops: Tensor) -> Tensor:
        """Positions of the cells with these operations, by `OPS` [..., EDGES] → [...]; −1 where there is none."""
        return torch.from_numpy(self._position[ops.numpy() @ _OP_WEIGHTS])

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
        columns = self.current[betas][:, None].repeat(1, samples, 1)
        masks = torch.empty(*columns.shape, len(_STATES), dtype=torch.bool)
        turns = self._turns[betas][:, None].expand(-1, samples, -1)
        for turn in range(3):
            for e in range(EDGES):
                chosen = turns[:, :, e] == turn
                allowed = self._allowed(betas, columns, e, turn)
                masked = logits[:, :, e].masked_fill(~allowed, -torch.inf)
                if count is not None:  # the Gumbel-max form of sampling from the softmax
                    masked = masked - torch.empty(masked.shape).exponential_(generator=generator).log()
                columns[:, :, e] = torch.where(chosen, masked.argmax(-1), columns[:, :, e])
                masks[:, :, e] = torch.where(chosen[..., None], allowed, masks[:, :, e])
        return Walk(columns, masks, self.alphas(betas, self._without_idle_edits(betas, columns)))

    @cached_property
    def _turns(self) -> Tensor:
        """When an edge is decided: 0 if it carries nothing, 1 if it is null, 2 otherwise [cells, EDGES]."""
        return torch.where(self.current == _N, 1, torch.where(self._active[self._code(self.current)], 2, 0))

    def _allowed(self, betas: Tensor, columns: Tensor, e: int, turn: int) -> Tensor:
        """What an edge may become in its turn, where edges of β have these states now [B, n, 3]."""
        if turn == 0:
            return _TRANSITIONS[columns[:, :, e]]
        origin = self._origin[self._code(self.current[betas])][:, None].expand(columns.shape[:-1])
        if turn == 1:
            return self._adding[origin, self._kinds(betas, columns) @ _KIND_WEIGHTS][:, :, e]
        return self._removing[origin, self._code(columns)][:, :, e]

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
        active = np.stack([self._liveness[c].active for c in self._code(self.current).tolist()])
        ops = np.where(active, self.ops.numpy(), 0)
        return ["".join(map(str, row)) for row in ops.tolist()]

    @property
    def broken(self) -> NDArray[np.bool_]:
        """Cells whose output does not depend on their input [cells]."""
        return np.array([self._liveness[c].broken is not None for c in self._code(self.current).tolist()])

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
    def _liveness(self) -> list[Liveness]:
        return list(map(find_liveness, self._with_states))

    @cached_property
    def _active(self) -> Tensor:
        """Whether each edge carries anything [729, EDGES]."""
        return torch.from_numpy(np.array([one.active for one in self._liveness]))

    @cached_property
    def _origin(self) -> Tensor:
        """By state combination: which maps are alive, as a number; the walk depends on β by this alone [729]."""
        lives = [tuple(one.live.tolist()) for one in self._liveness]
        kinds = {live: i for i, live in enumerate(sorted(set(lives)))}
        return torch.tensor([kinds[live] for live in lives])

    def _without_idle_edits(self, betas: Tensor, columns: Tensor) -> Tensor:
        """As `natonnx.architecture.without_idle_edits` [B, n, EDGES]."""
        before = self.current[betas][:, None].expand_as(columns)
        while True:
            code = self._code(columns)
            plain = torch.where(self._carries[code] | self._active[self._code(before)], columns, before)
            same = (self._active[self._code(plain)] == self._active[code]).all(-1, keepdim=True)
            plain = torch.where(same, plain, columns)
            if torch.equal(plain, columns):
                return columns
            columns = plain

    @cached_property
    def _carries(self) -> Tensor:
        """Whether each edge would carry something if it were not null [729, EDGES]."""
        ends = np.array(self.architectures[0].topology.ends)
        return torch.from_numpy(np.array([one.live[ends[:, 0]] & one.needed[ends[:, 1]] for one in self._liveness]))

    def _kinds(self, betas: Tensor, columns: Tensor) -> Tensor:
        """What edges carry now: 0 to 3, a convolution, a pooling, a skip, null [B, n, EDGES]."""
        pooling = (self.ops[betas] == OPS.index("avg_pool_3x3"))[:, None].expand_as(columns)
        return torch.where(columns == _O, pooling.long(), columns + 1)

    @cached_property
    def _adding(self) -> Tensor:
        """What edges may become while null edges are decided, by origin and kinds [origins, 4 ** EDGES, EDGES, 3]."""
        alphas = []
        for code in range(len(_KIND_OPS) ** EDGES):
            kinds = code // _KIND_WEIGHTS.numpy() % len(_KIND_OPS)
            alphas.append(nasbench201_cell(_text([_KIND_OPS[kind] for kind in kinds])))
        return self._masks_of(alphas)

    @cached_property
    def _removing(self) -> Tensor:
        """What each edge may become afterwards, by origin and states so far [origins, 729, EDGES, 3].

        Whether an operation or a skip may go does not depend on what it costs.
        """
        return self._masks_of(self._with_states)

    def _masks_of(self, alphas: Sequence[Architecture]) -> Tensor:
        """`transition_mask` by kind of origin, all of whose edges carry something [origins, alphas, EDGES, 3]."""
        first = {kind: self._liveness[c] for c, kind in reversed(list(enumerate(self._origin.tolist())))}
        origins = [replace(first[kind], active=np.ones(EDGES, bool)) for kind in sorted(first)]
        return torch.from_numpy(np.array([[transition_mask(alpha, origin) for alpha in alphas] for origin in origins]))

    @cached_property
    def _pairs(self) -> Tensor:
        """Whether states may become other states, cost left aside [729, 729]."""
        edges = _TRANSITIONS[self.combinations[:, None].expand(-1, _COMBINATIONS, -1)]
        edges = edges.gather(-1, self.combinations[None, :, :, None].expand(_COMBINATIONS, -1, -1, 1))[..., 0]
        broken = torch.tensor([one.broken is not None for one in self._liveness])
        legal = edges.all(-1) & ~broken[None]
        legal.fill_diagonal_(True)
        return legal

    @cached_property
    def _dearer(self) -> Tensor:
        return (self.costs > self.own_costs[:, None]).any(-1)


def _text(ops: Sequence[str]) -> str:
    a, b, c, d, e, f = ops
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"
