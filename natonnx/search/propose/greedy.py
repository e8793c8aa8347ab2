"""Baselines: remove one thing after the other, the cheapest loss for what it saves first; alone, or several at once."""

import heapq
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from natonnx.architecture import Architecture
from natonnx.search.lookup import Lookups
from natonnx.search.propose.moves import Moves

__all__ = ["Beam", "Greedy", "loss_ratio"]

_LEAST_SAVED = 1e-9


class _Node(NamedTuple):
    moves: frozenset[int]
    architecture: Architecture
    score: float
    share: float


class Beam:
    """Beam search: of all ways to make one of the best α's so far cheaper, the best few are kept.

    It is lazy: what a transition costs by itself, or cost an α before, tells which ways are tried. Of a space
    with more than half as many transitions as there are look-ups, those that save most are tried alone.

    Args:
        width: How many α's are kept.
        tries: Ways that are looked up for each of them, at each step.
    """

    policy = None

    def __init__(self, width: int = 3, tries: int = 12) -> None:
        self._width, self._tries = width, tries

    def propose(self, lookups: Lookups, targets: Sequence[float], generator: torch.Generator) -> None:
        """See `Proposer.propose`: goes down to the smallest target, and passes the others on the way."""
        del generator
        self.explore(lookups, Moves(lookups.beta, lookups.price), min(targets))

    def explore(self, lookups: Lookups, moves: Moves, target: float) -> None:
        """Look up single transitions, then go down to a target by them.

        Args:
            lookups: What is known.
            moves: The transitions.
            target: A cost, as a fraction of β's.
        """
        lookups.score(lookups.beta)
        singles = sorted(moves.savers, key=lambda i: -moves.all[i].saved)[: max(1, lookups.left // 2)]
        lookups.score_all(moves.all[i].architecture for i in singles)
        self.descend(lookups, moves, target)

    def descend(self, lookups: Lookups, moves: Moves, target: float) -> None:
        """Go down from β to a target, as far as look-ups reach, by the transitions that were looked up alone.

        Args:
            lookups: What is known.
            moves: The transitions.
            target: A cost, as a fraction of β's.
        """
        base = lookups.score(lookups.beta)
        known = {i: lookups.entries.get(moves.signature(i)) for i in moves.savers}
        ratios = {i: loss_ratio(base, one.score, moves.all[i].saved) for i, one in known.items() if one}
        beam = [_Node(frozenset(), lookups.beta, base, 1.0)]
        while beam and lookups.left:
            found: dict[frozenset[int], _Node] = {}
            for node in beam:
                if node.share > target:
                    found.update(self._steps(node, moves, lookups, ratios))
            ranked = sorted(found.values(), key=lambda node: loss_ratio(base, node.score, 1 - node.share))
            beam = ranked[: self._width]

    def _steps(
        self, node: _Node, moves: Moves, lookups: Lookups, ratios: dict[int, float]
    ) -> dict[frozenset[int], _Node]:
        """Look up ways on from an α, likely ones first, until the best is better than the rest were expected to be."""
        waiting = [(ratio, i) for i, ratio in ratios.items() if i not in node.moves]
        heapq.heapify(waiting)
        found: dict[frozenset[int], _Node] = {}
        best: list[float] = []
        tried = 0
        while waiting and tried < self._tries:
            expected, i = heapq.heappop(waiting)
            if len(best) >= self._width and sorted(best)[self._width - 1] <= expected:
                break
            alpha = moves.compose((*node.moves, i))
            share = 1.0 if alpha is None else lookups.share(alpha)
            if alpha is None or node.share - share < _LEAST_SAVED:
                continue
            if not lookups.knows(alpha):
                if not lookups.left:
                    break
                tried += 1
                if lookups.width > 1:
                    lookups.ahead([alpha, *self._likely(node, moves, lookups, waiting)])
            score = lookups.score(alpha)
            ratios[i] = loss_ratio(node.score, score, node.share - share)
            best.append(ratios[i])
            found[node.moves | {i}] = _Node(node.moves | {i}, alpha, score, share)
        return found

    @staticmethod
    def _likely(
        node: _Node, moves: Moves, lookups: Lookups, waiting: list[tuple[float, int]]
    ) -> Iterator[Architecture]:
        """Yield the ways on that come next, if the best so far is not enough."""
        for _, i in heapq.nsmallest(lookups.width - 1, waiting):
            alpha = moves.compose((*node.moves, i))
            if alpha is not None and node.share - lookups.share(alpha) >= _LEAST_SAVED:
                yield alpha


class Greedy(Beam):
    """Lazy greedy removal (Minoux 1978): the transition that loses least for what it saves, again and again."""

    def __init__(self, tries: int = 12) -> None:
        super().__init__(1, tries)


def loss_ratio(before: float, after: float, saved: float) -> float:
    """Return what was lost for what it saved; infinite where the score is hopeless."""
    return math.inf if after == -math.inf else (before - after) / saved
