"""Proposers on NAS-Bench-Macro: accuracy points between what they find within a budget and the best that there is."""

import functools
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch

from natonnx.architecture import Architecture
from natonnx.search.lookup import Lookups
from natonnx.search.propose import Proposer, make_proposer
from tools.research.cells import Transitions
from tools.research.nasbench.macro import FULL_DEPTH, Flops, Macro, best_within, network, read_macro, text

__all__ = ["BUDGETS", "LOOK_UPS", "Regret", "Searched", "Trace", "sample", "search", "search_all", "worth"]

BUDGETS = (0.9, 0.8, 0.7, 0.5)
LOOK_UPS = (10, 20, 30)


class Searched(NamedTuple):
    """A proposer, by name, on a full-depth network, by digits; the seed is that of its weights and draws."""

    proposer: str
    digits: str
    seed: int
    transitions: Transitions = "nat"


@dataclass(frozen=True)
class Regret:
    """What a search came to.

    Attributes:
        of: The proposer and the network.
        together: Whether the look-ups were for all budgets at once, not for this one alone.
        budget: Highest FLOPs, as a fraction of the network's.
        look_ups: After how many of them.
        points: Accuracy of the best α that was looked up and meets the budget, less than that of the best there is;
            None where none does.
    """

    of: Searched
    together: bool
    budget: float
    look_ups: int
    points: float | None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "of": list(self.of)}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> "Regret":
        """Read what `to_dict` gave."""
        return Regret(**{**data, "of": Searched(*data["of"])})


class Trace:
    """Answers look-ups of one network from the table, and keeps their order.

    Args:
        table: The table.
        digits: The network.
        transitions: Whether a 2 may become a 1.
    """

    def __init__(self, table: Macro, digits: str, transitions: Transitions) -> None:
        self._table, self._digits, self._transitions = table, digits, transitions
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
        if not met:
            return None
        return best_within(self._table, self._digits, budget, self._transitions) - max(met)


def worth(table: Macro) -> dict[float, float]:
    """Return how many points better the best by NAT++ is than that by NAT, by budget: means over all networks."""
    return {
        budget: fmean(
            best_within(table, digits, budget, "nat++") - best_within(table, digits, budget) for digits in FULL_DEPTH
        )
        for budget in BUDGETS
    }


def sample(count: int, seed: int = 0) -> list[str]:
    """Draw so many full-depth networks, each at most once."""
    order = torch.randperm(len(FULL_DEPTH), generator=torch.Generator().manual_seed(seed))
    return [FULL_DEPTH[i] for i in order[:count].tolist()]


def search(
    table: Macro, of: Searched, make: Callable[[], Proposer], budgets: Sequence[float] = BUDGETS
) -> Iterator[Regret]:
    """Search one network: each budget by itself, and all of them together, each time with the most of `LOOK_UPS`.

    What fewer look-ups come to is read from the same search.

    Args:
        table: The table.
        of: What searches what.
        make: Makes the proposer, anew for each search.
        budgets: Descending.
    """
    for targets in (*((budget,) for budget in budgets), tuple(budgets)):
        trace = Trace(table, of.digits, of.transitions)
        lookups = Lookups(network(of.digits, of.transitions), Flops(table, of.digits), trace.score, LOOK_UPS[-1])
        make().propose(lookups, targets, torch.Generator().manual_seed(of.seed))
        for budget in targets:
            for count in LOOK_UPS:
                yield Regret(of, len(targets) > 1, budget, count, trace.regret(budget, count))


def search_all(path: Path, jobs: Sequence[Searched], processes: int, done: Callable[[list[Regret]], None]) -> None:
    """Search with natonnx's proposers, by name, several searches side by side.

    Args:
        path: Of the table.
        jobs: What searches what.
        processes: How many at once.
        done: Called with the results of each job as it ends.
    """
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(_search, path, job) for job in jobs]):
            done(future.result())


def _search(path: Path, of: Searched) -> list[Regret]:
    torch.set_num_threads(1)
    return list(search(_table(path), of, lambda: make_proposer(of.proposer, seed=of.seed)))


@functools.cache
def _table(path: Path) -> Macro:
    """Read once a process."""
    return read_macro(path)
