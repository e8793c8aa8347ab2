"""Run a node with the constants that are left after channels were cut, out of the whole ones that all α's share."""

import functools
from dataclasses import replace

import torch
from torch import Tensor

from natonnx.frontend import Trim
from natonnx.supernet.kernels import NodeKernel
from natonnx.supernet.ops import Kernel, build
from natonnx.supernet.ops.placement import moved

__all__ = ["trimmed"]

_STATISTICS = (3, 4)
"""Inputs of a BatchNormalization that its training changes in place."""


def trimmed(own: NodeKernel, trim: Trim) -> Kernel:
    """Make the kernel of a node that reads a tensor that has lost channels.

    Args:
        own: The node's own kernel.
        trim: What changes in it.

    Returns:
        A kernel of the same operands; gradients and running statistics reach the whole tensors.
    """
    kernel = own.kernel
    if trim.group is not None and own.spec is not None:
        name = "num_groups" if "num_groups" in own.spec.attributes else "group"
        kernel = build(replace(own.spec, attributes={**own.spec.attributes, name: trim.group}))
    with torch.inference_mode(False):  # the kernel is kept, and trained with later
        slices = [(position, axis, torch.tensor(kept)) for position, axis, kept in trim.slices]
    return functools.partial(_run, kernel, slices, trim.size, own.mode_dependent)


def _run(
    kernel: Kernel,
    slices: list[tuple[int, int, Tensor]],
    size: tuple[int, int, int] | None,
    has_statistics: bool,
    *operands: Tensor | None,
    **mode: object,
) -> Tensor | tuple[Tensor, ...]:
    own = list(operands)
    for i, (position, axis, kept) in enumerate(slices):
        whole = operands[position]
        if whole is not None:
            if kept.device != whole.device:
                with torch.inference_mode(False):
                    slices[i] = position, axis, moved(kept, whole.device)  # moved once, then it stays there
            own[position] = whole.index_select(axis, slices[i][2])
    if size is not None:
        position, element, value = size
        whole = operands[position]
        assert whole is not None
        changed = whole.clone()
        changed[element] = value
        own[position] = changed
    made = kernel(*own, **mode)
    if has_statistics and mode.get("training"):
        for position, axis, kept in slices:
            whole, part = operands[position], own[position]
            if position in _STATISTICS and whole is not None and part is not None:
                whole.index_copy_(axis, kept, part)
    return made
