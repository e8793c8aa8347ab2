"""Where tensors are, and how exact: what a kernel's operands must have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["aligned", "moved", "widened"]


def aligned(operands: Sequence[Tensor | None], host: Collection[int] = ()) -> Sequence[Tensor | None]:
    """Bring the operands of a node onto one device.

    Shape arithmetic and constants live on the CPU; where they meet a tensor of an accelerator they follow it. Scalars
    stay where they are: torch mixes them in by itself.

    Args:
        operands: The operands, None for an absent one.
        host: Positions of those that stay on the CPU.
    """
    for i, operand in enumerate(operands):
        if operand is not None and not operand.is_cpu and i not in host:
            return [
                other if other is None or j in host or not other.ndim else moved(other, operand.device)
                for j, other in enumerate(operands)
            ]
    return operands


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Bring a tensor to a device; nobody waits for an accelerator to have it."""
    return tensor.to(device, non_blocking=device.type != "cpu")


def widened(operand: Tensor | None) -> Tensor | None:
    """Return what torch.autocast has shortened in single precision, and anything else as it is."""
    if isinstance(operand, Tensor) and operand.dtype == torch.bfloat16:
        return operand.float() if torch.is_autocast_enabled(operand.device.type) else operand
    return operand
