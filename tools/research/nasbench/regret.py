"""Proposers on NAS-Bench-Macro: accuracy points between what they find within a budget and the best that there is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from natonnx.architecture import Architecture
from natonnx.search.lookup import Lookups
from natonnx.search.propose import Proposer
from tools.research.nasbench.macro import FULL_DEPTH, Flops, Macro, best_within, network, text

__all__ = ["BUDGETS", "LOOK_UPS", "Regret", "Trace", "sample", "search"]

BUDGETS = (0.9, 0.8, 0.7, 0.5)
LOOK_UPS = (10, 20, 30)


@dataclass(frozen=True)
class Regret:
    """What a search on one network came to.

    Attributes:
        proposer: Its name.
        digits: The network.
        seed: Of its weights and draws.
        together: Whether the look-ups were for all budgets at once, not for this one.
        budget: Highest FLOPs, as a fraction of the network's.
        look_ups: After how many of them.
        points: Accuracy of the best α that was looked up and meets the budget, less than that of the best there is;
            None where none does.
    """

    proposer: str
    digits: str
    seed: int
    together: bool
    budget: float
    look_ups: int
    points: float | None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Trace:
    """Answers look-ups of one network from the table, and keeps their order.

    Args:
        table: The table.
        digits: The network.
    """

    def __init__(self, table: Macro, digits: str) -> None:
        self._table, self._digits = table, digits
        self.found: list[tuple[float, float]] = []

    def score(self, alpha: Architecture) -> float:
        """Return an α's accuracy in percent; β's own is no look-up."""
        key = text(self._digits, alpha)
        if key != self._digits:
            self.found.append((self._table.flops[key] / self._table.flops[self._digits], self._table.accuracy[key]))
        return self._table.accuracy[key]

    def regret(self, budget: float, look_ups: int) -> float | None:
        """Return the regret of the first look-ups at a budget; see `Regret.points`."""
        met = [accuracy for share, accuracy in self.found[:look_ups] if share <= budget]
        return best_within(self._table, self._digits, budget) - max(met) if met else None


def sample(count: int, seed: int = 0) -> list[str]:
    """Draw so many full-depth networks, each at most once."""
    order = torch.randperm(len(FULL_DEPTH), generator=torch.Generator().manual_seed(seed))
    return [FULL_DEPTH[i] for i in order[:count].tolist()]


def search(
    table: Macro, digits: str, name: str, make: Callable[[int], Proposer], seed: int, budgets: Sequence[float] = BUDGETS
) -> Iterator[Regret]:
    """Search one network: each budget by itself, and all of them together, each time with the most of `LOOK_UPS`.

    What fewer look-ups come to is read from the same search.

    Args:
        table: The table.
        digits: The network.
        name: What the proposer is called.
        make: Makes a new one, given a seed.
        seed: Of its weights and draws.
        budgets: Descending.
    """
    for targets in (*((budget,) for budget in budgets), tuple(budgets)):
        trace = Trace(table, digits)
        lookups = Lookups(network(digits), Flops(table, digits), trace.score, LOOK_UPS[-1])
        make(seed).propose(lookups, targets, torch.Generator().manual_seed(seed))
        for budget in targets:
            for count in LOOK_UPS:
                yield Regret(name, digits, seed, len(targets) > 1, budget, count, trace.regret(budget, count))
