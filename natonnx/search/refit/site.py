"""Where weights can be recomputed: linear operators, with the bias and the normalisation behind them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from natonnx.frontend import Network, RunNode
from natonnx.frontend.view import reads
from natonnx.search.refit.least_squares import Affine, Moments
from natonnx.supernet.linear import LinearOperator
from natonnx.supernet.ops.placement import moved
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
            value = value.index_select(axis, moved(torch.tensor(kept), value.device))
        return value

    def put(self, constants: Mapping[str, Tensor], value: Tensor) -> Tensor:
        """Return the whole constant with another value of what is left of it."""
        whole = constants[self.name]
        value = value.to(whole.dtype).reshape(self.get(constants).shape)
        if self.slices:
            index = [torch.arange(size, device=whole.device) for size in whole.shape]
            for axis, kept in self.slices:
                index[axis] = moved(torch.tensor(kept), whole.device)
            value = whole.clone().index_put(torch.meshgrid(*index, indexing="ij"), value)
        return value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value.contiguous()


@dataclass(frozen=True)
class _Norm:
    """A BatchNormalization behind an operator."""

    scale: Operand
    shift: Operand
    mean: Operand
    variance: Operand
    epsilon: float

    def get(self, constants: Mapping[str, Tensor], shape: torch.Size) -> tuple[Tensor, Tensor, Tensor]:
        """Return what it multiplies each channel by, the mean that it takes off before, and what it adds."""
        parts = (self.scale, self.variance, self.mean, self.shift)
        scale, variance, mean, shift = (part.get(constants).double().reshape(shape) for part in parts)
        return scale / (variance + self.epsilon).sqrt(), mean, shift


@dataclass(frozen=True)
class Site:
    """A linear operator whose weights can be set, with what belongs to it: W·x + b as a whole.

    Attributes:
        steps: Positions in the plan: the operator, a bias that is added, a normalisation.
        node: Position in the file of the node of the last of them.
        linear: The operator as a matrix.
        input: What it reads.
        output: What the last step makes.
        weight: Of the operator.
        bias: Of the operator, or what is added behind it.
        norm: The normalisation.
    """

    steps: tuple[int, ...]
    node: int
    linear: LinearOperator
    input: str
    output: str
    weight: Operand
    bias: Operand | None
    norm: _Norm | None

    @property
    def has_bias(self) -> bool:
        """Whether there is anything that holds b."""
        return self.bias is not None or self.norm is not None

    def get(self, constants: Mapping[str, Tensor]) -> Affine:
        """Return W and b in double precision, normalisation folded in."""
        matrix = self.linear.to_matrix(self.weight.get(constants)).double()
        bias = self._own_bias(constants, matrix)
        if self.norm is not None:
            gain, mean, shift = self.norm.get(constants, bias.shape)
            matrix, bias = gain[..., None] * matrix, gain * (bias - mean) + shift
        return Affine(matrix, bias)

    def put(self, constants: Mapping[str, Tensor], wanted: Affine, moments: Callable[[], Moments]) -> dict[str, Tensor]:
        """Return the constants by which it is another map.

        A normalisation keeps what it multiplies by. Its running statistics become those of what it reads, so that
        training starts from the same function.

        Args:
            constants: What is there now.
            wanted: W and b.
            moments: Returns those of what they make of the calibration samples.
        """
        matrix, bias = wanted
        whole = self.weight.get(constants)
        parts: list[tuple[Operand, Tensor]] = []
        if self.norm is not None:
            gain, _, _ = self.norm.get(constants, bias.shape)
            gain = torch.where(gain.abs() <= _LEAST_GAIN * gain.abs().max(), torch.ones_like(gain), gain)
            matrix, own = matrix / gain[..., None], self._own_bias(constants, matrix)
            made = moments()
            mean, variance = (made.mean - bias) / gain + own, made.variance / gain.square()
            parts += [
                (self.norm.mean, mean),
                (self.norm.variance, variance),
                (self.norm.scale, gain * (variance + self.norm.epsilon).sqrt()),
                (self.norm.shift, gain * (mean - own) + bias),
            ]
        elif self.bias is not None:
            parts.append((self.bias, bias))
        parts.append((self.weight, self.linear.to_weight(matrix, whole.shape)))
        return {operand.name: operand.put(constants, value) for operand, value in parts}

    def _own_bias(self, constants: Mapping[str, Tensor], matrix: Tensor) -> Tensor:
        """Return the bias before any normalisation [groups, outputs]."""
        if self.bias is None:
            return matrix.new_zeros(matrix.shape[:2])
        return self.bias.get(constants).double().reshape(matrix.shape[:2])


def settable_names(network: Network, named: Mapping[str, Tensor]) -> frozenset[str]:
    """Return the trainable tensors and running statistics that a single node reads."""
    constant, nodes = set(network.constant_nodes), network.extended.graph.node
    running = (node for i, node in enumerate(nodes) if i not in constant)
    uses = Counter(network.computed.source(name) for node in running for name in reads(node))
    return frozenset(name for name in named if uses[name] == 1 and name not in network.outputs)


def find_sites(network: Network, plan: Plan, constants: Mapping[str, Tensor], settable: frozenset[str]) -> list[Site]:
    """List the sites of an architecture, in the order in which they run.

    Args:
        network: The network.
        plan: What the architecture runs.
        constants: All that depends on no input, by name.
        settable: Names of the constants that may change.
    """
    return list(_Finder(network, plan, constants, settable).find())


class _Finder:
    def __init__(self, network: Network, plan: Plan, constants: Mapping[str, Tensor], settable: frozenset[str]) -> None:
        self._shapes, self._steps, self._constants, self._settable = network.shapes, plan.steps, constants, settable
        uses = Counter([*network.outputs, *(name for step in plan.steps for name in step.inputs)])
        self._reader = {name: i for i, step in enumerate(plan.steps) for name in step.inputs if uses[name] == 1}

    def find(self) -> Iterator[Site]:
        for i, step in enumerate(self._steps):
            weight = self._operand(step, 1)
            if weight is not None and isinstance(step.instruction, RunNode) and step.inputs[0] not in self._constants:
                trim, rank = step.instruction.trim, self._constants[weight.name].dim()
                linear = LinearOperator.of(step.spec, rank, None if trim is None else trim.group)
                if linear is not None:
                    yield from self._site(i, linear, weight)

    def _site(self, first: int, linear: LinearOperator, weight: Operand) -> Iterator[Site]:
        step = self._steps[first]
        matrix = linear.to_matrix(weight.get(self._constants))
        channels, behind = matrix.shape[0] * matrix.shape[1], self._constants[weight.name].dim() - 2
        steps, bias = [first], None
        if len(step.inputs) > 2 and step.inputs[2]:
            bias = self._per_channel(step, 2, channels, 0)
            if bias is None:
                return
        elif (added := self._reader.get(step.outputs[0])) is not None:
            other = self._steps[added]
            if other.spec is not None and other.spec.op_type == "Add" and not other.spec.attributes:
                position = 1 - other.inputs.index(step.outputs[0])
                bias = self._per_channel(other, position, channels, behind if linear.is_convolution else 0)
                steps += [] if bias is None else [added]
        norm = None
        if (normed := self._reader.get(self._steps[steps[-1]].outputs[0])) is not None:
            norm = self._norm(self._steps[normed], linear, channels)
            steps += [] if norm is None else [normed]
        last = self._steps[steps[-1]]
        assert isinstance(last.instruction, RunNode)
        node = last.instruction.node
        yield Site(tuple(steps), node, linear, step.inputs[0], last.outputs[0], weight, bias, norm)

    def _norm(self, step: Step, linear: LinearOperator, channels: int) -> _Norm | None:
        """Return the normalisation that a step is, if its parameters may be set and its channels are the operator's."""
        if step.spec is None or step.spec.op_type != "BatchNormalization" or not step.mode_dependent or step.training:
            return None
        if not linear.is_convolution and len(self._shapes.get(step.inputs[0], ())) != 2:
            return None
        operands = [self._per_channel(step, position, channels, 0) for position in (1, 2, 3, 4)]
        scale, shift, mean, variance = operands
        if scale is None or shift is None or mean is None or variance is None:
            return None
        return _Norm(scale, shift, mean, variance, step.spec.number("epsilon", 1e-5))

    def _per_channel(self, step: Step, position: int, channels: int, behind: int) -> Operand | None:
        """Return a constant operand of one number a channel, with so many axes of size 1 behind; None for another."""
        operand = self._operand(step, position)
        if operand is None:
            return None
        shape = tuple(operand.get(self._constants).shape)
        ahead = len(shape) - behind - 1
        return operand if ahead >= 0 and shape == (*[1] * ahead, channels, *[1] * behind) else None

    def _operand(self, step: Step, position: int) -> Operand | None:
        """Return a constant operand that may be set; None where there is none."""
        if position >= len(step.inputs) or step.inputs[position] not in self._settable:
            return None
        trim = step.instruction.trim if isinstance(step.instruction, RunNode) else None
        slices = () if trim is None else tuple((axis, kept) for at, axis, kept in trim.slices if at == position)
        return Operand(step.inputs[position], slices)
