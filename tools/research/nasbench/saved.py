"""Policies in files: softened, and what one says of cheaper operations trained by itself."""

from collections.abc import Mapping

import torch
from torch import Tensor

from natonnx.policy import Policy, make_policy
from natonnx.policy.pretrained import load_policy

__all__ = ["SOFTENED", "hold", "soften"]

SOFTENED = 0.2
"""What is saved has opinions, no certainties: a search on another network could hardly undo those."""
_HEAD, _CHEAPER = "head.", "head.cheaper."


def hold(policy: Policy, learner: str, source: str) -> None:
    """Give an untrained policy what was saved, at full strength, but for what it says of cheaper operations.

    That alone is left to train: of O, S and N it will say what that says, bit for bit, once it is softened.

    Args:
        policy: An untrained policy with a `Head`.
        learner: Its name.
        source: What `soften` made, "pretrained" or a file; see `load_policy`.

    Raises:
        InputError: See `load_policy`.
    """
    fresh = {name: value.clone() for name, value in policy.state_dict().items() if name.startswith(_CHEAPER)}
    load_policy(policy, learner, source)
    policy.load_state_dict({**_scaled(policy.state_dict(), 1 / SOFTENED), **fresh})
    for name, parameter in policy.named_parameters():
        parameter.requires_grad_(name.startswith(_CHEAPER))


def soften(weights: Mapping[str, Tensor], learner: str, source: str = "scratch") -> dict[str, Tensor]:
    """Return a trained policy's weights as they are saved; those that `hold` gave it and kept are as they were.

    Args:
        weights: At full strength, by name.
        learner: The policy's name.
        source: What `hold` was given, if anything was.
    """
    softened = _scaled(weights, SOFTENED)
    if source != "scratch":
        kept = make_policy(learner)
        load_policy(kept, learner, source)
        softened |= {name: value for name, value in kept.state_dict().items() if not name.startswith(_CHEAPER)}
    return softened


@torch.no_grad()
def _scaled(weights: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    return {name: scale * value if name.startswith(_HEAD) else value.clone() for name, value in weights.items()}
