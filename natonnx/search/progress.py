"""How a search tells its caller where it is."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = ["Progress", "Stage", "Step", "silent"]


class Step(NamedTuple):
    """Where a search is.

    Attributes:
        stage: `look up`, one step an architecture; `remove`, one that greedy removal tries; `train`, one a training
            image. Of Algorithm 1: `search`, one an epoch, `select`, one an architecture that is scored, and
            `fine-tune`, one a finalist.
        done: Steps of the stage that are done; 0 as it begins.
        total: Steps that it has, as far as is known; it may need more than it foresaw.
        note: What the last step found, in words; empty where that is nothing to tell of.
        values: The same in numbers, where there are any: an epoch's row of the history, or a finalist's `score`.
    """

    stage: str
    done: int
    total: int
    note: str = ""
    values: Mapping[str, Any] = {}


Progress = Callable[[Step], object]
"""What a search reports to; `natonnx.report` has one for the terminal. What it raises ends the search."""


def silent(_step: Step) -> None:
    """Report nothing."""


class Stage:
    """A stage of a search that counts its steps.

    Args:
        progress: Told of the beginning and of every step.
        name: See `Step.stage`.
        total: Steps that it should take.
    """

    def __init__(self, progress: Progress, name: str, total: int) -> None:
        self._progress = progress
        self._step = Step(name, 0, total)
        progress(self._step)

    def expect(self, total: int) -> None:
        """Foresee another number of steps from now on."""
        self._step = self._step._replace(total=max(total, self._step.done))

    def advance(self, note: str = "", values: Mapping[str, Any] | None = None, by: int = 1) -> None:
        """Report that a step is done, or several of them."""
        stage, done, total, *_ = self._step
        self._step = Step(stage, done + by, max(total, done + by), note, values or {})
        self._progress(self._step)
