"""Random α's within a budget, and random variations of one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from natonnx.architecture import Architecture
from natonnx.search.propose.moves import Moves

__all__ = ["EXPLORED", "Draw", "Variation"]

EXPLORED = 0.85
"""α's are looked for from this part of the target on, for cheaper ones are no better."""
_TRIES = 20
_COMPOSED = 40
"""Tries to add transitions to one α, at most."""
_CHANGES = 2.0
_TOLERANCE = 1e-9


class Draw(NamedTuple):
    """An α that was made of random transitions.

    Attributes:
        architecture: α.
        order: Transitions, as positions in `Moves.savers`, in the order in which they were drawn [savers].
        taken: How many of them were drawn; some may have been passed over.
    """

    architecture: Architecture
    order: Tensor
    taken: int


class Variation:
    """Makes α's that meet a target and cost no less than `EXPLORED` of it, where there are such.

    Transitions are drawn one after the other, without replacement, in proportion to their weights (Plackett and Luce's
    distribution over orders). One that is illegal beside those before, saves nothing more or too much is passed over.

    Args:
        moves: The transitions.
        share: The cost of an architecture, as a fraction of β's.
        generator: Source of randomness.
    """

    def __init__(self, moves: Moves, share: Callable[[Architecture], float], generator: torch.Generator) -> None:
        self._moves, self._share, self._generator = moves, share, generator

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is drawn within changes nothing of what is drawn afterwards."""
        state = self._generator.get_state()
        try:
            yield
        finally:
            self._generator.set_state(state)

    def random(self, target: float, logits: Tensor | None = None) -> Architecture | None:
        """Make an α of random transitions; None where that fails.

        Args:
            target: Highest cost, as a fraction of β's.
            logits: Logarithms of the weights of the transitions that save anything [savers]; all alike where None.
        """
        return self.complete((), target, logits)

    def mutate(self, alpha: Architecture, target: float, logits: Tensor | None = None) -> Architecture | None:
        """Undo some transitions of an α, make others, and come back to the target; None where that fails."""
        held = np.flatnonzero(self._moves.within([alpha])[0]).tolist()
        undone = set(self._some(held))
        kept = [i for i in held if i not in undone]
        if self._random() < 0.5:
            remaining = set(range(len(self._moves.all))).difference(kept)
            kept += self._some(sorted(remaining))[:1]
        return self.complete(kept, target, logits)

    def draw(self, target: float, logits: Tensor, order: Tensor | None = None) -> Draw | None:
        """Make an α once; None where that fails.

        Args:
            target: Highest cost, as a fraction of β's.
            logits: See `random`.
            order: In which transitions are taken, as positions in `Moves.savers`; drawn where None.
        """
        return self._extend((), target, self._order(logits) if order is None else order)

    def complete(
        self, held: Sequence[int], target: float, logits: Tensor | None = None, tries: int = _TRIES
    ) -> Architecture | None:
        """Make some transitions, and add random ones until the target is met; None where that fails."""
        for _ in range(tries):
            found = self._extend(held, target, self._order(logits))
            if found is not None:
                return found.architecture
        return None

    def _extend(self, held: Sequence[int], target: float, order: Tensor) -> Draw | None:
        """Add transitions in an order until an α meets the target.

        As many are added at once as are needed by what they save alone, for together they hardly ever save more; where
        they do not go together, half as many. One that saves too much is taken where nothing else meets the target.
        Some transition is made in any case: β itself is no α.
        """
        alpha = self._moves.compose(held)
        if alpha is None:
            return None
        share, taken, most, coarse = self._share(alpha), 0, len(order), None
        waiting = [self._moves.savers[i] for i in order.tolist()]
        idle = self._moves.idle(held)
        for _ in range(_COMPOSED):
            gap, added, drawn = share - target if held else max(share - target, 2 * _TOLERANCE), list[int](), taken
            while gap > _TOLERANCE and len(added) < most and drawn < len(waiting):
                if not idle[waiting[drawn]]:
                    added.append(waiting[drawn])
                    gap -= self._moves.all[added[-1]].saved
                drawn += 1
            if not added:
                break
            longer = self._moves.compose((*held, *added))
            after = share if longer is None else self._share(longer)
            if longer is not None and after < EXPLORED * target and (coarse is None or after > self._share(coarse)):
                coarse = longer
            if longer is not None and EXPLORED * target <= after < share:
                held, alpha, share, taken, most = (*held, *added), longer, after, drawn, 2 * most
                idle = self._moves.idle(held)
            elif len(added) > 1:
                most = len(added) // 2
            else:
                taken = drawn
        found = alpha if held and share <= target else coarse
        return None if found is None else Draw(found, order, taken)

    def _some(self, items: Sequence[int]) -> list[int]:
        count = 1 + int(torch.poisson(torch.tensor(_CHANGES - 1), generator=self._generator))
        order = torch.randperm(len(items), generator=self._generator)[:count]
        return [items[i] for i in order.tolist()]

    def _order(self, logits: Tensor | None) -> Tensor:
        """Draw an order of the transitions that save anything, by Gumbel's noise (Yellott 1977)."""
        uniform = torch.rand(len(self._moves.savers), generator=self._generator, dtype=torch.float64)
        noise = -torch.log(-torch.log(uniform.clamp(1e-300, 1 - 1e-16)))
        return (noise if logits is None else noise + logits.detach()).argsort(descending=True)

    def _random(self) -> float:
        return float(torch.rand((), generator=self._generator))
