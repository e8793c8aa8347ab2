"""All 15,625 cells at once: which α's each may become, by the same rules as any model's, in arrays.

The topology is one and the same, so what null propagation and the single transitions' legality depend on is the states
of six edges, whatever operation they carry: 729 combinations. `natonnx.architecture` is asked once for each, and
indexing does the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from natonnx.architecture import LETTERS, Architecture, Liveness, find_liveness, transition_mask
from natonnx.policy.base import log_probability
from natonnx.policy.encode import OF_OPERATION, encode, encode_choices
from natonnx.policy.graph import Graph, edge_graph, joined
from tools.research.cells import Transitions, nasbench201_cell, nasbench201_ops

__all__ = ["EDGES", "OPS", "Space", "Walk"]

EDGES = 6
OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
_O, _S, _N = range(len(LETTERS))
_COMBINATIONS = len(LETTERS) ** EDGES
_STATE_WEIGHTS = len(LETTERS) ** np.arange(EDGES)
_OP_WEIGHTS = len(OPS) ** np.arange(EDGES)
_KIND_OPS = ("nor_conv_3x3", "skip_connect", "none")
_KINDS = torch.tensor([2, 1, 0, 0, 1])
"""Position in those of each of `OPS`: what may come back to life hangs on whether it costs anything."""
_KIND_WEIGHTS = torch.tensor(len(_KIND_OPS)) ** torch.arange(EDGES)


@dataclass(frozen=True)
class Walk:
    """α's drawn for B β's, n each.

    Attributes:
        columns: Choice that each edge takes [B, n, EDGES].
        masks: What it could choose from [B, n, EDGES, width].
        alphas: Positions of the cells that come of it, choices without effect undone [B, n].
    """

    columns: Tensor
    masks: Tensor
    alphas: Tensor

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Log π of each α, given each β's logits [B, EDGES, width] → [B, n]."""
        return log_probability(logits[:, None].expand(*self.masks.shape), self.masks, self.columns)


class Space:
    """The cells of a table, by position.

    Args:
        cells: NAS-Bench-201 strings, each once.
        transitions: Whether operations may become cheaper ones.
    """

    def __init__(self, cells: Sequence[str], transitions: Transitions = "nat") -> None:
        self.cells, self.transitions = tuple(cells), transitions
        self._graphs: dict[int, Graph] = {}
        ops = np.array([[OPS.index(op) for op in nasbench201_ops(cell)] for cell in cells])
        self.ops = torch.from_numpy(ops)
        self._position = np.full(len(OPS) ** EDGES, -1)
        self._position[ops @ _OP_WEIGHTS] = np.arange(len(cells))
        self.current = torch.from_numpy(np.where(ops == 0, _N, np.where(ops == 1, _S, _O)))
        """Column of each edge's state [cells, EDGES]."""
        self.width = max(architecture.topology.width for architecture in self._each_op)
        """Of the masks: the most choices that an edge has."""

    def graph(self, count: int) -> Graph:
        """The graph of `count` cells at once; kept, since batches have few sizes."""
        if count not in self._graphs:
            self._graphs[count] = joined([edge_graph(self._each_op[0].topology)] * count)
        return self._graphs[count]

    @cached_property
    def features(self) -> Tensor:
        """`encode` of every cell [cells, EDGES, FEATURES]."""
        codes = self._code(self.current)
        of_states = np.stack([encode(one) for one in _states().architectures])
        found = torch.from_numpy(of_states)[codes]
        of_ops = torch.from_numpy(np.stack([encode(one)[0, OF_OPERATION] for one in self._each_op]))
        working = _states().active[codes]
        operations = of_ops[torch.where(working, self.ops, OPS.index("none"))]
        spent = self._each_cost[self.ops] * working[..., None]
        operations[..., -2:] = (spent / spent.sum(1, keepdim=True).clamp(min=1e-9)).float()
        found[..., OF_OPERATION] = operations
        found[..., -len(LETTERS) :] = self.masks[..., : len(LETTERS)].float()
        found[..., -len(LETTERS)] = self.masks[..., [0, *range(len(LETTERS), self.width)]].any(-1).float()
        return found

    @cached_property
    def choices(self) -> Tensor:
        """`encode_choices` of every cell [cells, EDGES, width, CHOICE]."""
        of_ops = [encode_choices(architecture.topology)[0] for architecture in self._each_op]
        table = np.zeros((len(OPS), self.width, of_ops[0].shape[-1]), np.float32)
        for row, found in zip(table, of_ops, strict=True):
            row[: len(found)] = found
        return torch.from_numpy(table)[self.ops]

    @cached_property
    def masks(self) -> Tensor:
        """What each edge of each cell may become [cells, EDGES, width]."""
        every, columns = torch.arange(len(self.cells)), self.current[:, None]
        found = torch.empty(len(self.cells), EDGES, self.width, dtype=torch.bool)
        for e in range(EDGES):
            for turn in range(3):
                chosen = self._turns[:, e] == turn
                found[chosen, e] = self._allowed(every, columns, e, turn)[chosen, 0]
        return found

    def alphas(self, betas: Tensor, columns: Tensor) -> Tensor:
        """Positions of the cells that β's [B] become with these choices [B, n, EDGES] → [B, n]."""
        return self.find(self._made[self.ops[betas][:, None], columns])

    def find(self, ops: Tensor) -> Tensor:
        """Positions of the cells with these operations, by `OPS` [..., EDGES] → [...]; −1 where there is none."""
        return torch.from_numpy(self._position[ops.numpy() @ _OP_WEIGHTS])

    def walk(self, betas: Tensor, logits: Tensor, count: int | None, generator: torch.Generator) -> Walk:
        """Draw α's as `natonnx.policy.base.draw` does: one edge after the other, legal after those before it.

        Args:
            betas: Positions [B].
            logits: Scores with the prior [B, EDGES, width].
            count: α's a β; None for the most probable one.
            generator: Source of randomness.
        """
        samples = count or 1
        logits = logits.detach()[:, None].expand(-1, samples, -1, -1)
        columns = self.current[betas][:, None].repeat(1, samples, 1)
        masks = torch.empty(*columns.shape, self.width, dtype=torch.bool)
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
        return torch.where(self.current == _N, 1, torch.where(_states().active[self._code(self.current)], 2, 0))

    def _allowed(self, betas: Tensor, columns: Tensor, e: int, turn: int) -> Tensor:
        """What an edge may become in its turn, where edges of β have become these by then [B, n, width]."""
        exists = self._exists[self.ops[betas, e]][:, None].expand(*columns.shape[:-1], -1)
        if turn == 0:
            return exists
        origin = _states().origin[self._code(self.current[betas])][:, None].expand(columns.shape[:-1])
        if turn == 1:
            kinds = _KINDS[self._made[self.ops[betas][:, None], columns]]
            letters = _states().adding[origin, kinds @ _KIND_WEIGHTS][:, :, e]
        else:
            letters = _states().removing[origin, self._code(columns)][:, :, e]
        others = exists[..., len(LETTERS) :] & _states().active[self._code(columns)][..., e, None]
        return torch.cat([letters, others], -1)

    def reachable(self, betas: Tensor) -> Tensor:
        """Whether β's [B] may become each cell by the joint check, or are it [B, cells]."""
        codes, costs = self._code(self.current), self.own_costs
        found = _states().runs[codes].expand(len(betas), -1).clone()
        for e in range(EDGES):
            found &= self._becomes[self.ops[betas, e]][:, self.ops[:, e]]
        for counted in costs.T:
            found &= counted <= counted[betas, None]
        found[torch.arange(len(betas)), betas] = True
        return found

    @cached_property
    def own_costs(self) -> Tensor:
        """Parameters and MAdds of each cell as it is, as `cost` counts them [cells, 2]."""
        working = _states().active[self._code(self.current)]
        return (self._each_cost[self.ops] * working[..., None]).sum(1)

    @cached_property
    def signatures(self) -> list[str]:
        """A text that is equal for cells that are equal after null propagation."""
        ops = torch.where(_states().active[self._code(self.current)], self.ops, OPS.index("none"))
        return ["".join(map(str, row)) for row in ops.tolist()]

    @property
    def broken(self) -> NDArray[np.bool_]:
        """Cells whose output does not depend on their input [cells]."""
        return ~_states().runs[self._code(self.current)].numpy()

    # What each operation may become

    @cached_property
    def _each_op(self) -> list[Architecture]:
        """A cell of each operation alone."""
        return [nasbench201_cell(_text([op] * EDGES), transitions=self.transitions) for op in OPS]

    @cached_property
    def _each_cost(self) -> Tensor:
        """Parameters and MAdds of each operation [OPS, 2]."""
        operations = [architecture.topology.edges[0].operation for architecture in self._each_op]
        counts = [(0, 0) if one is None else (one.params, one.madds or 0) for one in operations]
        return torch.tensor(counts, dtype=torch.float64)

    @cached_property
    def _made(self) -> Tensor:
        """What an edge carries that carried an operation and made a choice [OPS, width]."""
        made = torch.arange(len(OPS))[:, None].repeat(1, self.width)
        made[:, _S], made[:, _N] = OPS.index("skip_connect"), OPS.index("none")
        for row, architecture in zip(made, self._each_op, strict=True):
            for choice in architecture.topology.edges[0].cheaper:
                row[architecture.topology.edges[0].columns[choice.state]] = OPS.index(choice.state)
        return made

    @cached_property
    def _exists(self) -> Tensor:
        """Whether there is a transition to each choice, or none is needed [OPS, width]."""
        found = torch.zeros(len(OPS), self.width, dtype=torch.bool)
        for row, architecture in zip(found, self._each_op, strict=True):
            edge, state = architecture.topology.edges[0], architecture.states[0]
            row[[edge.columns[one] for one in (state, *edge.successors[state])]] = True
        return found

    @cached_property
    def _becomes(self) -> Tensor:
        """Whether an operation may become another one, or is it [OPS, OPS]."""
        found = torch.zeros(len(OPS), len(OPS), dtype=torch.bool)
        for row, made, exists in zip(found, self._made, self._exists, strict=True):
            row[made[exists]] = True
        return found

    def _code(self, columns: Tensor) -> Tensor:
        """The combination of states, any operation being O [..., EDGES] → [...]."""
        return torch.where(columns < len(LETTERS), columns, _O) @ torch.from_numpy(_STATE_WEIGHTS)

    def _without_idle_edits(self, betas: Tensor, columns: Tensor) -> Tensor:
        """As `natonnx.architecture.without_idle_edits` [B, n, EDGES]."""
        before = self.current[betas][:, None].expand_as(columns)
        while True:
            code = self._code(columns)
            plain = torch.where(_states().carries[code] | _states().active[self._code(before)], columns, before)
            same = (_states().active[self._code(plain)] == _states().active[code]).all(-1, keepdim=True)
            plain = torch.where(same, plain, columns)
            if torch.equal(plain, columns):
                return columns
            columns = plain


class _States:
    """What depends on states alone, whatever the cells are, from natonnx.architecture."""

    @cached_property
    def architectures(self) -> list[Architecture]:
        """A cell of convolutions with each combination of states [729]."""
        template = nasbench201_cell(_text(["nor_conv_3x3"] * EDGES))
        combinations = np.arange(_COMBINATIONS)[:, None] // _STATE_WEIGHTS % len(LETTERS)
        return [template.with_states(tuple(LETTERS[column] for column in row)) for row in combinations.tolist()]

    @cached_property
    def _liveness(self) -> list[Liveness]:
        return list(map(find_liveness, self.architectures))

    @cached_property
    def runs(self) -> Tensor:
        """Whether the output depends on the input [729]."""
        return torch.tensor([one.broken is None for one in self._liveness])

    @cached_property
    def active(self) -> Tensor:
        """Whether each edge carries anything [729, EDGES]."""
        return torch.from_numpy(np.array([one.active for one in self._liveness]))

    @cached_property
    def origin(self) -> Tensor:
        """By state combination: which maps are alive, as a number; the walk depends on β by this alone [729]."""
        lives = [tuple(one.live.tolist()) for one in self._liveness]
        kinds = {live: i for i, live in enumerate(sorted(set(lives)))}
        return torch.tensor([kinds[live] for live in lives])

    @cached_property
    def carries(self) -> Tensor:
        """Whether each edge would carry something if it were not null [729, EDGES]."""
        ends = np.array(self.architectures[0].topology.ends)
        return torch.from_numpy(np.array([one.live[ends[:, 0]] & one.needed[ends[:, 1]] for one in self._liveness]))

    @cached_property
    def adding(self) -> Tensor:
        """What null edges may become while they are decided, by origin and kinds [origins, 729, EDGES, 3]."""
        alphas = []
        for code in range(len(_KIND_OPS) ** EDGES):
            kinds = code // _KIND_WEIGHTS.numpy() % len(_KIND_OPS)
            alphas.append(nasbench201_cell(_text([_KIND_OPS[kind] for kind in kinds])))
        return self._masks_of(alphas)

    @cached_property
    def removing(self) -> Tensor:
        """What each edge may become afterwards, by origin and states so far [origins, 729, EDGES, 3].

        Whether an operation or a skip may go does not depend on what it costs.
        """
        return self._masks_of(self.architectures)

    def _masks_of(self, alphas: Sequence[Architecture]) -> Tensor:
        """`transition_mask` by kind of origin, all of whose edges carry something [origins, alphas, EDGES, 3]."""
        first = {kind: self._liveness[c] for c, kind in reversed(list(enumerate(self.origin.tolist())))}
        origins = [replace(first[kind], active=np.ones(EDGES, bool)) for kind in sorted(first)]
        return torch.from_numpy(np.array([[transition_mask(alpha, origin) for alpha in alphas] for origin in origins]))


@cache
def _states() -> _States:
    """Made once a process: cells of any table and any transitions share them."""
    return _States()


def _text(ops: Sequence[str]) -> str:
    a, b, c, d, e, f = ops
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"
