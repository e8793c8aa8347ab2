"""Steps for evaluation alone: a normalisation behind a convolution is part of its weights, activations are in place.

That is right only where weights stay as they are while samples run. What is made of constants alone comes as steps of
its own, which are run once for all samples. So are the weights of dense layers laid out as oneDNN wants them, which
computes them twice as fast on processors for which MKL does not use all that they can (docs/benchmarks.md).
"""

import functools
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from natonnx.frontend import RunNode, RunSum
from natonnx.supernet.fuse import affine
from natonnx.supernet.ops import Kernel
from natonnx.supernet.plan import Step

__all__ = ["fold"]


_FRESH = frozenset({"Add", "BatchNormalization", "Conv"})
"""Operators whose output is a tensor of its own, which an activation behind may overwrite."""


class _Norm(NamedTuple):
    """A convolution, and the normalisation behind it: positions of steps."""

    convolution: int
    norm: int


def fold(steps: Sequence[Step], constants: Collection[str], kept: Collection[str]) -> list[Step]:
    """Fold normalisations into convolutions, and lay out the weights of dense layers.

    Args:
        steps: Those of an architecture.
        constants: Names of the tensors that depend on no input.
        kept: Tensors that must be made.

    Returns:
        Steps that make the same in evaluation mode. The new weights are tensors too, made of constants.
    """
    uses = Counter([*kept, *(name for step in steps for name in step.inputs)])
    reader = {name: i for i, step in enumerate(steps) for name in step.inputs if uses[name] == 1}
    found = {norm.norm: norm for i in range(len(steps)) if (norm := _norm(steps, reader, i, constants)) is not None}
    convolutions = {norm.convolution for norm in found.values()}
    activated = dict(_activated(steps, reader))
    made: list[Step] = []
    waiting: dict[int, Step] = {}  # what an activation is to overwrite, by its position
    for i, step in enumerate(steps):
        if i in convolutions:
            continue
        if i in waiting:
            made.append(_in_place(waiting[i], step))
            continue
        own: Sequence[Step] = (step,)
        if i in found:
            own = _folded(steps, found[i])
        elif step.kernel is affine and _reads_constants(step, constants):
            own = _laid_out(step)
        if i in activated:
            *own, waiting[activated[i]] = own
        made += own
    return made


def _norm(steps: Sequence[Step], reader: dict[str, int], i: int, constants: Collection[str]) -> _Norm | None:
    if not (_is_a(steps[i], "Conv") and _reads_constants(steps[i], constants)):
        return None
    norm = reader.get(steps[i].outputs[0])
    if norm is None or not _is_a(steps[norm], "BatchNormalization") or not _reads_constants(steps[norm], constants):
        return None
    if not steps[norm].mode_dependent or steps[norm].training:
        return None
    return _Norm(i, norm)


def _activated(steps: Sequence[Step], reader: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    """Yield the steps whose output only an activation reads that may overwrite it, and that activation."""
    for i, step in enumerate(steps):
        end = reader.get(step.outputs[0])
        is_sum = isinstance(step.instruction, RunSum) and len(step.inputs) > 1
        is_fresh = is_sum or (step.spec is not None and step.spec.op_type in _FRESH and len(step.outputs) == 1)
        if end is None or not is_fresh or step.training or steps[end].inputs[0] != step.outputs[0]:
            continue
        if _is_a(steps[end], "Relu") or _is_a(steps[end], "Clip"):
            yield i, end


def _is_a(step: Step, kind: str) -> bool:
    whole = isinstance(step.instruction, RunNode) and step.instruction.trim is None
    return whole and step.spec is not None and step.spec.op_type == kind and len(step.outputs) == 1


def _reads_constants(step: Step, constants: Collection[str]) -> bool:
    """Whether all that a step reads is constant but for the first operand."""
    first, *others = step.inputs
    return first not in constants and all(not name or name in constants for name in others)


def _folded(steps: Sequence[Step], found: _Norm) -> tuple[Step, Step]:
    """Return what makes the weights, and what runs them."""
    convolution, norm = steps[found.convolution], steps[found.norm]
    assert norm.spec is not None
    (x, *own), parameters = convolution.inputs, norm.inputs[1:]
    weights = tuple(f"{norm.outputs[0]}/natonnx_folded_{part}" for part in ("weight", "bias"))
    kernel: Kernel = functools.partial(_weights, norm.spec.number("epsilon", 1e-5))
    return (
        Step(norm.instruction, kernel, (*parameters, *own), weights),
        replace(norm, kernel=convolution.kernel, inputs=(x, *weights), spec=None, mode_dependent=False),
    )


def _weights(
    epsilon: float,
    scale: Tensor,
    shift: Tensor,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    gain = scale / (variance + epsilon).sqrt()
    folded = torch.mul(weight, gain.reshape(-1, *[1] * (weight.dim() - 1)), out=torch.empty_like(weight))
    return folded, shift - gain * (mean if bias is None else mean - bias)


def _in_place(step: Step, activation: Step) -> Step:
    """Return both as one, which makes no second tensor."""
    assert activation.spec is not None
    kernel = functools.partial(step.kernel, training=False) if step.mode_dependent else step.kernel
    act = _rectify if activation.spec.op_type == "Relu" else functools.partial(_clip, activation.kernel)
    run: Kernel = functools.partial(_then, kernel, act, len(step.inputs))
    return replace(activation, kernel=run, inputs=(*step.inputs, *activation.inputs[1:]), spec=None)


def _then(kernel: Kernel, activation: Kernel, count: int, *operands: Tensor | None) -> Tensor | tuple[Tensor, ...]:
    return activation(kernel(*operands[:count]), *operands[count:])


def _rectify(x: Tensor) -> Tensor:
    return x.relu_()


def _clip(kernel: Kernel, x: Tensor, *limits: Tensor | None) -> Tensor | tuple[Tensor, ...]:
    """Limit in place where hardtanh is what the operator itself takes, which gives the same bits."""
    numbers = [float(limit) for limit in limits if limit is not None and limit.is_cpu]
    if len(numbers) == 2 and numbers[0] < numbers[1] and x.is_floating_point():
        return functional.hardtanh_(x, *numbers)
    return kernel(x, *limits)


def _laid_out(step: Step) -> tuple[Step, Step]:
    """Return what lays out the weight of a dense layer, and what runs it."""
    x, weight, bias = step.inputs
    packed = f"{step.outputs[0]}/natonnx_packed"
    return (
        Step(step.instruction, _packed, (weight,), (packed,)),
        replace(step, kernel=_dense, inputs=(x, packed, weight, bias)),
    )


def _packed(weight: Tensor) -> Tensor:
    """Return a weight [inputs, outputs] as oneDNN wants it; as it is where this torch or device has no such thing."""
    is_plain = weight.device.type == "cpu" and weight.dtype == torch.float32
    has_it = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if is_plain and has_it and hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.t())  # noqa: SLF001 - torch.compile's own
        return packed
    return weight


def _dense(x: Tensor, packed: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if not packed.is_mkldnn or x.dim() < 2 or bias.shape[0] != weight.shape[1]:
        return affine(x, weight, bias)
    made: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")  # noqa: SLF001
    return made
