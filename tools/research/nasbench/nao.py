"""NAO on NAS-Bench-201: trained on cells that are looked up, it improves others without a look-up."""

import time

import torch
from torch import Tensor

from tools.research.nao import NAO, NAORecipe, climb, fit
from tools.research.nasbench.measure import Draws
from tools.research.nasbench.space import EDGES, OPS, Space
from tools.research.nasbench.training import Training

__all__ = ["improve", "make_nao", "train_nao"]

_SAMPLES = 10


def make_nao(hidden: int = 96, seed: int = 0) -> NAO:
    """Make an untrained NAO of cells, sequences of six operations."""
    return NAO(EDGES, len(OPS), hidden, seed)


def train_nao(
    model: NAO, space: Space, accuracy: Tensor, cells: Tensor, recipe: NAORecipe | None = None, *, seed: int = 0
) -> Training:
    """Train in place on cells that are looked up, each once.

    Args:
        model: The model.
        space: All cells.
        accuracy: Of every cell, a fraction; only that of `cells` is read.
        cells: Positions of the cells that are looked up.
        recipe: How; the default where None.
        seed: Of the batches.
    """
    begun = time.monotonic()
    seen = torch.zeros(len(space.cells), dtype=torch.bool)
    seen[cells] = True
    known = accuracy[cells]
    losses = fit(model, space.ops[cells], (known - known.mean()) / known.std(), recipe or NAORecipe(), seed=seed)
    return Training(len(cells), seen, time.monotonic() - begun, [(len(cells), -loss) for loss in losses])


def improve(model: NAO, space: Space, betas: Tensor) -> Draws:
    """Move the embeddings of β's [B] up the predictor's gradient, and decode them; no look-up.

    The most probable α is the first cell that is another one; where none comes out, β. The samples are what the ten
    smallest steps from there on give.
    """
    found = space.find(climb(model, space.ops[betas]))
    found = torch.where(found < 0, betas[:, None], found)
    changed = found != betas[:, None]
    steps = found.shape[1]
    first = torch.where(changed.any(1), changed.float().argmax(1), steps - 1)
    reach = (first[:, None] + torch.arange(_SAMPLES)).clamp(max=steps - 1)
    return Draws(betas, found.gather(1, first[:, None])[:, 0], found.gather(1, reach))
