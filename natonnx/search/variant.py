"""An architecture of β's edges that changes step by step, stays legal, and is priced."""

from natonnx.architecture import Architecture, Edited, FatalMaps, State, cost
from natonnx.search.price import Price

__all__ = ["Variant"]


class Variant:
    """Tries one change of an edge after the other; each takes what is near the edge.

    Args:
        beta: The given architecture.
        price: What architectures cost.
        start: A legal α of it, where the changes begin; β where None.
    """

    def __init__(self, beta: Architecture, price: Price, start: Architecture | None = None) -> None:
        self._edited, self._counts = Edited(start or beta), cost(beta)
        self._fatal = FatalMaps(self._edited, {})
        self._followed, self._full = price.follow(start or beta), price.full or 1.0

    @property
    def architecture(self) -> Architecture:
        """The architecture as it is now."""
        return self._edited.architecture

    def state(self, edge: int) -> State:
        """The state of an edge."""
        return self._edited.states[edge]

    def attempt(self, edge: int, state: State) -> bool:
        """Put an edge into a state that it has in β or may come to from there, if that is legal; tell whether it is."""
        if state == State.N and self._starves(edge):
            return False
        before = self.state(edge)
        self._change(edge, state)
        if self._edited.is_within(self._counts):
            return True
        self._change(edge, before)
        return False

    def undo(self, edge: int, state: State) -> None:
        """Put an edge back into the state that it was in."""
        self._change(edge, state)

    def share(self) -> float:
        """Return the cost, as a fraction of β's."""
        return self._followed.cost() / self._full

    def _change(self, edge: int, state: State) -> None:
        self._fatal.update(self._edited.change(edge, state))
        self._followed.change(edge, state)

    def _starves(self, edge: int) -> bool:
        """Whether null would starve something that must live: to find that out by trying takes all that hangs on it."""
        topology, feeding = self._edited.topology, self._edited.feeding
        target = topology.ends[edge][1]
        others = any(feeding[e] for e in topology.incoming[target] if e != edge)
        return feeding[edge] and not others and target in self._fatal
