"""Look-ups: what is known of how good architectures are, each asked for once, and how many more may be."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from natonnx.architecture import Architecture
from natonnx.search.keys import signature
from natonnx.search.price import Price

__all__ = ["Entry", "Lookups"]


class Entry(NamedTuple):
    """An architecture that was looked up.

    Attributes:
        architecture: α.
        score: How good it is; the higher the better.
        share: Its cost, as a fraction of β's.
    """

    architecture: Architecture
    score: float
    share: float


class Lookups:
    """Scores of architectures, remembered by what they compute.

    Args:
        beta: The given architecture.
        price: What architectures cost.
        score: A look-up: how good an architecture is, the higher the better.
        limit: How many there may be; β's own does not count.
        stop: Whether to stop before that, such as for a time budget.
    """

    def __init__(
        self,
        beta: Architecture,
        price: Price,
        score: Callable[[Architecture], float],
        limit: int,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.beta, self.price = beta, price
        self._score, self._limit, self._stop = score, limit, stop
        self._entries: dict[str, Entry] = {}

    @property
    def left(self) -> int:
        """How many more there may be."""
        return 0 if self._stop() else max(0, self._limit - self.used)

    @property
    def used(self) -> int:
        """How many there were."""
        return len(self._entries.keys() - {signature(self.beta)})

    @property
    def entries(self) -> Mapping[str, Entry]:
        """All that is known, β included where it was asked for, by `signature`."""
        return self._entries

    def knows(self, alpha: Architecture) -> bool:
        """Tell whether an architecture was looked up, or another one that computes the same."""
        return signature(alpha) in self._entries

    def score(self, alpha: Architecture) -> float:
        """Return how good an architecture is; a look-up where it is not known yet.

        Raises:
            RuntimeError: If no look-up is left; ask `left` first.
        """
        text = signature(alpha)
        if text not in self._entries:
            if not self.left and text != signature(self.beta):
                raise RuntimeError("no look-up is left")
            self._entries[text] = Entry(alpha, self._score(alpha), self.share(alpha))
        return self._entries[text].score

    def share(self, alpha: Architecture) -> float:
        """Return the cost of an architecture, as a fraction of β's."""
        return self.price.cost(alpha) / (self.price.full or 1.0)

    def within(self, target: float) -> list[Entry]:
        """Return the α's that cost no more than a fraction of β, best first; equally good ones by cost."""
        own = signature(self.beta)
        found = [entry for text, entry in self._entries.items() if text != own and entry.share <= target]
        return sorted(found, key=lambda entry: (-entry.score, entry.share))
