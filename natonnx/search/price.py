"""What is cheap: the cost of an architecture, and what each legal transition saves."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from natonnx.architecture import Architecture, State, cost, legal_transitions

__all__ = ["Estimate", "Exact", "Madds", "Params", "Price", "Together", "prices_of", "share", "single_savings"]


class Estimate(NamedTuple):
    """What was measured: an estimate, and the ends of its confidence interval."""

    value: float
    low: float
    high: float


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

    def savings(self, beta: Architecture) -> npt.NDArray[np.float64]:
        """Return what each legal transition of an architecture saves by itself, 0 for the others [edges, 3].

        The columns are O, S and N, meaning "becomes".
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
        return float(getattr(cost(self.reference.with_states(architecture.states)), self.name) or 0)

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
        above = most = 0.0
        for price, limit in zip(self.prices, self.limits, strict=True):
            above += max(0.0, share(price, architecture) - limit)
            most += 1 - limit
        return self.target + (1 - self.target) * above / most if most else self.target

    def savings(self, beta: Architecture) -> npt.NDArray[np.float64]:
        """See `Price.savings`."""
        return single_savings(self, beta)

    def settle(self, alphas: Sequence[Architecture]) -> bool:
        """See `Price.settle`."""
        settled = [price.settle(alphas) for price in self.prices]  # each of them
        return any(settled)


def share(price: Price, architecture: Architecture) -> float:
    """Return the cost of an architecture as a fraction of β's."""
    return price.cost(architecture) / (price.full or 1.0)


def single_savings(price: Price, beta: Architecture) -> npt.NDArray[np.float64]:
    """Return what each legal transition saves by itself, each applied and priced; see `Price.savings`."""
    saved = np.zeros((len(beta.states), len(State)))
    full = price.cost(beta)
    for edge, verdict in enumerate(legal_transitions(beta)):
        for column, state in enumerate(State):
            if state in verdict and verdict[state] is None:
                alpha = beta.with_states((*beta.states[:edge], state, *beta.states[edge + 1 :]))
                saved[edge, column] = full - price.cost(alpha)
    return saved


def prices_of(reference: Architecture) -> tuple[Price, ...]:
    """Return what architectures of a network cost: by multiply-adds and then by parameters, as far as β has any."""
    prices: tuple[Price, ...] = (Madds(reference), Params(reference))
    return tuple(price for price in prices if price.full) or prices
