"""What is cheap: the cost of an architecture, and what each legal transition saves."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from natonnx.architecture import Architecture, State, cost, legal_transitions

__all__ = ["Madds", "Params", "Price", "prices_of"]


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
        """Return the cost of an architecture of the same edges."""

    def savings(self, beta: Architecture) -> npt.NDArray[np.float64]:
        """Return what each legal transition of an architecture saves by itself, 0 for the others [edges, 3].

        The columns are O, S and N, meaning "becomes".
        """


@dataclass(frozen=True)
class _Counted:
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
        """See `Price.savings`; each transition is applied and counted."""
        saved = np.zeros((len(beta.states), len(State)))
        full = self.cost(beta)
        for edge, verdict in enumerate(legal_transitions(beta)):
            for column, state in enumerate(State):
                if state in verdict and verdict[state] is None:
                    alpha = beta.with_states((*beta.states[:edge], state, *beta.states[edge + 1 :]))
                    saved[edge, column] = full - self.cost(alpha)
        return saved


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


def prices_of(reference: Architecture) -> tuple[Price, ...]:
    """Return what architectures of a network cost: by multiply-adds and then by parameters, as far as β has any."""
    prices: tuple[Price, ...] = (Madds(reference), Params(reference))
    return tuple(price for price in prices if price.full) or prices
