"""A reward that asks the table seldom: accuracies predicted from few cells, to train a policy on."""

import torch
from torch import Tensor, nn

from natonnx.policy.directed import DirectedGCN
from tools.research.nasbench.networks import Networks

__all__ = ["predicted_accuracies"]

_HIDDEN = 64
_LAYERS = 3
_STEPS = 1500
_BATCH = 128
_LEARNING_RATE = 2e-3
_DECAY = 1e-2
_SCALE = 0.05
"""Errors beyond five points of accuracy count linearly: a cell that does not train at all is not worth more."""


class _Predictor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = DirectedGCN(_HIDDEN, _LAYERS)
        self.head = nn.Linear(_HIDDEN, 1)

    def forward(self, space: Networks, cells: Tensor) -> Tensor:
        """Standardised accuracy of cells [B] → [B]."""
        graph = space.graph(len(cells))
        means: Tensor = self.head(graph.mean(self.body(space.features[cells].flatten(0, 1), graph)))
        return means[:, 0]


def predicted_accuracies(space: Networks, accuracy: Tensor, known: Tensor, seed: int) -> Tensor:
    """Accuracy of every cell, predicted from those of some [cells].

    Args:
        space: All cells.
        accuracy: Of every cell, a fraction; only that of `known` is read.
        known: Positions of the cells that were looked up.
        seed: Of weights and batches.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        predictor = _Predictor()
    optimizer = torch.optim.AdamW(predictor.parameters(), _LEARNING_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    middle = accuracy[known].median()
    for _ in range(_STEPS):
        cells = known[torch.randint(len(known), (_BATCH,), generator=generator)]
        wanted = (accuracy[cells] - middle) / _SCALE
        loss = nn.functional.smooth_l1_loss(predictor(space, cells), wanted)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        parts = [predictor(space, cells) for cells in torch.split(torch.arange(len(space.cells)), 625)]
    return torch.cat(parts) * _SCALE + middle
