"""Verify the winner's file, and write it: whole or not at all."""

from dataclasses import dataclass
from pathlib import Path

from natonnx import __version__
from natonnx.frontend import Source
from natonnx.rewrite import Check, add_provenance, verify
from natonnx.rewrite.write import write_model
from natonnx.supernet import Supernet
from natonnx.tensors import has_external
from natonnx.verbs.optimize.prepare import Prepared
from natonnx.verbs.optimize.rebuild import Rebuilt

__all__ = ["Written", "verify_winner", "write_winner"]


@dataclass(frozen=True)
class Written:
    """Where the winner is.

    Attributes:
        path: None where it was not written, or there is none.
        size_bytes: Of its file and data files; None where there is none, or it was not written and has data files.
    """

    path: Path | None
    size_bytes: int | None


def verify_winner(prepared: Prepared, winner: Rebuilt) -> list[Check]:
    """Note in the file what was done to it, and check it against the supernet with the weights that were trained."""
    add_provenance(winner.model, version=__version__, source_sha256=prepared.source.sha256, edits=winner.edits)
    trained = Supernet(prepared.problem.network)
    trained.load_weights(winner.candidate.weights)
    searched = winner.candidate.architecture
    return verify(
        prepared.source.network,
        winner.alpha,
        winner.model,
        trained.as_reference(searched),
        rounded=lambda seed: trained.rounded(seed).as_reference(searched),
    )


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
