"""REINFORCE: ascend E[R(α|β)] + λ·H(π(·|β)) with a leave-one-out baseline, by Adam."""

from collections.abc import Sequence

import torch
from torch import Tensor

from natonnx.policy.base import Draw, Policy

__all__ = ["Reinforce", "leave_one_out"]

_CLIP = 5.0
_MEMORY = 0.9
_LEAST_SCALE = 0.005
"""Advantages smaller than this, half a point of accuracy, are not blown up to full steps."""


class Reinforce:
    """Gradient steps on θ.

    Advantages are divided by their running root mean square, so that the step does not depend on the reward's unit.
    The advantage is never fed back into the baseline (the released code's is: facts/nat.md).

    Args:
        policy: The learner.
        learning_rate: Of Adam.
    """

    def __init__(self, policy: Policy, learning_rate: float) -> None:
        self.policy = policy
        self.optimizer = torch.optim.Adam(policy.parameters(), learning_rate, betas=(0.9, 0.99))
        self.scale: float | None = None

    def step(self, draw: Draw, rewards: Sequence[float], entropy_weight: float) -> None:
        """Take one step.

        Args:
            draw: α's of one β, with their log-probabilities.
            rewards: R of each.
            entropy_weight: λ.
        """
        advantages = leave_one_out(torch.tensor(rewards))
        square = float(advantages.square().mean())
        self.scale = square if self.scale is None else _MEMORY * self.scale + (1 - _MEMORY) * square
        advantages = advantages / max(self.scale**0.5, _LEAST_SCALE)
        loss = -(advantages * draw.log_probabilities).mean() - entropy_weight * draw.entropy
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), _CLIP)
        self.optimizer.step()


def leave_one_out(rewards: Tensor) -> Tensor:
    """Each reward minus the mean of the others [n]; they sum to zero."""
    count = len(rewards)
    if count < 2:
        return torch.zeros_like(rewards)
    return (rewards - rewards.mean()) * count / (count - 1)
