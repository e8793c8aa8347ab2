"""A price that is measured where that is worth it, and predicted elsewhere."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from natonnx.architecture import Architecture
from natonnx.search.keys import signature
from natonnx.search.price import Estimate, Followed, Repriced, single_savings

__all__ = ["Measure", "MeasuredPrice", "Predictor"]

_LEAST = 0.01
"""Of β's cost: nothing is predicted to cost less."""


class Predictor(Protocol):
    """Says what architectures cost that were not measured, as multiples of β's cost."""

    def predict(self, alpha: Architecture) -> float:
        """Return the cost that is expected."""

    def learn(self, alpha: Architecture, found: Estimate) -> None:
        """Take a measurement in."""


class Measure(NamedTuple):
    """What a price is called, what β costs, and how others are measured.

    Attributes:
        name: See `Price.name`.
        label: See `Price.label`.
        full: What β costs.
        compare: Measures architectures against β: multiples of its cost.
    """

    name: str
    label: str
    full: float
    compare: Callable[[Sequence[Architecture]], Sequence[Estimate]]


class MeasuredPrice:
    """A cost that only a measurement tells for certain, such as latency.

    An α that was measured costs what the upper end of its interval says, so that one which meets a target does so
    however the measurement came out. Any other costs what is predicted.

    Args:
        reference: β of the file's own network.
        measure: What measures.
        predictor: What predicts; it learns from every measurement.
    """

    def __init__(self, reference: Architecture, measure: Measure, predictor: Predictor) -> None:
        self._reference, self._measure, self._predictor = reference, measure, predictor
        self._own = signature(reference)
        self._found: dict[str, Estimate] = {}

    @property
    def name(self) -> str:
        """See `Price.name`."""
        return self._measure.name

    @property
    def label(self) -> str:
        """See `Price.label`."""
        return self._measure.label

    @property
    def full(self) -> float:
        """See `Price.full`."""
        return self._measure.full

    def cost(self, architecture: Architecture) -> float:
        """See `Price.cost`."""
        alpha = self._reference.with_states(architecture.states)
        text = signature(alpha)
        if text == self._own:
            return self.full
        if text in self._found:
            return self.full * self._found[text].high
        return self.full * max(_LEAST, self._predictor.predict(alpha))

    def estimate(self, architecture: Architecture) -> Estimate | None:
        """See `Price.estimate`."""
        found = self._found.get(signature(self._reference.with_states(architecture.states)))
        return None if found is None else Estimate(*(self.full * value for value in found))

    def follow(self, beta: Architecture) -> Followed:
        """See `Price.follow`."""
        return Repriced(self, beta)

    def savings(self, beta: Architecture) -> npt.NDArray[np.float64]:
        """See `Price.savings`."""
        return single_savings(self, beta)

    def settle(self, alphas: Sequence[Architecture]) -> bool:
        """See `Price.settle`."""
        asked = {signature(alpha): alpha for alpha in (self._reference.with_states(one.states) for one in alphas)}
        fresh = {text: alpha for text, alpha in asked.items() if text not in self._found}
        if not fresh:
            return False
        for alpha, found in zip(fresh.values(), self._measure.compare(list(fresh.values())), strict=True):
            self.take(alpha, found)
        return True

    def take(self, alpha: Architecture, found: Estimate) -> None:
        """Note what an architecture was measured to cost, as a multiple of β's cost; an earlier measurement is void."""
        alpha = self._reference.with_states(alpha.states)
        self._found[signature(alpha)] = found
        self._predictor.learn(alpha, found)
