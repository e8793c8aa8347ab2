"""Policies in files: softened, and what one says of cheaper operations trained by itself."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from natonnx.policy import Policy, make_policy
from natonnx.policy.pretrained import load_policy

__all__ = ["SOFTENED", "hold", "soften"]

SOFTENED = 0.2
"""What is saved has opinions, no certainties: a search on another network could hardly undo those."""
_HEAD, _CHEAPER = "head.", "head.cheaper."


def hold(policy: Policy, learner: str, path: Path) -> None:
    """Give an untrained policy what a file holds, at full strength, but for what it says of cheaper operations.

    That alone is left to train: of O, S and N it will say what the file's says, bit for bit.

    Args:
        policy: An untrained policy with a `Head`.
        learner: Its name.
        path: What `soften` made, saved.

    Raises:
        InputError: If the file is missing, damaged or another learner's.
    """
    fresh = {name: value.clone() for name, value in policy.state_dict().items() if name.startswith(_CHEAPER)}
    load_policy(policy, learner, str(path))
    policy.load_state_dict({**_scaled(policy.state_dict(), 1 / SOFTENED), **fresh})
    for name, parameter in policy.named_parameters():
        parameter.requires_grad_(name.startswith(_CHEAPER))


def soften(weights: Mapping[str, Tensor], learner: str, start: Path | None) -> dict[str, Tensor]:
    """Return a trained policy's weights as they are saved; those that `hold` took from a file are the file's.

    Args:
        weights: At full strength, by name.
        learner: The policy's name.
        start: The file, if it began with one.
    """
    softened = _scaled(weights, SOFTENED)
    if start:
        kept = make_policy(learner)
        load_policy(kept, learner, str(start))
        softened |= {name: value for name, value in kept.state_dict().items() if not name.startswith(_CHEAPER)}
    return softened


@torch.no_grad()
def _scaled(weights: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    return {name: scale * value if name.startswith(_HEAD) else value.clone() for name, value in weights.items()}
