"""The paper's baseline: random legal transitions."""

import torch
from torch import Tensor

from natonnx.architecture import Architecture
from natonnx.policy.base import Policy, keep_prior

__all__ = ["RandomPolicy"]


class RandomPolicy(Policy):
    """Draws every legal transition alike, at a rate drawn anew for each α.

    The number of edits is log-uniform from one up, so that cheap and costly α's both come up.

    Args:
        most: Edits that are expected at the highest rate; half of the edges that have a choice where None.
    """

    learns = False

    def __init__(self, *, most: float | None = None) -> None:
        super().__init__(most or 1.0)
        self.most = most

    def logits(self, architecture: Architecture) -> Tensor:
        """No preference: zeros [edges, 3]."""
        return torch.zeros(len(architecture.states), 3)

    def prior(self, mask: Tensor, current: Tensor, generator: torch.Generator) -> Tensor:
        """See `Policy.prior`."""
        most = self.most or max(2.0, float((mask.sum(1) > 1).sum()) / 2)
        edits = float(most ** torch.rand((), generator=generator))
        return keep_prior(mask, current, edits)
