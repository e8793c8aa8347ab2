"""`natonnx worker`: carry out what searches post to a journal."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from natonnx.errors import InputError
from natonnx.notices import NOTICE
from natonnx.search.parallel.journal import LEASE, Journal
from natonnx.search.parallel.posted import carry_out
from natonnx.search.parallel.worker import Worker
from natonnx.search.samples import Samples
from natonnx.verbs.optimize.plan import keep_held_out
from natonnx.verbs.optimize.prepare import DeviceName, torch_settings
from natonnx.verbs.optimize.recipe import follow_recipe

__all__ = ["claim_any", "work"]

_log = logging.getLogger(__name__)

_SOON, _LATE, _SLOWER = 0.1, 2.0, 1.5
"""Seconds between two looks at the journal where there is nothing to do: at first, at most, and how they grow."""


def work(
    journal: Path | str,
    *,
    data: str | None = None,
    device: DeviceName = "auto",
    threads: int | None = None,
    idle: float | None = None,
    lease: float = LEASE,
) -> int:
    """Carry out look-ups and trainings of the searches that post them to a journal, as long as there are any.

    It may be ended at any time, and by any means: what it had claimed, others carry out.

    Args:
        journal: The folder; it may not be there yet.
        data: Where the data is on this machine; where the search has it, if None.
        device: Where to compute.
        threads: CPU threads; torch's own choice where None.
        idle: Seconds without work behind which it ends; never where None.
        lease: Seconds without a sign of life behind which others carry out what this process has claimed.

    Returns:
        How many tasks were carried out.

    Raises:
        InputError: If the journal is bad, or a search's data is not here.
    """
    board, done, at_work, pause = Journal(Path(journal), lease), 0, time.monotonic(), _SOON
    ready: _Ready | None = None
    with torch_settings(threads), board.living():
        while idle is None or time.monotonic() - at_work < idle:
            board.refresh()
            if ready is None and board.runs:  # before there is work
                ready = _prepare(board, next(reversed(board.runs)), data, device)
            claimed = claim_any(board, None if ready is None else ready.run)
            if claimed is None:
                time.sleep(pause)
                pause = min(_LATE, _SLOWER * pause)
                continue
            run, name = claimed
            if ready is None or ready.run != run:
                ready = _prepare(board, run, data, device)
            try:
                carry_out(board, name, ready.worker)
            except InputError:
                board.refresh()
                task = board.tasks.get(name)
                if task is None or task.result is not None:  # the search did not wait for it
                    continue
                raise
            done, at_work, pause = done + 1, time.monotonic(), _SOON
            _log.info("carried out %s of search %s", board.tasks[name].kind if name in board.tasks else "a task", run)
    _log.log(NOTICE, "%s: %d tasks were carried out", journal, done)
    return done


def claim_any(board: Journal, first: str | None = None) -> tuple[str, str] | None:
    """Claim a task of any search, of one before all others; return the search and the task, None where none is free.

    A search that was interrupted, and waits to be resumed, keeps nobody from another one.
    """
    for run in sorted(board.runs, key=lambda run: run != first):
        name = board.claim(run)
        if name is not None:
            return run, name
    return None


@dataclass(frozen=True, eq=False)
class _Ready:
    run: str
    worker: Worker


def _prepare(board: Journal, run: str, data: str | None, device: DeviceName) -> _Ready:
    content: dict[str, Any] = board.get(board.runs[run])
    _log.log(NOTICE, "joined the search of %s", content["model"])
    prepared, settings, mark = follow_recipe(content, data, device)
    if mark != content["mark"]:
        raise InputError(
            f"{prepared.parts.name}: is not the data that the search of {content['model']} has: give the same by --data"
        )
    problem = keep_held_out(prepared, content["most"], settings.seed).problem
    return _Ready(run, Worker(problem, settings, Samples(**content["samples"])))
