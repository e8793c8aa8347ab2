"""Progress of long work on stderr: a rich bar on a terminal, a plain line now and then elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from natonnx.search import Step

__all__ = ["ConsoleProgress"]

_SECONDS = 5.0
"""Between two lines, where there is no terminal."""


class ConsoleProgress:
    """A `natonnx.search.Progress`, and a context manager.

    Args:
        console: Where to write.
        limit: Seconds that all of it takes at most, where there is a limit: no more are said to be left.
    """

    def __init__(self, console: Console, limit: float | None = None) -> None:
        self._console, self._limit = console, float("inf") if limit is None else limit
        self._bars = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bars.add_task("", total=1, visible=False, note="")
        self._begun = self._told = self._stage_begun = time.monotonic()

    def __enter__(self) -> "ConsoleProgress":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, step: "Step") -> None:
        """Show a step; the first of a stage begins a new bar."""
        if not step.done:
            self._task = self._bars.add_task(step.stage, total=step.total, note="")
            self._stage_begun = time.monotonic()
            return
        self._bars.update(self._task, total=step.total, completed=step.done)
        if step.note:
            self._bars.update(self._task, note=step.note)
        if not self._console.is_terminal:
            self._tell(step)

    def _tell(self, step: "Step") -> None:
        """Print a line now and then, and as a stage ends."""
        now = time.monotonic()
        if step.done < step.total and now - self._told < _SECONDS:
            return
        self._told = now
        rest = (now - self._stage_begun) * (step.total - step.done) / max(1, step.done)
        rest = max(0.0, min(rest, self._limit - (now - self._begun)))
        left = f", about {rest:.0f} s left" if step.done < step.total else ""
        line = f"{step.stage} {step.done}/{step.total}  {step.note}  ({now - self._begun:.0f} s{left})"
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
