"""Steps for evaluation alone: a normalisation behind a convolution is part of its weights, its activation in place.

That is right only where weights stay as they are while samples run. What is made of constants alone comes as steps of
its own, which are run once for all samples. So are the weights of dense layers laid out as oneDNN wants them, which
computes them twice as fast on processors for which MKL does not use all that they can (docs/benchmarks.md).
"""

import functools
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from natonnx.frontend import RunNode
from natonnx.supernet.fuse import affine
from natonnx.supernet.ops import Kernel
from natonnx.supernet.plan import Step

__all__ = ["fold"]


class _Norm(NamedTuple):
    """A convolution, the normalisation behind it, and a ReLU behind that, if there is one: positions of steps."""

    convolution: int
    norm: int
    relu: int | None


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
    found = {i: norm for i, step in enumerate(steps) if (norm := _norm(steps, reader, i, constants)) is not None}
    ends = {norm.norm if norm.relu is None else norm.relu: norm for norm in found.values()}
    gone = {norm.norm for norm in found.values()} | found.keys()
    made: list[Step] = []
    for i, step in enumerate(steps):
        if i in ends:
            made += _folded(steps, ends[i])
        elif step.kernel is affine and _reads_constants(step, constants):
            made += _laid_out(step)
        elif i not in gone:
            made.append(step)
    return made


def _norm(steps: Sequence[Step], reader: dict[str, int], i: int, constants: Collection[str]) -> _Norm | None:
    if not (_is_a(steps[i], "Conv") and _reads_constants(steps[i], constants)):
        return None
    norm = reader.get(steps[i].outputs[0])
    if norm is None or not _is_a(steps[norm], "BatchNormalization") or not _reads_constants(steps[norm], constants):
        return None
    if not steps[norm].mode_dependent or steps[norm].training:
        return None
    relu = reader.get(steps[norm].outputs[0])
    return _Norm(i, norm, relu if relu is not None and _is_a(steps[relu], "Relu") else None)


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
    last = norm if found.relu is None else steps[found.relu]
    (x, *own), parameters = convolution.inputs, norm.inputs[1:]
    weights = tuple(f"{norm.outputs[0]}/natonnx_folded_{part}" for part in ("weight", "bias"))
    kernel: Kernel = functools.partial(_weights, norm.spec.number("epsilon", 1e-5))
    run = convolution.kernel if found.relu is None else functools.partial(_rectified, convolution.kernel)
    return (
        Step(norm.instruction, kernel, (*parameters, *own), weights),
        replace(last, kernel=run, inputs=(x, *weights), spec=None, mode_dependent=False),
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


def _rectified(kernel: Kernel, *operands: Tensor) -> Tensor:
    made = kernel(*operands)
    assert isinstance(made, Tensor), "a convolution makes one tensor"
    return made.relu_()


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
