"""A journal as an executor: a search posts its tasks, and whoever sees it carries them out, the search included."""

import time
from collections.abc import Sequence
from typing import Any

from natonnx.search.parallel.executor import Spread
from natonnx.search.parallel.journal import Journal
from natonnx.search.parallel.tasks import KINDS, Begin, Settle, Task, Train
from natonnx.search.parallel.worker import Worker
from natonnx.search.progress import Stage

__all__ = ["JournalExecutor", "carry_out"]

_POLL = 0.1
"""Seconds between two looks at the journal."""


class JournalExecutor(Spread):
    """Spreads tasks over the processes that work on a journal.

    Args:
        journal: Where tasks are posted.
        run: The search.
        worker: Carries out what no other process does.
    """

    def __init__(self, journal: Journal, run: str, worker: Worker) -> None:
        super().__init__(worker)
        self._journal, self._run = journal, run
        self._used: list[str] = []

    @property
    def width(self) -> int:
        """See `Executor.width`: as many as there are processes now."""
        return 1 + self._journal.others()

    def map(self, tasks: Sequence[Task], stage: Stage | None = None) -> list[dict[str, Any]]:
        """See `Executor.map`."""
        journal, names = self._journal, [task.digest(self._run) for task in tasks]
        given = dict(zip(names, tasks, strict=True))
        journal.post(self._run, {name: (type(task).__name__, task.plain()) for name, task in given.items()})
        own: dict[str, dict[str, Any]] = {}
        while any(journal.tasks[name].result is None for name in names):
            name = journal.claim(self._run)
            if name is None:
                time.sleep(_POLL)
                journal.refresh()
                continue
            task = given.get(name)
            own[name] = carry_out(journal, name, self._worker, stage if task is not None else None)
        found = [own.get(name) or self._result(name) for name in names]
        for name, task, result in zip(names, tasks, found, strict=True):
            if name not in own:
                self._worker.looker.images += result.get("images", 0)
                if stage is not None and isinstance(task, Train):
                    stage.advance(by=result["state"]["images"] - (task.state or {"images": 0})["images"])
        if any(isinstance(task, Train | Settle | Begin) for task in tasks):
            self._forget(names)
        return found

    def _result(self, name: str) -> dict[str, Any]:
        result = self._journal.tasks[name].result
        assert result is not None, "it was waited for"
        return self._journal.get(result)

    def _forget(self, names: Sequence[str]) -> None:
        """Remove the weights that tasks before the last ones held and returned."""
        tasks = [self._journal.tasks[name] for name in self._used if name in self._journal.tasks]
        self._journal.drop(*(digest for task in tasks for digest in (task.content, task.result) if digest))
        self._used = list(names)


def carry_out(journal: Journal, name: str, worker: Worker, stage: Stage | None = None) -> dict[str, Any]:
    """Carry out a task that was claimed, and tell the journal what it returned."""
    entry = journal.tasks[name]
    result = KINDS[entry.kind](**journal.get(entry.content)).run(worker, stage)
    journal.finish(name, result)
    return result
