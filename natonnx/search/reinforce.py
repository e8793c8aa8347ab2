"""REINFORCE: ascend E[R(α|β)] + λ·H(π(·|β)) with a leave-one-out baseline, by Adam."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from natonnx.policy.base import Policy
from natonnx.search.optimizers import Adam

__all__ = ["POINT", "Reinforce", "leave_one_out"]

_CLIP = 5.0
_MEMORY = 0.9
POINT = 0.01
"""One point of a score that is a fraction."""


class Reinforce:
    """Gradient steps on θ.

    The advantages of one β's α's are divided by their root mean square, so that the step depends neither on the
    reward's unit nor on how much there is to gain from that β. The advantage is never fed back into the baseline (the
    released code's is: docs/design/policy.md#reinforce).

    Args:
        policy: The learner.
        learning_rate: Of Adam.
        least_scale: Differences of rewards that are smaller than this are not blown up to full steps.
    """

    def __init__(self, policy: Policy, learning_rate: float, least_scale: float = POINT) -> None:
        self.policy, self._least_scale = policy, least_scale
        self.optimizer = Adam(list(policy.parameters()), learning_rate, betas=(0.9, 0.99))
        self.mean: float | None = None
        self.square: float | None = None

    def step(self, log_probabilities: Tensor, rewards: Tensor, entropy: Tensor, entropy_weight: float) -> None:
        """Take one step.

        Args:
            log_probabilities: log π(α|β), the α's of one β in the last axis [..., n].
            rewards: R of each [..., n].
            entropy: H(π(·|β)), the mean over the β's where there are several.
            entropy_weight: λ.
        """
        advantages = self._advantages(rewards)
        loss = -(advantages * log_probabilities).mean() - entropy_weight * entropy
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), _CLIP)
        self.optimizer.step()

    def _advantages(self, rewards: Tensor) -> Tensor:
        """Return advantages over the other α's of the same β; over the running mean where there are no others."""
        if rewards.shape[-1] > 1:
            found: Tensor = leave_one_out(rewards)
            found /= found.square().mean(-1, keepdim=True).sqrt().clamp(min=self._least_scale)
            return found
        baseline = float(rewards.mean()) if self.mean is None else self.mean
        gap: Tensor = rewards - baseline
        square = float(gap.square().mean())
        self.mean = _MEMORY * baseline + (1 - _MEMORY) * float(rewards.mean())
        self.square = square if self.square is None else _MEMORY * self.square + (1 - _MEMORY) * square
        gap /= max(self.square**0.5, self._least_scale)
        return gap

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {"optimizer": self.optimizer.state_dict(), "mean": self.mean, "square": self.square}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.mean, self.square = state["mean"], state["square"]


def leave_one_out(rewards: Tensor) -> Tensor:
    """Return each reward minus the mean of the others in the last axis [..., n]; they sum to zero."""
    count = rewards.shape[-1]
    if count < 2:
        return torch.zeros_like(rewards)
    return (rewards - rewards.mean(-1, keepdim=True)) * count / (count - 1)
