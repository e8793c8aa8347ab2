"""Progress of long work on stderr: a rich bar on a terminal, a plain line a step elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

__all__ = ["ConsoleProgress"]


class ConsoleProgress:
    """Implements `natonnx.search.Progress`; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bars.add_task("", total=1, visible=False, note="")
        self._stage, self._done, self._total, self._begun = "", 0, 0, time.monotonic()

    def __enter__(self) -> "ConsoleProgress":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()

    def start(self, stage: str, total: int) -> None:
        """A stage begins: a new bar."""
        self._stage, self._done, self._total = stage, 0, total
        self._task = self._bars.add_task(stage, total=total, note="")

    def advance(self, note: str = "") -> None:
        """A step is done."""
        self._done += 1
        self._total = max(self._total, self._done)  # a stage may need more steps than it foresaw
        self._bars.update(self._task, total=self._total, advance=1)
        if note:
            self._bars.update(self._task, note=note)
        if not self._console.is_terminal and (note or self._done == self._total):
            elapsed = time.monotonic() - self._begun
            line = f"{self._stage} {self._done}/{self._total}  {note}  ({elapsed:.0f} s)"
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)
