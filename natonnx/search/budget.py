"""A cost target: a hard constraint on α, and an adapted multiplier that steers the policy to it.

Maximising E[R] + λ·H(π) subject to E[c(α)] ≤ κ has the solution π ∝ exp((R − μ·c)/λ), μ the Lagrange multiplier. So μ
enters twice, in each place by what is known there. In the logits stands τ·(what the transition saves), with τ adapted
until the α's drawn cost κ on average: wherever θ is, the samples are where they matter. In the reward stands μ itself,
the slope of R over c, estimated from the samples by regression: α is judged at equal cost, and θ learns which edges to
spend and not how many.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from natonnx.architecture import Architecture, State
from natonnx.policy.base import Policy, draw
from natonnx.search.price import Price, share

__all__ = ["EXPLORED", "Budget"]

EXPLORED = 0.8
_AIM = 0.97  # so that most α's meet the target
_SAMPLES = 16
_HALVINGS = 6
_MOST_TILT = 8.0
_STEP = 2.0
_MEMORY = 0.9


class Budget:
    """Costs of one topology's architectures, as fractions of the given model's, and the multiplier.

    Args:
        price: What architectures cost.
        target: Highest cost as a fraction of β's; None for no target. Then there is no constraint, but α's are still
            looked for down to `EXPLORED` of β's cost, where equally good and cheaper ones are.

    Attributes:
        limit: κ: what α's should cost on average now.
        tilt: τ, in logits for the largest saving of a single transition.
    """

    def __init__(self, price: Price, target: float | None) -> None:
        self._price = price
        self.target = target
        self.limit = 1.0
        self.tilt = 0.0
        self._moments = [0.0, 0.0]  # of costs within groups: variance, covariance with the reward
        self._savings: dict[tuple[State, ...], Tensor] = {}

    def share(self, architecture: Architecture) -> float:
        """Return the cost of an architecture, as a fraction of the given model's."""
        return share(self._price, architecture)

    def met_by(self, architecture: Architecture) -> bool:
        """Return whether an architecture meets the hard constraint."""
        return self.target is None or self.share(architecture) <= self.target

    def approach(self, done: float) -> None:
        """Move κ from β's own cost (done = 0) to a little below the target (done = 1)."""
        aim = EXPLORED if self.target is None else _AIM * self.target
        self.limit = 1 - (1 - aim) * done

    # In the logits

    def logits(self, beta: Architecture) -> Tensor | None:
        """Return what the multiplier adds to the policy's logits [edges, width]; None where it is inactive."""
        return self.tilt * self._saved(beta) if self.tilt else None

    def calibrate(self, policy: Policy, beta: Architecture, generator: torch.Generator) -> None:
        """Find the τ at which α's drawn from the policy cost κ on average, by bisection."""
        low, high = self._least_tilt(), _MOST_TILT
        for _ in range(_HALVINGS):
            self.tilt = (low + high) / 2
            with torch.no_grad():
                drawn = draw(policy, beta, _SAMPLES, generator, tilt=self.logits(beta)).architectures
            mean = sum(map(self.share, drawn)) / len(drawn) if drawn else 0.0
            low, high = (self.tilt, high) if mean > self.limit else (low, self.tilt)
        self.tilt = (low + high) / 2

    def adapt(self, costs: Sequence[float]) -> None:
        """Move τ by how far a group of α's misses κ, between calibrations."""
        if costs:
            self.tilt += _STEP * (sum(costs) / len(costs) - self.limit)
            self.tilt = min(_MOST_TILT, max(self._least_tilt(), self.tilt))

    def _least_tilt(self) -> float:
        """Return the least τ: below 0, which holds α's up to κ, only while cost buys reward."""
        return -_MOST_TILT if self.multiplier > 0 else 0.0

    def _saved(self, beta: Architecture) -> Tensor:
        """Return what each legal transition saves by itself, the largest saving being 1 [edges, width]."""
        if beta.states not in self._savings:
            saved = self._price.savings(beta)
            if len(self._savings) > 32:
                self._savings.clear()
            self._savings[beta.states] = torch.from_numpy(saved / max(float(saved.max(initial=0.0)), 1e-12)).float()
        return self._savings[beta.states]

    # In the reward

    @property
    def multiplier(self) -> float:
        """μ ≥ 0: how much reward all of the model's cost is worth at present."""
        variance, covariance = self._moments
        return max(0.0, covariance / variance) if variance > 1e-9 else 0.0

    def objective(self, rewards: Sequence[float], costs: Sequence[float]) -> list[float]:
        """Return the rewards of one group less μ·c, after taking the group into μ."""
        reward, spent = torch.tensor(rewards), torch.tensor(costs)
        reward, spent = reward - reward.mean(), spent - spent.mean()
        found = float(spent.square().mean()), float((spent * reward).mean())
        self._moments = [_MEMORY * old + (1 - _MEMORY) * new for old, new in zip(self._moments, found, strict=True)]
        return [r - self.multiplier * c for r, c in zip(rewards, costs, strict=True)]

    # Checkpoints

    def to_list(self) -> list[float]:
        """Return what a checkpoint holds."""
        return [self.limit, self.tilt, *self._moments]

    def load_list(self, values: Sequence[float]) -> None:
        """Restore what `to_list` gave."""
        self.limit, self.tilt, *self._moments = values
