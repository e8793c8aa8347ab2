"""Write the winner, whole or not at all."""

from dataclasses import dataclass
from pathlib import Path

from natonnx.frontend import Source
from natonnx.rewrite.write import write_model
from natonnx.tensors import has_external
from natonnx.verbs.optimize.rebuild import Rebuilt

__all__ = ["Written", "write_winner"]


@dataclass(frozen=True)
class Written:
    """Where the winner is.

    Attributes:
        path: None where it was not written, or there is none.
        size_bytes: Of its file and data files; None where there is none, or it was not written and has data files.
    """

    path: Path | None
    size_bytes: int | None


def write_winner(source: Source, winner: Rebuilt | None, place: Path | None) -> Written:
    """Write a model and its data files.

    Args:
        source: The input model.
        winner: What to write; None for nothing.
        place: Where; None for nowhere.
    """
    if winner is None:
        return Written(None, None)
    if place is None:
        return Written(None, None if has_external(winner.model) else winner.model.ByteSize())
    files = write_model(winner.model, source.network.folder, place)
    return Written(place, sum(path.stat().st_size for path in files))
