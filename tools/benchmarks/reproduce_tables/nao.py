"""NAO on networks of cells: any of DARTS's operations on any link, by as many look-ups as Algorithm 1 makes.

Weights are shared and trained as Algorithm 1 trains its own, but on architectures that keep each of β's operations with
probability ½ and draw the others. As many of these as it draws α's are compared with β, on as many pictures; encoder,
predictor and decoder are trained on that, and what β becomes up the gradient is scored on all of validation.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from natonnx.data import random_shift_flip
from natonnx.search import Problem
from natonnx.search.runner import TensorBatch, tensor_batches
from tools.benchmarks.reproduce_tables.budget import Budget
from tools.benchmarks.reproduce_tables.one_shot import OneShot, operations_of, runs, with_operations
from tools.research.nao import NAO, NAORecipe, climb, fit
from tools.research.networks.genotypes import Genotype

__all__ = ["OPS", "improve"]

OPS = (
    "null",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""Those that DARTS chooses from; a link may keep its own besides."""
_RECIPE = NAORecipe(steps=400, batch=64, learning_rate=3e-3)
_REBUILT = 20_000
_MOMENTUM, _DECAY, _CLIP = 0.9, 5e-4, 5.0


def improve(problem: Problem, genotype: Genotype, channels: int, cells: int, budget: Budget, seed: int) -> Genotype:
    """Search; return what scores best on validation of all that came out, β itself not among them.

    Args:
        problem: Its data alone is used.
        genotype: β's.
        channels: Width of the first cells' nodes.
        cells: How many there are.
        budget: What may be used: pictures for weights, look-ups, how many are scored in the end.
        seed: Of all that is random.
    """
    own = operations_of(genotype)
    ops = tuple(dict.fromkeys((*OPS, *own)))
    search = _Search(problem, OneShot(genotype, OPS, channels, cells, seed), ops, budget, seed)
    beta = torch.tensor([ops.index(op) for op in own])
    known, worth = search.look_up(beta)
    model = NAO(len(beta), len(ops), seed=seed)
    targets = (worth - worth.mean()) / worth.std().clamp(min=1e-6)
    fit(model, known, targets, _RECIPE, seed=seed, among=search.draw(beta, _REBUILT))
    starts = torch.cat([beta[None], known[worth.argsort(descending=True)]])
    found: dict[tuple[str, ...], None] = {}
    for steps in climb(model, starts):  # β's first, then of the best that were looked up until there are enough
        for each in search.named(steps):
            possible = all(op in OPS or op == was for op, was in zip(each, own, strict=True))
            if len(found) < budget.evaluated and each != own and possible and runs(with_operations(genotype, each)):
                found[each] = None
    best = max(found, key=search.score)
    return with_operations(genotype, best)


class _Search:
    """Shared weights, and what they say of architectures, which are positions of operations [length]."""

    def __init__(self, problem: Problem, network: OneShot, ops: Sequence[str], budget: Budget, seed: int) -> None:
        self.problem, self.network, self.ops, self.budget = problem, network, ops, budget
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.SGD(
            network.parameters(), budget.search_rate, _MOMENTUM, weight_decay=_DECAY, nesterov=True
        )
        self.scored_on = tuple(self._batches(train=False, size=budget.reward_batch))

    def draw(self, beta: Tensor, count: int) -> Tensor:
        """Draw architectures near β [count, length]."""
        other = torch.randint(len(OPS), (count, len(beta)), generator=self.generator)
        return torch.where(torch.rand(other.shape, generator=self.generator) < 0.5, beta, other)

    def named(self, sequences: Tensor) -> list[tuple[str, ...]]:
        """The operations of architectures [n, length]."""
        return [tuple(self.ops[op] for op in each) for each in sequences.tolist()]

    def look_up(self, beta: Tensor) -> tuple[Tensor, Tensor]:
        """Train the weights, and compare architectures with β; return these [N, length] and what they gain [N]."""
        known, gains = [], []
        (own,) = self.named(beta[None])
        for _ in range(self.budget.search_epochs):
            for batch in self._batches(train=True, size=self.budget.batch):
                self._step(batch, self.named(self.draw(beta, 1))[0])
            for batch in self._batches(train=False, size=self.budget.reward_batch):
                reference = self._right(batch, own) / batch.size
                drawn = self.draw(beta, self.budget.alphas)
                known.append(drawn)
                gains += [self._right(batch, each) / batch.size - reference for each in self.named(drawn)]
        return torch.cat(known), torch.tensor(gains)

    def score(self, operations: tuple[str, ...]) -> int:
        """How many pictures of all of validation are classified rightly, in the same batches each time."""
        return sum(self._right(batch, operations) for batch in self.scored_on)

    def _batches(self, *, train: bool, size: int) -> Iterator[TensorBatch]:
        split = self.problem.train if train else self.problem.validation
        return tensor_batches(split, size, self.problem.device, self.generator)

    def _step(self, batch: TensorBatch, operations: Sequence[str]) -> None:
        (images,) = batch.inputs.values()
        images = random_shift_flip(images, self.problem.augment, self.generator)
        assert batch.targets is not None
        loss = nn.functional.cross_entropy(self.network(images, operations), batch.targets)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        self.optimizer.step()

    def _right(self, batch: TensorBatch, operations: Sequence[str]) -> int:
        """How many pictures are classified rightly, normalised by the batch's own statistics."""
        (images,) = batch.inputs.values()
        with torch.no_grad():
            found = self.network(images, operations).argmax(1)
        return int((found == batch.targets).sum())
