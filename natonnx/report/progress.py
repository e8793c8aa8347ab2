"""Progress of long work on stderr: a rich bar on a terminal, a plain line a step elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from natonnx.search import Step

__all__ = ["ConsoleProgress"]


class ConsoleProgress:
    """A `natonnx.search.Progress`, and a context manager.

    Args:
        console: Where to write.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
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
        self._begun = time.monotonic()

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
            return
        self._bars.update(self._task, total=step.total, completed=step.done)
        if step.note:
            self._bars.update(self._task, note=step.note)
        if not self._console.is_terminal and (step.note or step.done == step.total):
            elapsed = time.monotonic() - self._begun
            line = f"{step.stage} {step.done}/{step.total}  {step.note}  ({elapsed:.0f} s)"
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)
