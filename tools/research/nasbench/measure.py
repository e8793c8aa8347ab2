"""How much of what the best legal transformation gains a policy gains."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from natonnx.policy.base import Policy
from tools.research.nasbench.space import Space
from tools.research.nasbench.table import Accuracies
from tools.research.nasbench.training import logits

__all__ = ["Alphas", "Draws", "Measures", "best_alphas", "best_by_each", "choose", "measure", "transform"]

_SAMPLES = 10
_BLOCK = 512


@dataclass(frozen=True)
class Alphas:
    """What β's become: positions [B] by each way to choose.

    Attributes:
        zero_shot: The most probable α (one random α of a policy that does not learn); no look-up.
        never_worse: That one, or β where its validation accuracy is higher; two look-ups.
        best_of_samples: The best of 10 samples by validation accuracy; ten look-ups.
        both: The best of those 10, the most probable one and β.
    """

    zero_shot: Tensor
    never_worse: Tensor
    best_of_samples: Tensor
    both: Tensor


@dataclass(frozen=True)
class Measures:
    """Means over β's; accuracies in percent, on the test set.

    Attributes:
        beta: Of the β's.
        alpha: Of what they become.
        best: Of the best legal α's, chosen by validation accuracy.
        captured: Share of the gain from β to best.
        captured_good: That share over the better half of the β's by validation accuracy.
        not_worse: Share of β's whose α is no worse on the test set.
        not_worse_validation: The same on the validation set.
        params: Total parameters of the α's over those of the β's, less one.
        madds: The same for MAdds.
        dearer: Share of β's whose α has more parameters or MAdds.
    """

    beta: float
    alpha: float
    best: float
    captured: float
    captured_good: float
    not_worse: float
    not_worse_validation: float
    params: float
    madds: float
    dearer: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Draws:
    """What a policy makes of β's, no look-up yet.

    Attributes:
        betas: Positions [B].
        likely: The most probable α's; random ones of a policy that does not learn [B].
        samples: α's drawn [B, 10].
    """

    betas: Tensor
    likely: Tensor
    samples: Tensor


def transform(policy: Policy, space: Space, betas: Tensor, seed: int) -> Draws:
    """Transform β's [B] by a policy; the seed is that of the samples."""
    generator = torch.Generator().manual_seed(seed)

    def draw(count: int | None) -> Tensor:
        with torch.no_grad():
            scores = logits(policy, space, betas, generator)
            return space.walk(betas, scores, count, generator).alphas

    if not policy.learns:  # each of its α's has a rate of edits of its own
        return Draws(betas, draw(1)[:, 0], torch.cat([draw(1) for _ in range(_SAMPLES)], 1))
    likely = draw(None)
    return Draws(betas, likely[:, 0], draw(_SAMPLES) if policy.explores else likely)


def choose(draws: Draws, accuracy: Accuracies) -> Alphas:
    """Choose among a policy's α's by the validation accuracies of a data set."""
    beta, likely = draws.betas[:, None], draws.likely[:, None]
    return Alphas(
        draws.likely,
        _best(accuracy, torch.cat([beta, likely], 1)),
        _best(accuracy, draws.samples),
        _best(accuracy, torch.cat([beta, likely, draws.samples], 1)),
    )


def best_alphas(space: Space, betas: Tensor, accuracy: Accuracies) -> Tensor:
    """The best legal α of each β by validation accuracy, β itself among them [B]."""
    return best_by_each(space, betas, [accuracy])[0]


def best_by_each(space: Space, betas: Tensor, accuracies: Sequence[Accuracies]) -> list[Tensor]:
    """See `best_alphas`: by each of several data sets, what is legal found once."""
    found: list[list[Tensor]] = [[] for _ in accuracies]
    for some in torch.split(betas, _BLOCK):
        illegal = ~space.reachable(some)
        for of, accuracy in zip(found, accuracies, strict=True):
            of.append(accuracy.validation.expand(*illegal.shape).masked_fill(illegal, -torch.inf).argmax(1))
    return list(map(torch.cat, found))


def measure(space: Space, betas: Tensor, alphas: Tensor, best: Tensor, accuracy: Accuracies) -> Measures:
    """Measure what β's [B] became [B], beside the best that they could [B]; see `best_alphas`."""
    good = accuracy.validation[betas] >= accuracy.validation[betas].median()

    def mean(cells: Tensor) -> float:
        return 100 * float(accuracy.test[cells].mean())

    def captured(chosen: Tensor) -> float:
        of_beta, of_alpha, of_best = (accuracy.test[cells][chosen].mean() for cells in (betas, alphas, best))
        return float((of_alpha - of_beta) / (of_best - of_beta))

    def not_worse(of: Tensor) -> float:
        return float((of[alphas] >= of[betas]).float().mean())

    before, after = space.own_costs[betas], space.own_costs[alphas]
    params, madds = (after.sum(0) / before.sum(0) - 1).tolist()
    return Measures(
        beta=mean(betas),
        alpha=mean(alphas),
        best=mean(best),
        captured=captured(torch.ones_like(good)),
        captured_good=captured(good),
        not_worse=not_worse(accuracy.test),
        not_worse_validation=not_worse(accuracy.validation),
        params=params,
        madds=madds,
        dearer=float((after > before).any(1).float().mean()),
    )


def _best(accuracy: Accuracies, candidates: Tensor) -> Tensor:
    """By validation accuracy, the first of equals: candidates [B, n] → [B]."""
    chosen = accuracy.validation[candidates].argmax(1, keepdim=True)
    return candidates.gather(1, chosen)[:, 0]
