"""Look-ups: what is known of how good architectures are, each asked for once, and how many more may be."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from natonnx.architecture import Architecture, without_idle_edits
from natonnx.search.keys import signature
from natonnx.search.price import Price, share

__all__ = ["Entry", "Lookups"]

_ROUNDS = 4
"""Tasks for each of those who carry them out at once: they wait for each other behind these."""


class Entry(NamedTuple):
    """An architecture that was looked up.

    Attributes:
        architecture: α.
        score: How good it is; the higher the better, −∞ for one that is hopeless.
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
        score: A look-up: how good an architecture is, the higher the better; not a number is as bad as −∞.
        limit: How many there may be; β's own does not count.
        stop: Whether to stop before that, such as for a time budget.
        ahead: Has several scored at once, so that `score` knows them when they are asked for; see `ahead`.
        width: Tells how many it is worth giving at once now; 1 where nothing is gained by it.
    """

    def __init__(
        self,
        beta: Architecture,
        price: Price,
        score: Callable[[Architecture], float],
        limit: int,
        stop: Callable[[], bool] = lambda: False,
        ahead: Callable[[Sequence[Architecture]], None] = lambda _alphas: None,
        width: Callable[[], int] = lambda: 1,
    ) -> None:
        self.beta, self.price = beta, price
        self._score, self._limit, self._stop = score, limit, stop
        self._ahead, self._width = ahead, width
        self._own = signature(beta)
        self._entries: dict[str, Entry] = {}

    @property
    def left(self) -> int:
        """How many more there may be; 0 once it is time to stop."""
        return 0 if self._stop() else max(0, self._limit - self.used)

    @property
    def width(self) -> int:
        """How many it is worth asking for at once now: those who help a search come and go."""
        return self._width()

    @property
    def used(self) -> int:
        """How many there were."""
        return len(self._entries) - (self._own in self._entries)

    @property
    def entries(self) -> Mapping[str, Entry]:
        """All that is known, β included where it was asked for, by `signature`."""
        return self._entries

    def knows(self, alpha: Architecture) -> bool:
        """Tell whether an architecture was looked up, or another one that computes the same."""
        return signature(alpha) in self._entries

    def score(self, alpha: Architecture) -> float:
        """Return how good an architecture is; a look-up where it is not known yet, of its form without idle edits.

        Raises:
            RuntimeError: If there were as many look-ups as there may be; ask `left` first.
        """
        text = signature(alpha)
        if text not in self._entries:
            if self.used >= self._limit and text != self._own:
                raise RuntimeError("no look-up is left")
            alpha = without_idle_edits(alpha, self.beta)
            score = self._score(alpha)
            self._entries[text] = Entry(alpha, -math.inf if math.isnan(score) else score, self.share(alpha))
        return self._entries[text].score

    def score_all(self, alphas: Iterable[Architecture]) -> None:
        """Look up architectures one after the other, as far as look-ups reach."""
        waiting = iter(alphas)
        while self.left and (some := list(islice(waiting, self._at_once()))):
            self.ahead(some[: self.left])
            for alpha in some:
                if not self.left:
                    return
                self.score(alpha)

    def _at_once(self) -> int:
        width = self.width
        return 1 if width == 1 else _ROUNDS * width

    def ahead(self, alphas: Sequence[Architecture]) -> None:
        """Have architectures scored that are likely to be asked for, where that takes no longer than one of them.

        It changes nothing of what is found, and counts for nothing until they are asked for.
        """
        unknown = {signature(alpha): alpha for alpha in alphas if not self.knows(alpha)}
        if self.width > 1 and len(unknown) > 1:
            self._ahead([without_idle_edits(alpha, self.beta) for alpha in unknown.values()])

    def share(self, alpha: Architecture) -> float:
        """Return the cost of an architecture, as a fraction of β's."""
        return share(self.price, alpha)

    def reprice(self) -> None:
        """Take the costs anew, for the price knows more."""
        self._entries = {
            text: entry._replace(share=self.share(entry.architecture)) for text, entry in self._entries.items()
        }

    def within(self, target: float) -> list[Entry]:
        """Return the α's that cost no more than a fraction of β, best first; equally good ones by cost."""
        found = [entry for text, entry in self._entries.items() if text != self._own and entry.share <= target]
        return sorted(found, key=lambda entry: (-entry.score, entry.share))

    def divide(self, targets: Sequence[float]) -> Iterator[tuple[float, int]]:
        """Give each target an equal part of the look-ups that are left by then.

        Yields:
            The target, and how many look-ups may be used in all when its part ends.
        """
        for done, target in enumerate(targets):
            yield target, self.used + -(-self.left // (len(targets) - done))
