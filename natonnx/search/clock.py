"""Keep a search within a time budget."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Clock"]

_SEARCH_SHARE = 0.45
"""Share of the budget that Algorithm 1 may use; selection and fine-tuning need the rest."""


class Clock:
    """Measures what was used of a time budget, and what an epoch of training takes.

    Args:
        budget: Seconds; None for no limit.
        begun: When they began to count, by `time.monotonic`; now where None.
        reserve: Seconds that what follows the search will take.
        each: Seconds that the model takes for one sample, forward; None where that is not known.
    """

    def __init__(
        self, budget: float | None, begun: float | None = None, reserve: float = 0.0, each: float | None = None
    ) -> None:
        self._budget, self._reserve, self.each = budget, reserve, each
        self._started = time.monotonic() if begun is None else begun
        self._epoch_seconds: float | None = None

    @property
    def left(self) -> float | None:
        """Seconds that are left for the search, 0 at least; None without a budget."""
        if self._budget is None:
            return None
        return max(0.0, self._budget - self._reserve - (time.monotonic() - self._started))

    def search_share_used(self) -> float:
        """Return how much of Algorithm 1's share is used; 0 without a budget."""
        return 0.0 if self._budget is None else self._used() / _SEARCH_SHARE

    @contextmanager
    def training_epoch(self) -> Iterator[None]:
        """Time one pass over the training split."""
        begun = time.monotonic()
        yield
        self._epoch_seconds = time.monotonic() - begun

    def affordable_epochs(self, wanted: int, runs: int) -> int:
        """Return epochs that each of several equal runs can have in the time left: one at least, unless 0 wanted."""
        if self._budget is None or self._epoch_seconds is None or wanted == 0:
            return wanted
        left = self._budget * (1 - self._used())
        return max(1, min(wanted, int(left / (runs * self._epoch_seconds))))

    def exhausted(self) -> bool:
        """Return whether the whole budget is used."""
        return self._used() >= 1

    def _used(self) -> float:
        return 0.0 if self._budget is None else (time.monotonic() - self._started) / self._budget
