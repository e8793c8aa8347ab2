"""NAO (Luo et al. 2018): an architecture is embedded, moved up the gradient of its predicted accuracy, and decoded.

Encoder, predictor and decoder are trained together on cells that were looked up. What is decoded may hold any
operation: nothing keeps it from costing more, as in the paper that NAT is compared with it in.
"""

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tools.research.nasbench.measure import Draws
from tools.research.nasbench.space import EDGES, OPS, Space
from tools.research.nasbench.training import Training

__all__ = ["NAO", "NAORecipe", "improve", "train_nao"]

_START = len(OPS)
"""Token that a sequence begins with."""
_STEP_SIZES = tuple(0.25 * 1.6**k for k in range(14))
"""How far an embedding is moved, a fraction of its length, until another cell comes out."""
_SAMPLES = 10


@dataclass(frozen=True)
class NAORecipe:
    """How NAO is trained; the paper's values but for the steps.

    Attributes:
        steps: Of Adam; its rate falls to zero by a cosine.
        batch: Cells a step.
        learning_rate: At the start.
        trade_off: λ, the predictor's share of the loss; the rest is the decoder's.
        weight_decay: Of all weights.
    """

    steps: int = 4000
    batch: int = 256
    learning_rate: float = 1e-3
    trade_off: float = 0.8
    weight_decay: float = 1e-4


class NAO(nn.Module):
    """Encoder, predictor and decoder of cells as sequences of six operations.

    Args:
        hidden: Width of all.
        seed: Of the initial weights.
    """

    def __init__(self, hidden: int = 96, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embed = nn.Embedding(len(OPS) + 1, hidden)
            self.encoder = nn.LSTM(hidden, hidden, batch_first=True)
            self.predictor = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))
            self.decoder = nn.LSTMCell(hidden, hidden)
            self.out = nn.Linear(2 * hidden, len(OPS))

    def encode(self, ops: Tensor) -> Tensor:
        """Embed cells [B, EDGES] as a unit vector an edge [B, EDGES, hidden]."""
        return nn.functional.normalize(self.encoder(self.embed(ops))[0], dim=-1)

    def predict(self, embedded: Tensor) -> Tensor:
        """Predict standardised accuracies [B]."""
        found: Tensor = self.predictor(embedded.mean(1))[:, 0]
        return found

    def decode(self, embedded: Tensor, ops: Tensor | None = None) -> Tensor:
        """Decode embeddings to logits of operations [B, EDGES, OPS].

        Args:
            embedded: [B, EDGES, hidden].
            ops: What was decoded before each operation; the most probable ones where None [B, EDGES].
        """
        hidden = cell = embedded.mean(1)
        token = torch.full((len(embedded),), _START)
        logits = []
        for edge in range(EDGES):
            hidden, cell = self.decoder(self.embed(token), (hidden, cell))
            attention = torch.softmax(torch.einsum("bh,beh->be", hidden, embedded), 1)
            context = torch.einsum("be,beh->bh", attention, embedded)
            logits.append(self.out(torch.cat([hidden, context], 1)))
            token = logits[-1].argmax(1) if ops is None else ops[:, edge]
        return torch.stack(logits, 1)


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
    recipe, begun = recipe or NAORecipe(), time.monotonic()
    generator = torch.Generator().manual_seed(seed)
    seen = torch.zeros(len(space.cells), dtype=torch.bool)
    seen[cells] = True
    known = accuracy[cells]
    targets = (accuracy - known.mean()) / known.std()
    optimizer = torch.optim.Adam(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps)
    curve = []
    for step in range(recipe.steps):
        drawn = cells[torch.randint(len(cells), (recipe.batch,), generator=generator)]
        ops = space.ops[drawn]
        embedded = model.encode(ops)
        predicted = nn.functional.mse_loss(model.predict(embedded), targets[drawn])
        rebuilt = nn.functional.cross_entropy(model.decode(embedded, ops).flatten(0, 1), ops.flatten())
        loss = recipe.trade_off * predicted + (1 - recipe.trade_off) * rebuilt
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        if step % max(1, recipe.steps // 200) == 0:
            curve.append((len(cells), -float(loss.detach())))
    return Training(len(cells), seen, time.monotonic() - begun, curve)


def improve(model: NAO, space: Space, betas: Tensor) -> Draws:
    """Move the embeddings of β's [B] up the predictor's gradient, and decode them; no look-up.

    The most probable α is the first cell that is another one; where none comes out, β. The samples are what the ten
    smallest steps from there on give.
    """
    ops = space.ops[betas]
    start = model.encode(ops).detach().requires_grad_()
    (up,) = torch.autograd.grad(model.predict(start).sum(), start)
    up = up / up.flatten(1).norm(dim=1)[:, None, None].clamp(min=1e-12)
    length = start.detach().flatten(1).norm(dim=1)[:, None, None]
    with torch.no_grad():
        found = torch.stack(
            [space.find(model.decode(start + size * length * up).argmax(-1)) for size in _STEP_SIZES], 1
        )
    found = torch.where(found < 0, betas[:, None], found)
    changed = found != betas[:, None]
    first = torch.where(changed.any(1), changed.float().argmax(1), len(_STEP_SIZES) - 1)
    reach = (first[:, None] + torch.arange(_SAMPLES)).clamp(max=len(_STEP_SIZES) - 1)
    return Draws(betas, found.gather(1, first[:, None])[:, 0], found.gather(1, reach))
