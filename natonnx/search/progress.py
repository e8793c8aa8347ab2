"""How a search tells its caller where it is."""

from typing import Protocol

__all__ = ["Progress", "SilentProgress"]


class Progress(Protocol):
    """What a search reports to; `natonnx.report` has one for the terminal."""

    def start(self, stage: str, total: int) -> None:
        """A stage of `total` steps begins."""

    def advance(self, note: str = "") -> None:
        """A step of the stage is done."""


class SilentProgress:
    """Reports nothing."""

    def start(self, stage: str, total: int) -> None:
        """See `Progress.start`."""

    def advance(self, note: str = "") -> None:
        """See `Progress.advance`."""
