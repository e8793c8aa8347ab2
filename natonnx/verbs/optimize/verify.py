"""Verify the winner's file before it is written."""

from natonnx import __version__
from natonnx.rewrite import Check, add_provenance, verify
from natonnx.supernet import Supernet
from natonnx.verbs.optimize.prepare import Prepared
from natonnx.verbs.optimize.rebuild import Rebuilt

__all__ = ["verify_winner"]


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
