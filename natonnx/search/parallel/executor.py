"""Executors: carry out tasks in this process, or spread them over others."""

from collections.abc import Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from natonnx.search.finetune import Finetuning
from natonnx.search.keys import key
from natonnx.search.parallel.tasks import Settle, Task, Train, on_host, score_of
from natonnx.search.parallel.worker import Worker
from natonnx.search.progress import Stage
from natonnx.search.score import Score
from natonnx.search.spend import Trained

__all__ = ["Executor", "InProcess", "Spread"]


class Executor(Protocol):
    """Carries out independent parts of a search. What comes out is the same whoever carries it out."""

    @property
    def width(self) -> int:
        """How many tasks are worth giving at once; 1 where nothing is gained by it."""

    def map(self, tasks: Sequence[Task], stage: Stage | None = None) -> list[dict[str, Any]]:
        """Carry out tasks; return what each returns, in their order.

        Args:
            tasks: Independent of each other.
            stage: Told of training images.
        """

    def train(self, trainings: Sequence[Trained], until: float, stage: Stage | None = None) -> None:
        """Train each up to a part of its limit."""

    def settle(self, trainings: Sequence[Trained], samples: int) -> list[Score]:
        """Re-estimate the statistics of each on so many samples, and score it."""


class InProcess:
    """Carries tasks out one after the other.

    Args:
        worker: Carries them out.
    """

    width = 1

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def map(self, tasks: Sequence[Task], stage: Stage | None = None) -> list[dict[str, Any]]:
        """See `Executor.map`."""
        return [task.run(self._worker, stage) for task in tasks]

    def train(self, trainings: Sequence[Trained], until: float, stage: Stage | None = None) -> None:
        """See `Executor.train`."""
        for _, training in trainings:
            training.run(until, stage)

    def settle(self, trainings: Sequence[Trained], samples: int) -> list[Score]:
        """See `Executor.settle`."""
        return [self._worker.settle(training, samples) for _, training in trainings]


class Spread:
    """What executors have in common that send tasks elsewhere: trainings become tasks, and states come back.

    Args:
        worker: Carries out tasks in this process; its count of images includes what others took.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._marks: WeakKeyDictionary[Finetuning, str] = WeakKeyDictionary()

    def map(self, tasks: Sequence[Task], stage: Stage | None = None) -> list[dict[str, Any]]:
        """See `Executor.map`."""
        raise NotImplementedError

    def train(self, trainings: Sequence[Trained], until: float, stage: Stage | None = None) -> None:
        """See `Executor.train`."""
        given = [self._given(pair) for pair in trainings]
        found = self.map([Train(*one, until) for one in given], stage)
        for (_, training), result in zip(trainings, found, strict=True):
            self._take(training, result)

    def settle(self, trainings: Sequence[Trained], samples: int) -> list[Score]:
        """See `Executor.settle`."""
        found = self.map([Settle(*self._given(pair), samples) for pair in trainings])
        for (_, training), result in zip(trainings, found, strict=True):
            self._take(training, result)
        return [score_of(result) for result in found]

    def _given(self, pair: Trained) -> tuple[str, dict[str, Any], tuple[int, float | None], dict[str, Any], str]:
        start, training = pair
        state, mark = on_host(training.to_dict()), self._marks.get(training, "")
        return key(training.architecture), start.to_dict(), (*training.limit,), state, mark

    def _take(self, training: Finetuning, result: dict[str, Any]) -> None:
        training.load_dict(result["state"])
        self._marks[training] = result["mark"]
