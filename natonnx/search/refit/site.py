"""Where weights can be recomputed: linear operators, with the bias and the normalisation behind them."""

from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from natonnx.frontend import Network, RunNode
from natonnx.frontend.view import reads
from natonnx.search.refit.least_squares import Fit
from natonnx.supernet.linear import LinearOperator
from natonnx.supernet.plan import Plan, Step

__all__ = ["Site", "find_sites", "settable_names"]

_LEAST_GAIN = 1e-4
"""Of the largest gain of a normalisation: a channel with less is scaled anew."""


@dataclass(frozen=True)
class Operand:
    """A constant, or the part of it that is left where channels were cut.

    Attributes:
        name: Of the constant.
        slices: An axis and the entries of it that are left, each.
    """

    name: str
    slices: tuple[tuple[int, tuple[int, ...]], ...]

    def get(self, constants: Mapping[str, Tensor]) -> Tensor:
        """Return what is left of it."""
        value = constants[self.name]
        for axis, kept in self.slices:
            value = value.index_select(axis, torch.tensor(kept, device=value.device))
        return value

    def put(self, constants: MutableMapping[str, Tensor], value: Tensor) -> None:
        """Replace what is left of it."""
        whole = constants[self.name]
        value = value.to(whole.dtype).reshape(self.get(constants).shape)
        if self.slices:
            index = [torch.arange(size, device=whole.device) for size in whole.shape]
            for axis, kept in self.slices:
                index[axis] = torch.tensor(kept, device=whole.device)
            value = whole.clone().index_put(torch.meshgrid(*index, indexing="ij"), value)
        if value.dim() == 4:
            value = value.contiguous(memory_format=torch.channels_last)
        constants[self.name] = value


@dataclass(frozen=True)
class _Norm:
    """A BatchNormalization behind an operator."""

    scale: Operand
    shift: Operand
    mean: Operand
    variance: Operand
    epsilon: float


@dataclass(frozen=True)
class Site:
    """A linear operator whose weights can be set, with what belongs to it: y = W·x + b as a whole.

    Attributes:
        first: Position of the operator in the plan.
        last: Of the last step that belongs to it: a bias that is added, or a normalisation.
        node: Position in the file of the node of that last step.
        linear: The operator as a matrix.
        input: What it reads.
        output: What the last step makes.
    """

    first: int
    last: int
    node: int
    linear: LinearOperator
    input: str
    output: str
    weight: Operand
    bias: Operand | None
    added: Operand | None
    norm: _Norm | None

    @property
    def has_bias(self) -> bool:
        """Whether there is anything that holds b."""
        return self.bias is not None or self.added is not None or self.norm is not None

    def given(self, constants: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return W [groups, outputs, features] and b [groups, outputs] in double precision, normalisation folded in."""
        matrix = self.linear.to_matrix(self.weight.get(constants)).double()
        shape = matrix.shape[:2]
        bias = self._inner_bias(constants, shape)
        if self.norm is not None:
            gain, mean, shift = self._gain(constants, shape)
            matrix, bias = gain[..., None] * matrix, gain * (bias - mean) + shift
        return matrix, bias

    def put(self, constants: MutableMapping[str, Tensor], fit: Fit) -> None:
        """Set the weights to what a regression gave, and the normalisation so that it is W·x + b as before."""
        matrix, shape = fit.matrix, fit.bias.shape
        inner = self._inner_bias(constants, shape)
        if self.norm is not None:
            gain, _, _ = self._gain(constants, shape)
            gain = torch.where(gain.abs() < _LEAST_GAIN * gain.abs().max(), torch.ones_like(gain), gain)
            matrix = matrix / gain[..., None]
            mean = (fit.mean - fit.bias) / gain + inner
            variance = fit.variance / gain.square()
            self.norm.mean.put(constants, mean)
            self.norm.variance.put(constants, variance)
            self.norm.scale.put(constants, gain * (variance + self.norm.epsilon).sqrt())
            self.norm.shift.put(constants, fit.bias + gain * (mean - inner))
        elif self.bias is not None:
            self.bias.put(constants, fit.bias)
        elif self.added is not None:
            self.added.put(constants, fit.bias)
        whole = self.weight.get(constants)
        self.weight.put(constants, self.linear.to_weight(matrix, whole.shape))

    def _inner_bias(self, constants: Mapping[str, Tensor], shape: torch.Size) -> Tensor:
        """Return the bias before any normalisation."""
        total = torch.zeros(shape, dtype=torch.float64, device=self.weight.get(constants).device)
        for operand in (self.bias, self.added):
            if operand is not None:
                total = total + operand.get(constants).double().reshape(shape)
        return total

    def _gain(self, constants: Mapping[str, Tensor], shape: torch.Size) -> tuple[Tensor, Tensor, Tensor]:
        assert self.norm is not None
        parts = (self.norm.scale, self.norm.variance, self.norm.mean, self.norm.shift)
        scale, variance, mean, shift = (part.get(constants).double().reshape(shape) for part in parts)
        return scale / (variance + self.norm.epsilon).sqrt(), mean, shift


def settable_names(network: Network, named: Mapping[str, Tensor]) -> frozenset[str]:
    """Return the trainable tensors and running statistics that a single node reads."""
    uses = Counter(name for node in network.model.graph.node for name in reads(node))
    return frozenset(name for name in named if uses[name] == 1 and name not in network.outputs)


def find_sites(plan: Plan, constants: Mapping[str, Tensor], settable: frozenset[str]) -> list[Site]:
    """List the sites of an architecture, in the order in which they run."""
    readers = Counter(name for step in plan.steps for name in step.inputs)
    reader = {name: i for i, step in enumerate(plan.steps) for name in step.inputs if readers[name] == 1}

    def follower(name: str) -> int | None:
        found = reader.get(name)
        return found if found is not None and isinstance(plan.steps[found].instruction, RunNode) else None

    sites = (_site(plan.steps, i, constants, settable, follower) for i in range(len(plan.steps)))
    return [site for site in sites if site is not None]


def _site(
    steps: Sequence[Step],
    first: int,
    constants: Mapping[str, Tensor],
    settable: frozenset[str],
    follower: Callable[[str], int | None],
) -> Site | None:
    step = steps[first]
    weight = _operand(step, 1, settable)
    if weight is None or not isinstance(step.instruction, RunNode) or step.inputs[0] in constants:
        return None
    groups = None if step.instruction.trim is None else step.instruction.trim.group
    linear = LinearOperator.of(step.spec, constants[weight.name].dim(), groups)
    has_bias = len(step.inputs) > 2 and bool(step.inputs[2])
    bias = _operand(step, 2, settable) if has_bias else None
    if linear is None or (has_bias and bias is None):
        return None
    last, whole = first, weight.get(constants)
    if bias is not None and bias.get(constants).numel() != linear.to_matrix(whole).shape[:2].numel():
        return None
    added, norm = None, None
    behind = follower(step.outputs[0])
    if behind is not None and bias is None:
        added = _added(steps[behind], step.outputs[0], constants, settable, whole, linear)
        if added is not None:
            last, behind = behind, follower(steps[behind].outputs[0])
    if behind is not None:
        norm = _norm(steps[behind], linear, settable)
        last = last if norm is None else behind
    bottom = steps[last].instruction
    assert isinstance(bottom, RunNode)
    return Site(first, last, bottom.node, linear, step.inputs[0], steps[last].outputs[0], weight, bias, added, norm)


def _operand(step: Step, position: int, settable: frozenset[str]) -> Operand | None:
    """Return a constant operand that may be set; None where there is none."""
    if position >= len(step.inputs) or step.inputs[position] not in settable:
        return None
    trim = step.instruction.trim if isinstance(step.instruction, RunNode) else None
    slices = () if trim is None else tuple((axis, kept) for at, axis, kept in trim.slices if at == position)
    return Operand(step.inputs[position], slices)


def _added(
    step: Step,
    name: str,
    constants: Mapping[str, Tensor],
    settable: frozenset[str],
    weight: Tensor,
    linear: LinearOperator,
) -> Operand | None:
    """Return the bias that an Add behind an operator adds, one number a channel."""
    if step.spec is None or step.spec.op_type != "Add" or len(step.inputs) != 2:
        return None
    operand = _operand(step, 1 - step.inputs.index(name), settable)
    if operand is None:
        return None
    outputs = linear.to_matrix(weight).shape[:2].numel()
    behind = weight.dim() - 2 if linear.is_convolution else 0
    shape = operand.get(constants).shape
    fits = shape.numel() == outputs and shape[len(shape) - behind - 1 :] == (outputs, *[1] * behind)
    return operand if fits else None


def _norm(step: Step, linear: LinearOperator, settable: frozenset[str]) -> _Norm | None:
    """Return the normalisation that a step is, if it is one whose parameters may be set."""
    if step.spec is None or step.spec.op_type != "BatchNormalization" or not step.mode_dependent:
        return None
    if linear.spec.op_type == "MatMul":  # of any rank, so that its channels may not be axis 1
        return None
    operands = [_operand(step, position, settable) for position in (1, 2, 3, 4)]
    scale, shift, mean, variance = operands
    if scale is None or shift is None or mean is None or variance is None:
        return None
    return _Norm(scale, shift, mean, variance, step.spec.number("epsilon", 1e-5))
