"""What a node does where a tensor that it reads has lost channels: its constants lose entries, or its outputs too.

One rule an operator, in one table. A rule answers only where the result is provably the same as that of a model built
without those channels; None means that the channels must stay.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from natonnx.architecture import Shape
from natonnx.frontend import vocabulary
from natonnx.frontend.view import GraphView

__all__ = ["NodeCutRule", "OperandSlice", "node_cut_rule"]


@dataclass(frozen=True)
class OperandSlice:
    """A constant operand that loses the entries of the lost channels, `repeat` neighbouring ones a channel."""

    position: int
    axis: int
    repeat: int = 1


@dataclass(frozen=True)
class NodeCutRule:
    """How a node takes a cut of the tensor that it reads.

    Attributes:
        out: The axis of its outputs that gets shorter in turn; None where it absorbs the cut.
        repeat: How many neighbouring entries of that axis each channel becomes.
        slices: Constant operands that lose entries.
        size: Operand position and element of a constant list of sizes that must say the new one; None for none.
        grouped: Whether the attribute `group` counts the channels.
    """

    out: int | None
    repeat: int = 1
    slices: tuple[OperandSlice, ...] = ()
    size: tuple[int, int] | None = None
    grouped: bool = False


_Rule = Callable[[GraphView, int, int], NodeCutRule | None]


def node_cut_rule(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    """Find how a node takes a cut of its only variable input, or the same cut of all of them.

    Args:
        view: The graph.
        node: The node's position.
        axis: The axis of its input that gets shorter.

    Returns:
        None where there is no rule, the node reads several variable tensors and is not elementwise, or a constant
        that would lose entries has other readers.
    """
    proto = view.nodes[node]
    rule = _RULES.get(view.kind(node))
    variable = view.variable_inputs(node)
    if rule is None or not view.shape(variable[0]) or (len(variable) > 1 and not _is_product(view, node)):
        return None
    found = rule(view, node, axis)
    owned = found is not None and all(view.is_owned(proto.input[one.position]) for one in found.slices)
    return found if owned else None


def _is_product(view: GraphView, node: int) -> bool:
    """Whether a node combines tensors of one shape entry by entry, as the last of a SiLU does."""
    shape = view.shape(view.nodes[node].output[0])
    return view.kind(node) in vocabulary.AFFINE and all(
        view.shape(name) == shape for name in view.variable_inputs(node)
    )


def _source(view: GraphView, node: int) -> Shape:
    return view.shape(view.variable_inputs(node)[0])


def _elementwise(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    """Constants broadcast against the tensor, aligned from the last axis; none makes it larger."""
    shape, proto = _source(view, node), view.nodes[node]
    constants = [(position, name) for position, name in enumerate(proto.input) if name in view.constants]
    if view.shape(proto.output[0]) != shape or not all(view.is_known(name) for _, name in constants):
        return None
    if view.kind(node) in _BROADCAST_OF_OLD and any(a.name in {"axis", "broadcast"} for a in proto.attribute):
        return None
    slices: list[OperandSlice] = []
    for position, name in constants:
        own = axis - (len(shape) - len(view.shape(name)))
        if view.kind(node) == "PRelu" and len(view.shape(name)) == 1 and view.shape(name) != (1,) and own != 0:
            return None  # below opset 7 one slope a channel, and the opset is not known here
        if own >= 0 and view.shape(name)[own] != 1:
            slices.append(OperandSlice(position, own))
    return NodeCutRule(axis, slices=tuple(slices))


def _per_channel(*positions: int) -> _Rule:
    """Constants of one entry a channel, of axis 1."""

    def rule(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
        if axis != 1 or view.uses_further_outputs(node):
            return None
        present = [position for position in positions if position < len(view.nodes[node].input)]
        return NodeCutRule(1, slices=tuple(OperandSlice(p, 0) for p in present))

    return rule


def _pooling(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    """Pools of each channel by itself; indices into the whole tensor would change."""
    return NodeCutRule(1) if axis == 1 and not view.uses_further_outputs(node) else None


def _convolution(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    """Absorbed by a convolution of all channels; passed on by one of each channel for itself."""
    proto = view.nodes[node]
    transposed = view.kind(node) == "ConvTranspose"
    channels, weight = _source(view, node)[1], view.shape(proto.input[1])
    groups = view.attribute(node, "group", 1)
    if axis != 1 or proto.input[0] in view.constants or not isinstance(channels, int) or not weight:
        return None
    if groups == 1:
        return NodeCutRule(None, slices=(OperandSlice(1, 0 if transposed else 1),))
    if groups != channels or not isinstance(made := weight[1] if transposed else weight[0], int):
        return None
    outputs = made if transposed else made // channels  # per channel
    own = OperandSlice(1, 0, 1 if transposed else outputs)
    bias = (OperandSlice(2, 0, outputs),) if len(proto.input) > 2 and proto.input[2] else ()
    return NodeCutRule(1, outputs, (own, *bias), grouped=True)


def _gemm(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    if axis != 1 or view.nodes[node].input[0] in view.constants or view.attribute(node, "transA", 0):
        return None
    return NodeCutRule(None, slices=(OperandSlice(1, 1 if view.attribute(node, "transB", 0) else 0),))


def _matmul(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    proto, rank = view.nodes[node], len(_source(view, node))
    weight = len(view.shape(proto.input[1]))
    if axis != rank - 1 or rank < 2 or proto.input[0] in view.constants or not 1 <= weight <= 2:
        return None
    return NodeCutRule(None, slices=(OperandSlice(1, 0),))


def _flatten(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    shape, first = _source(view, node), view.attribute(node, "axis", 1)
    inner = [size for size in shape[axis + 1 :] if isinstance(size, int)]
    if axis != first or axis != 1 or len(inner) != len(shape) - axis - 1:
        return None
    return NodeCutRule(1, prod(inner))


def _reshape(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    """Axes before the channels stay; what is behind them stays behind them, or is flattened into them."""
    shape, proto = _source(view, node), view.nodes[node]
    target, result = view.integers(node, "shape", 1), view.shape(proto.output[0])
    if target is None or len(result) <= axis or not _keeps_leading(shape, target, result, axis):
        return None
    inner = [size for size in shape[axis + 1 :] if isinstance(size, int)]
    if not isinstance(shape[axis], int) or len(inner) != len(shape) - axis - 1:
        return None
    if result[axis] == shape[axis]:
        repeat = 1
    elif len(result) == axis + 1 and result[axis] is not None:
        repeat = prod(inner)
    else:
        return None
    if target[axis] == -1 or (target[axis] == 0 and repeat == 1):
        return NodeCutRule(axis, repeat)
    return NodeCutRule(axis, repeat, size=(1, axis)) if len(proto.input) > 1 else None


def _keeps_leading(shape: Shape, target: tuple[int, ...], result: Shape, axis: int) -> bool:
    """Whether a Reshape provably leaves the axes before one as they are."""
    if all(size == made is not None for size, made in zip(shape[:axis], result[:axis], strict=True)):
        return True
    inner, made = shape[1:], result[1:]
    sizes = [size for size in (*inner, *made) if isinstance(size, int)]
    same = len(sizes) == len(inner) + len(made) and prod(sizes[: len(inner)]) == prod(sizes[len(inner) :])
    return axis == 1 and (target[0] == 0 or (target[0] == -1 and same))


def _transpose(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    rank = len(_source(view, node))
    return NodeCutRule(view.ints(node, "perm", tuple(reversed(range(rank)))).index(axis))


def _squeeze(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    rank, axes = len(_source(view, node)), view.integers(node, "axes", 1)
    if axes is None:
        return None
    gone = {one % rank for one in axes}
    return None if axis in gone else NodeCutRule(axis - sum(one < axis for one in gone))


def _unsqueeze(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    axes = view.integers(node, "axes", 1)
    if axes is None:
        return None
    rank = len(_source(view, node)) + len(axes)
    kept = [one for one in range(rank) if one not in {a % rank for a in axes}]
    return NodeCutRule(kept[axis])


def _reduction(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    rank, axes = len(_source(view, node)), view.integers(node, "axes", 1)
    if not axes:
        return None
    gone = {one % rank for one in axes}
    if axis in gone:
        return None
    return NodeCutRule(axis if view.attribute(node, "keepdims", 1) else axis - sum(one < axis for one in gone))


def _pad(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    rank, pads = len(_source(view, node)), view.integers(node, "pads", 1)
    if pads is None or len(pads) != 2 * rank or len(view.nodes[node].input) > 3:
        return None
    return NodeCutRule(axis) if pads[axis] == pads[axis + rank] == 0 else None


def _slice(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    rank = len(_source(view, node))
    starts, axes = view.integers(node, "starts", 1), view.integers(node, "axes", 3)
    if axes is None and starts is not None and len(view.nodes[node].input) <= 3:
        axes = tuple(range(len(starts)))
    return None if axes is None or axis in {one % rank for one in axes} else NodeCutRule(axis)


def _split(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    rank, own = len(_source(view, node)), view.attribute(node, "axis", 0)
    return NodeCutRule(axis) if isinstance(own, int) and own % rank != axis else None


def _resize(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    """Only by constant scales of every axis, that of the channels 1."""
    proto = view.nodes[node]
    position = 2 if view.kind(node) == "Resize" and len(proto.input) > 2 else 1
    scales = view.constant(proto.input[position]) if len(proto.input) > position else None
    if len(proto.input) > 3 or scales is None or scales.size != len(_source(view, node)):
        return None
    if view.ints(node, "axes") or view.attribute(node, "coordinate_transformation_mode") == b"tf_crop_and_resize":
        return None
    return NodeCutRule(axis) if float(scales.reshape(-1)[axis]) == 1 else None


def _layer_norm(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    rank, first = len(_source(view, node)), view.attribute(node, "axis", -1)
    if not isinstance(first, int) or axis >= first % rank or view.uses_further_outputs(node):
        return None
    return _elementwise(view, node, axis)


def _softmax(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    own, rank = view.attribute(node, "axis", None), len(_source(view, node))
    return NodeCutRule(axis) if isinstance(own, int) and own % rank == rank - 1 != axis else None


_UNARY = vocabulary.ACTIVATIONS | vocabulary.AFFINE | vocabulary.DROPOUT
_UNARY |= {"Abs", "Cast", "Ceil", "Cos", "Erf", "Exp", "Floor", "Identity", "Log", "Neg", "Pow", "Reciprocal", "Round"}
_UNARY |= {"Sign", "Sin", "Sqrt", "Swish"}

_BROADCAST_OF_OLD = vocabulary.AFFINE | {"Pow"}
"""Below opset 7 attributes say where their second operand stands."""

_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(_UNARY, _elementwise),
    "BatchNormalization": _per_channel(1, 2, 3, 4),
    "InstanceNormalization": _per_channel(1, 2),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), _pooling),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), _per_channel()),
    **dict.fromkeys(("Conv", "ConvTranspose"), _convolution),
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2"), _reduction),
    "Pad": _pad,
    "Slice": _slice,
    "Split": _split,
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    "LayerNormalization": _layer_norm,
    "Softmax": _softmax,
}
