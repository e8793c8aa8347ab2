"""The paper's baseline: random legal transitions."""

import torch
from torch import Tensor

from natonnx.policy.base import Policy, keep_prior
from natonnx.policy.graph import Graph
from natonnx.policy.registry import register_learner

__all__ = ["RandomPolicy"]


@register_learner("random")
class RandomPolicy(Policy):
    """Draws every legal transition alike, at a rate drawn anew for each α.

    The number of edits is log-uniform from one up, so that cheap and costly α's both come up.

    Args:
        edits: Of no account here.
        seed: Likewise.
        most: Edits that are expected at the highest rate; half of the edges that have a choice where None.
    """

    learns = False

    def __init__(self, *, edits: float = 1.0, seed: int = 0, most: float | None = None) -> None:
        del seed
        super().__init__(most or edits)
        self.most = most

    def forward(self, features: Tensor, choices: Tensor, graph: Graph) -> Tensor:
        """No preference: zeros."""
        del features, graph
        return torch.zeros(choices.shape[:2])

    def prior(self, mask: Tensor, current: Tensor, generator: torch.Generator) -> Tensor:
        """See `Policy.prior`."""
        editable = (mask.sum(-1) > 1).sum(-1)
        most = (editable / 2).clamp(min=2.0) if self.most is None else torch.full(editable.shape, self.most)
        return keep_prior(mask, current, most ** torch.rand(most.shape, generator=generator))
