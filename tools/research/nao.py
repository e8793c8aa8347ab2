"""NAO (Luo et al. 2018): an architecture is embedded, moved up the gradient of its predicted accuracy, and decoded.

An architecture is a sequence of operations, one for each of its edges. What is decoded may hold any operation: nothing
keeps it from costing more, as in the paper that NAT is compared with it in.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["NAO", "NAORecipe", "climb", "fit"]

_STEP_SIZES = tuple(0.25 * 1.6**k for k in range(14))
"""How far an embedding is moved, a fraction of its length."""


@dataclass(frozen=True)
class NAORecipe:
    """How NAO is trained; the paper's values but for the steps.

    Attributes:
        steps: Of Adam; its rate falls to zero by a cosine.
        batch: Architectures a step.
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
    """Encoder, predictor and decoder.

    Args:
        length: Of a sequence: how many edges an architecture has.
        ops: How many operations there are.
        hidden: Width of all.
        seed: Of the initial weights.
    """

    def __init__(self, length: int, ops: int, hidden: int = 96, seed: int = 0) -> None:
        super().__init__()
        self.length, self.start = length, ops
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embed = nn.Embedding(ops + 1, hidden)
            self.encoder = nn.LSTM(hidden, hidden, batch_first=True)
            self.predictor = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))
            self.decoder = nn.LSTMCell(hidden, hidden)
            self.out = nn.Linear(2 * hidden, ops)

    def encode(self, ops: Tensor) -> Tensor:
        """Embed sequences [B, length] as a unit vector an edge [B, length, hidden]."""
        return nn.functional.normalize(self.encoder(self.embed(ops))[0], dim=-1)

    def predict(self, embedded: Tensor) -> Tensor:
        """Predict standardised accuracies [B]."""
        found: Tensor = self.predictor(embedded.mean(1))[:, 0]
        return found

    def decode(self, embedded: Tensor, ops: Tensor | None = None) -> Tensor:
        """Decode embeddings to logits of operations [B, length, ops].

        Args:
            embedded: [B, length, hidden].
            ops: What was decoded before each operation; the most probable ones where None [B, length].
        """
        hidden = cell = embedded.mean(1)
        token = torch.full((len(embedded),), self.start)
        logits = []
        for edge in range(self.length):
            hidden, cell = self.decoder(self.embed(token), (hidden, cell))
            attention = torch.softmax(torch.einsum("bh,beh->be", hidden, embedded), 1)
            context = torch.einsum("be,beh->bh", attention, embedded)
            logits.append(self.out(torch.cat([hidden, context], 1)))
            token = logits[-1].argmax(1) if ops is None else ops[:, edge]
        return torch.stack(logits, 1)


def fit(
    model: NAO,
    known: Tensor,
    targets: Tensor,
    recipe: NAORecipe,
    *,
    seed: int = 0,
    among: Tensor | None = None,
) -> list[float]:
    """Train all three together, in place.

    Args:
        model: The model.
        known: Architectures that were looked up [N, length].
        targets: What they are worth, standardised [N].
        recipe: How.
        seed: Of the batches.
        among: Architectures that the decoder learns to rebuild, which takes no look-up [M, length]; those where None.

    Returns:
        The loss at some two hundred steps.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps)
    losses = []
    for step in range(recipe.steps):
        drawn = torch.randint(len(known), (recipe.batch,), generator=generator)
        ops = known[drawn]
        embedded = model.encode(ops)
        predicted = nn.functional.mse_loss(model.predict(embedded), targets[drawn])
        if among is not None:
            ops = among[torch.randint(len(among), (recipe.batch,), generator=generator)]
            embedded = model.encode(ops)
        rebuilt = nn.functional.cross_entropy(model.decode(embedded, ops).flatten(0, 1), ops.flatten())
        loss = recipe.trade_off * predicted + (1 - recipe.trade_off) * rebuilt
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        if step % max(1, recipe.steps // 200) == 0:
            losses.append(float(loss.detach()))
    return losses


def climb(model: NAO, ops: Tensor) -> Tensor:
    """Move embeddings up the predictor's gradient, ever farther, and decode them; no look-up.

    Args:
        model: A trained one.
        ops: Architectures [B, length].

    Returns:
        The most probable architecture after each of the steps, the shortest first [B, steps, length].
    """
    start = model.encode(ops).detach().requires_grad_()
    (up,) = torch.autograd.grad(model.predict(start).sum(), start)
    up = up / up.flatten(1).norm(dim=1)[:, None, None].clamp(min=1e-12)
    length = start.detach().flatten(1).norm(dim=1)[:, None, None]
    with torch.no_grad():
        return torch.stack([model.decode(start + size * length * up).argmax(-1) for size in _STEP_SIZES], 1)
