"""Proposers: what to look up next, of all α's that meet a cost target."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from natonnx.policy import make_policy
from natonnx.search.lookup import Lookups

if TYPE_CHECKING:
    import torch

    from natonnx.policy import Policy

__all__ = ["Proposer", "make_proposer"]


class Proposer(Protocol):
    """Chooses what to look up.

    Attributes:
        policy: What it learns with; None where it has none.
    """

    @property
    def policy(self) -> "Policy | None":
        """See above."""

    def propose(self, lookups: Lookups, targets: Sequence[float], generator: "torch.Generator") -> None:
        """Look up α's until no look-up is left, or nothing is left that is worth one.

        Args:
            lookups: What asks, remembers and counts. Apart from single transitions and what lies between β and the
                smallest target, nothing is looked up that meets none of the targets.
            targets: Highest costs, as fractions of β's, descending: look-ups for one inform the others.
            generator: Source of randomness.
        """


def make_proposer(name: str, *, edits: float = 3.0, seed: int = 0, policy: str = "scratch") -> Proposer:
    """Make a proposer.

    Args:
        name: One of `natonnx.policy.PROPOSERS`, or a learner of the user's: see `natonnx.policy.make_policy`.
        edits: Edges that the first α's of a policy change on average.
        seed: Of a policy's initial weights.
        policy: Where a policy starts: see `natonnx.policy.pretrained.load_policy`.

    Raises:
        InputError: If there is no such proposer, or no such policy.
    """
    from natonnx.search.propose.evolution import Evolution, RandomDraws
    from natonnx.search.propose.greedy import Beam, Greedy
    from natonnx.search.propose.learned import Learned

    match name:
        case "greedy":
            return Greedy()
        case "beam":
            return Beam()
        case "evolution":
            return Evolution()
        case "random":
            return RandomDraws()
    from natonnx.policy.pretrained import load_policy

    learned = make_policy(name, edits=edits, seed=seed)
    load_policy(learned, name, policy)
    return Learned(learned)
