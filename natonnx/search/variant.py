"""An architecture of β's edges that changes step by step: whether it is legal, and what it costs."""

from natonnx.architecture import Architecture, Edited, State, cost
from natonnx.search.price import Price

__all__ = ["Variant"]


class Variant:
    """Changes one edge after the other; each step takes what is near the edge.

    Args:
        beta: The given architecture.
        price: What architectures cost.
        start: An α of it, where the changes begin; β where None.
    """

    def __init__(self, beta: Architecture, price: Price, start: Architecture | None = None) -> None:
        self._edited, self._counts = Edited(start or beta), cost(beta)
        self._followed, self._full = price.follow(start or beta), price.full or 1.0

    @property
    def architecture(self) -> Architecture:
        """The architecture as it is now."""
        return self._edited.architecture

    @property
    def is_legal(self) -> bool:
        """Whether the architecture is legal, where every edge came to its state by a transition that exists."""
        return self._edited.is_within(self._counts)

    def state(self, edge: int) -> State:
        """The state of an edge."""
        return self._edited.states[edge]

    def change(self, edge: int, state: State) -> None:
        """Put an edge into another state."""
        self._edited.change(edge, state)
        self._followed.change(edge, state)

    def share(self) -> float:
        """Return the cost, of an architecture that is legal, as a fraction of β's."""
        return self._followed.cost() / self._full
