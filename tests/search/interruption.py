"""A search that is interrupted as it saves its state."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from natonnx.search import Problem, Settings, search
from natonnx.verbs.optimize.resume import load_checkpoint, save_checkpoint

__all__ = ["interrupted"]


class InterruptError(Exception):
    pass


def interrupted(problem: Problem, settings: Settings, path: Path, stop: int, resume: bool = False) -> bool:
    """Search until so many states were saved; return whether it was interrupted then."""
    saves = 0

    def save_and_stop(state: Mapping[str, Any]) -> None:
        nonlocal saves
        saves += 1
        save_checkpoint(path, "same", state)
        if saves == stop:
            raise InterruptError

    saved = load_checkpoint(path, "same") if resume else None
    try:
        search(problem, settings, save=save_and_stop, resume=saved)
    except InterruptError:
        return True
    return False
