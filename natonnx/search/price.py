"""What is cheap: the cost of an architecture, and what each legal transition saves."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from natonnx.architecture import Architecture, Cost, Edited, State, cost, legal_transitions

__all__ = [
    "Estimate",
    "Exact",
    "Followed",
    "Madds",
    "Params",
    "Price",
    "Repriced",
    "Together",
    "prices_of",
    "share",
    "single_savings",
]


class Estimate(NamedTuple):
    """What was measured: an estimate, and the ends of its confidence interval."""

    value: float
    low: float
    high: float


class Followed(Protocol):
    """The cost of an architecture whose edges change one after the other."""

    def change(self, edge: int, state: State) -> None:
        """Put an edge into another state."""

    def cost(self) -> float:
        """Return what the architecture costs now, that is legal; see `Price.cost`."""


class Price(Protocol):
    """What an architecture costs."""

    @property
    def name(self) -> str:
        """What it is called in payloads, such as madds."""

    @property
    def label(self) -> str:
        """What it is called in reports."""

    @property
    def full(self) -> float:
        """The cost of β."""

    def cost(self, architecture: Architecture) -> float:
        """Return the cost of an architecture of the same edges: of one that was measured, the most that it may be."""

    def estimate(self, architecture: Architecture) -> Estimate | None:
        """Return what was measured of an architecture; None where the cost is counted, or was not measured."""

    def follow(self, beta: Architecture) -> Followed:
        """Follow the cost of an architecture while its edges change: each change is priced by what is near it."""

    def savings(self, beta: Architecture) -> npt.NDArray[np.float64]:
        """Return what each legal transition of an architecture saves by itself, 0 for the others [edges, width].

        The columns are each edge's choices, meaning "becomes".
        """

    def settle(self, alphas: Sequence[Architecture]) -> bool:
        """Measure architectures whose costs are predictions only; tell whether there were any."""


class Exact:
    """What the prices have in common of which nothing is measured."""

    def estimate(self, architecture: Architecture) -> Estimate | None:
        """See `Price.estimate`: there is no measurement."""
        del architecture
        return None

    def settle(self, alphas: Sequence[Architecture]) -> bool:
        """See `Price.settle`: nothing is predicted."""
        del alphas
        return False


class _FollowedCount:
    """A count of an architecture whose edges change."""

    def __init__(self, architecture: Architecture, name: str) -> None:
        self._edited, self._name = Edited(architecture), name

    def change(self, edge: int, state: State) -> None:
        """See `Followed.change`."""
        self._edited.change(edge, state)

    def cost(self) -> float:
        """See `Followed.cost`."""
        return _count(self._edited.cost, self._name)


def _count(found: Cost, name: str) -> float:
    return float(getattr(found, name) or 0)


@dataclass(frozen=True)
class _Counted(Exact):
    """A price that is counted exactly on the file's own network.

    Attributes:
        reference: β of that network; the network that is searched may have other costs.
    """

    reference: Architecture

    name = ""
    label = ""

    @cached_property
    def full(self) -> float:
        """See `Price.full`."""
        return self.cost(self.reference)

    def cost(self, architecture: Architecture) -> float:
        """See `Price.cost`; 0 where a size is open that it depends on."""
        return _count(cost(self.reference.with_states(architecture.states)), self.name)

    def follow(self, beta: Architecture) -> Followed:
        """See `Price.follow`."""
        return _FollowedCount(self.reference.with_states(beta.states), self.name)

    def savings(self, beta: Architecture) -> npt.NDArray[np.float64]:
        """See `Price.savings`."""
        return single_savings(self, beta)


@dataclass(frozen=True)
class Madds(_Counted):
    """Multiply-adds of convolutions and of matrix products with constants, per sample."""

    name = "madds"
    label = "MAdds"


@dataclass(frozen=True)
class Params(_Counted):
    """Trainable parameters."""

    name = "params"
    label = "parameters"


@dataclass(frozen=True)
class Together(Exact):
    """Several limits in one: what is left above them, between 1 for β and the largest limit for all that keep to each.

    Attributes:
        prices: What is limited.
        limits: The most that each may be, as a fraction of β's.
    """

    prices: tuple[Price, ...]
    limits: tuple[float, ...]

    name = "together"
    label = "limits together"
    full = 1.0

    @property
    def target(self) -> float:
        """The cost of all that keep to every limit."""
        return max(self.limits)

    def cost(self, architecture: Architecture) -> float:
        """See `Price.cost`."""
        return self.join([price.cost(architecture) for price in self.prices])

    def join(self, costs: Sequence[float]) -> float:
        """Make one cost of those by each price."""
        above = most = 0.0
        for price, limit, found in zip(self.prices, self.limits, costs, strict=True):
            above += max(0.0, found / (price.full or 1.0) - limit)
            most += 1 - limit
        return self.target + (1 - self.target) * above / most if most else self.target

    def follow(self, beta: Architecture) -> Followed:
        """See `Price.follow`."""
        return _FollowedTogether(self, [price.follow(beta) for price in self.prices])

    def savings(self, beta: Architecture) -> npt.NDArray[np.float64]:
        """See `Price.savings`."""
        return single_savings(self, beta)

    def settle(self, alphas: Sequence[Architecture]) -> bool:
        """See `Price.settle`."""
        settled = [price.settle(alphas) for price in self.prices]  # each of them
        return any(settled)


class _FollowedTogether:
    """Several prices of an architecture whose edges change, in one."""

    def __init__(self, together: Together, followed: Sequence[Followed]) -> None:
        self._together, self._followed = together, followed

    def change(self, edge: int, state: State) -> None:
        """See `Followed.change`."""
        for one in self._followed:
            one.change(edge, state)

    def cost(self) -> float:
        """See `Followed.cost`."""
        return self._together.join([one.cost() for one in self._followed])


class Repriced:
    """An architecture whose edges change, priced anew as a whole each time.

    Args:
        price: What prices it.
        architecture: The architecture at first.
    """

    def __init__(self, price: Price, architecture: Architecture) -> None:
        self._price, self._architecture, self._states = price, architecture, list(architecture.states)

    def change(self, edge: int, state: State) -> None:
        """See `Followed.change`."""
        self._states[edge] = state

    def cost(self) -> float:
        """See `Followed.cost`."""
        return self._price.cost(self._architecture.with_states(tuple(self._states)))


def share(price: Price, architecture: Architecture) -> float:
    """Return the cost of an architecture as a fraction of β's."""
    return price.cost(architecture) / (price.full or 1.0)


def single_savings(price: Price, beta: Architecture) -> npt.NDArray[np.float64]:
    """Return what each legal transition saves by itself, each applied and priced; see `Price.savings`."""
    saved = np.zeros((len(beta.states), beta.topology.width))
    full, followed = price.cost(beta), price.follow(beta)
    for edge, verdict in enumerate(legal_transitions(beta)):
        for state, reason in verdict.items():
            if reason is None:
                followed.change(edge, state)
                saved[edge, beta.topology.edges[edge].columns[state]] = full - followed.cost()
                followed.change(edge, beta.states[edge])
    return saved


def prices_of(reference: Architecture) -> tuple[Price, ...]:
    """Return what architectures of a network cost: by multiply-adds and then by parameters, as far as β has any."""
    prices: tuple[Price, ...] = (Madds(reference), Params(reference))
    return tuple(price for price in prices if price.full) or prices
