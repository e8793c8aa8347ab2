"""What a node does where a tensor that it reads has lost channels: its constants lose entries, or its outputs too.

One rule an operator, in one table. A rule answers only where the result is provably the same as that of a model built
without those channels; None means that the channels must stay.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod

from natonnx.architecture import Shape
from natonnx.frontend import vocabulary
from natonnx.frontend.channel_parts import gather_rule, slice_rule, split_rule
from natonnx.frontend.node_cut_rule import NodeCutRule, OperandSlice
from natonnx.frontend.size_rules import SIZE_RULES, concat_rule, element, shape_rule
from natonnx.frontend.view import GraphView

__all__ = ["node_cut_rule"]

_Rule = Callable[[GraphView, int, int], NodeCutRule | None]


def node_cut_rule(view: GraphView, node: int, cut: Mapping[str, int]) -> NodeCutRule | None:
    """Find how a node takes a cut of what it reads.

    Args:
        view: The graph.
        node: The node's position.
        cut: Of variable tensors that it reads and that lose the same channels: the axis that gets shorter; ~k for a
            list of sizes whose element k counts them.

    Returns:
        None where there is no rule, or a constant would lose entries that cannot.
    """
    proto, variable = view.nodes[node], view.variable_inputs(node)
    kind, axis = view.kind(node), next(iter(cut.values()))
    found: NodeCutRule | None = None
    if len(variable) > 1 or kind == "Concat":
        found = _SEVERAL[kind](view, node, cut) if kind in _SEVERAL else None
    elif axis < 0:
        found = SIZE_RULES[kind](view, node, ~axis) if kind in SIZE_RULES and proto.input[0] == variable[0] else None
    elif view.shape(variable[0]) and kind in _RULES:
        found = _RULES[kind](view, node, axis)
        found = found if found is None or _fits(view, node, axis, found) else None
    cuttable = found is not None and all(view.can_lose_entries(proto.input[one.position]) for one in found.slices)
    return found if cuttable else None


def _fits(view: GraphView, node: int, axis: int, found: NodeCutRule) -> bool:
    """Whether operands have the entries that the channels need; onnx's checker does not ask of all of them."""
    channels = _source(view, node)[axis]
    if not isinstance(channels, int):
        return True
    shapes = [view.shape(view.nodes[node].input[one.position]) for one in found.slices]
    held = [shape[one.axis] if one.axis < len(shape) else None for shape, one in zip(shapes, found.slices, strict=True)]
    return held == [channels // found.unit * one.repeat for one in found.slices]


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
    """Absorbed by a convolution of all channels; passed on by one of groups, of which whole ones go."""
    proto = view.nodes[node]
    transposed = view.kind(node) == "ConvTranspose"
    channels, weight = _source(view, node)[1], view.shape(proto.input[1])
    groups = view.attribute(node, "group", 1)
    if axis != 1 or proto.input[0] in view.constants or not isinstance(channels, int) or not weight:
        return None
    if groups == 1:
        return NodeCutRule(None, slices=(OperandSlice(1, 0 if transposed else 1),))
    made = weight[1] if transposed else weight[0]
    if not isinstance(groups, int) or groups < 1 or not isinstance(made, int) or channels % groups:
        return None
    unit, outputs = channels // groups, made if transposed else made // groups  # of a group
    own = OperandSlice(1, 0, unit if transposed else outputs)
    bias = (OperandSlice(2, 0, outputs),) if len(proto.input) > 2 and proto.input[2] else ()
    return NodeCutRule(1, outputs, (own, *bias), grouped=True, unit=unit)


def _group_norm(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    """Whole groups go; scale and bias have one entry a channel."""
    channels, groups = _source(view, node)[1], view.attribute(node, "num_groups")
    if axis != 1 or not isinstance(channels, int) or not isinstance(groups, int) or groups < 1 or channels % groups:
        return None
    unit = channels // groups
    return NodeCutRule(1, unit, (OperandSlice(1, 0, unit), OperandSlice(2, 0, unit)), grouped=True, unit=unit)


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
    """Axes before the channels stay; what is behind them stays behind them, or is flattened into them.

    So does what stands before them; or they are parted into groups, of which whole ones go.
    """
    shape, proto = _source(view, node), view.nodes[node]
    target, result = view.integers(node, "shape", 1), view.shape(proto.output[0])
    found = _reshaped(shape, result, axis) or _grouped(shape, result, axis)
    if found is None or found.out is None:
        return None
    out = found.out
    if target is None:
        wanted = element(view, proto.input[1], out) if len(proto.input) > 1 else None
        return found if wanted == -1 and shape[:out] == result[:out] and None not in shape[:out] else None
    if len(target) != len(result) or not _keeps_leading(shape, target, result, out):
        return None
    if target[out] == -1 or (target[out] == 0 and found.repeat == found.unit == found.tile == 1 and out == axis):
        return found
    return replace(found, size=(1, out)) if len(proto.input) > 1 else None


def _reshaped(shape: Shape, result: Shape, axis: int) -> NodeCutRule | None:
    """What becomes of channels where the axes in front of where they come to stand are kept."""
    channels, behind = shape[axis], shape[axis + 1 :]
    if not isinstance(channels, int) or not all(isinstance(size, int) for size in behind):
        return None
    inner = prod(size for size in behind if isinstance(size, int))
    if _may_be_equal(shape[:axis], result[:axis]):
        if len(result) > axis and result[axis] == channels:
            return NodeCutRule(axis)
        if len(result) == axis + 1 and result[axis] is not None:
            return NodeCutRule(axis, inner)
        if len(result) > len(shape) and result[len(result) - len(behind) :] == behind:
            return _parted(channels, result[axis : len(result) - len(behind)], axis)
    for out in range(axis):
        for last in range(axis, len(shape)):
            merged = [size for size in shape[out : last + 1] if isinstance(size, int)]
            whole = len(merged) == last + 1 - out and _may_be_equal(shape[:out], result[:out])
            if whole and (prod(merged), *shape[last + 1 :]) == result[out:]:
                return NodeCutRule(out, prod(merged[axis + 1 - out :]), tile=prod(merged[: axis - out]))
    return None


def _grouped(shape: Shape, result: Shape, axis: int) -> NodeCutRule | None:
    """What becomes of channels that are put in groups in front of the last axis, or out of these again."""
    if axis != 1 or len(result) < 3 or None in (sizes := (shape[1], result[1])):
        return None
    channels, made = sizes
    if not isinstance(channels, int) or not isinstance(made, int) or min(channels, made) < 2:
        return None
    if len(result) == 3 < len(shape) and channels % made == 0:
        return NodeCutRule(1, unit=channels // made)
    if len(shape) == 3 < len(result) and made % channels == 0:
        return NodeCutRule(1, repeat=made // channels)
    return None


def _may_be_equal(one: Shape, other: Shape) -> bool:
    """Whether nothing that is known of two shapes says that they differ."""
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(a == b or not (isinstance(a, int) and isinstance(b, int)) for a, b in pairs)


def _parted(channels: int, sizes: Shape, axis: int) -> NodeCutRule | None:
    """Channels that are parted into groups of groups: the outermost ones go."""
    groups = sizes[0]
    inner = [size for size in sizes[1:] if isinstance(size, int)]
    if not isinstance(groups, int) or groups < 2 or len(inner) < len(sizes) - 1 or groups * prod(inner) != channels:
        return None
    return NodeCutRule(axis, unit=channels // groups)


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


def _resize(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    """By scales, that of the channels being 1, or to sizes."""
    proto, rank = view.nodes[node], len(_source(view, node))
    if not _resizes_all_axes(view, node) or proto.input[0] in view.constants:
        return None
    if len(proto.input) > 3 and proto.input[3]:
        sizes = view.constant(proto.input[3])
        same = sizes is not None and sizes.size == rank and int(sizes.reshape(-1)[axis]) == _source(view, node)[axis]
        return NodeCutRule(axis, size=(3, axis)) if same else None
    position = 2 if view.kind(node) == "Resize" and len(proto.input) > 2 else 1
    if len(proto.input) <= position:
        scales = view.attribute(node, "scales")
        return NodeCutRule(axis) if isinstance(scales, list) and len(scales) == rank and scales[axis] == 1 else None
    return NodeCutRule(axis) if element(view, proto.input[position], axis) == 1 else None


def _resizes_all_axes(view: GraphView, node: int) -> bool:
    cropping = view.attribute(node, "coordinate_transformation_mode") == b"tf_crop_and_resize"
    policy = view.attribute(node, "keep_aspect_ratio_policy", b"stretch")
    return not view.ints(node, "axes") and not cropping and policy == b"stretch"


def _layer_norm(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    rank, first = len(_source(view, node)), view.attribute(node, "axis", -1)
    if not isinstance(first, int) or axis >= first % rank or view.uses_further_outputs(node):
        return None
    return _elementwise(view, node, axis)


def _softmax(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    own, rank = view.attribute(node, "axis", None), len(_source(view, node))
    return NodeCutRule(axis) if isinstance(own, int) and own % rank == rank - 1 != axis else None


def _quantisation(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    """One scale for all, or one for each entry of an axis."""
    proto, shape = view.nodes[node], _source(view, node)
    own = view.attribute(node, "axis", 1)
    if proto.input[0] in view.constants or view.attribute(node, "block_size", 0) or not isinstance(own, int):
        return None
    slices: list[OperandSlice] = []
    for position, name in list(enumerate(proto.input))[1:]:
        if not name:
            continue
        sizes = view.shape(name)
        if not view.is_known(name) or len(sizes) > 1:
            return None
        if sizes not in {(), (1,)} and own % len(shape) == axis:
            slices.append(OperandSlice(position, 0))
    return NodeCutRule(axis, slices=tuple(slices))


# Nodes that read several tensors which depend on the input


def _broadcast(view: GraphView, node: int, cut: Mapping[str, int]) -> NodeCutRule | None:
    """Entry by entry, aligned from the last axis: all that have channels there must have the same."""
    proto, axis = view.nodes[node], next(iter(cut.values()))
    shape = view.shape(proto.output[0])
    old = view.kind(node) in _BROADCAST_OF_OLD and any(a.name in {"axis", "broadcast"} for a in proto.attribute)
    if old or not 0 <= axis < len(shape) or not isinstance(shape[axis], int):
        return None
    slices: list[OperandSlice] = []
    for position, name in enumerate(proto.input):
        own = axis - (len(shape) - len(view.shape(name)))
        if not name or not view.is_known(name) or cut.get(name, own) != own:
            return None
        size = view.shape(name)[own] if own >= 0 else 1
        if size not in {1, shape[axis]}:
            return None
        if size != 1:
            slices.append(OperandSlice(position, own))
    alike = frozenset(proto.input[one.position] for one in slices) - view.constants
    return NodeCutRule(axis, slices=tuple(slices), alike=alike) if alike >= cut.keys() else None


def _to_sizes(view: GraphView, node: int, cut: Mapping[str, int]) -> NodeCutRule | None:
    """A tensor that is led to computed sizes: of these, that of its channels is what is left of them, or constant."""
    proto = view.nodes[node]
    data, sizes = proto.input[0], proto.input[-1]
    shape, result = view.shape(data), view.shape(proto.output[0])
    axis = cut[data] if data in cut else ~next(iter(cut.values()))
    if data in view.constants or not 0 <= axis < len(shape) or cut.get(sizes, ~axis) != ~axis:
        return None
    if set(view.variable_inputs(node)) - {data, sizes}:
        return None
    if sizes not in cut:
        found = _RULES[view.kind(node)](view, node, axis)
        return None if found is None else replace(found, alike=frozenset({data}))
    if view.kind(node) == "Reshape" and not (shape[:axis] == result[:axis] and None not in shape[:axis]):
        return None
    if view.kind(node) == "Resize" and not (len(proto.input) == 4 and _resizes_all_axes(view, node)):
        return None
    if view.kind(node) == "Expand" and len(shape) != len(result):
        return None
    if view.kind(node) == "Expand" and shape[axis] == 1:
        return NodeCutRule(axis, alike=frozenset({sizes}))
    if len(result) <= axis or result[axis] not in (shape[axis], None) or not isinstance(shape[axis], int):
        return None
    return NodeCutRule(axis, slices=(OperandSlice(0, axis),), alike=frozenset({data, sizes}))


def _joined_sizes(view: GraphView, node: int, cut: Mapping[str, int]) -> NodeCutRule | None:
    """Lists of sizes that become one; one of them alone counts the channels."""
    (tensor, axis), *others = cut.items()
    return None if others or axis >= 0 else concat_rule(view, node, tensor, ~axis)


def _expand(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    """To constant sizes, that of the channels being 1 or their number."""
    shape, sizes = _source(view, node), view.integers(node, "shape", 1)
    if sizes is None:
        same = len(view.shape(view.nodes[node].output[0])) == len(shape)
        return NodeCutRule(axis) if same and element(view, view.nodes[node].input[1], axis) == 1 else None
    if len(sizes) > len(shape) or view.nodes[node].input[0] in view.constants:
        return None
    own = axis - (len(shape) - len(sizes))
    if own < 0 or sizes[own] == 1:
        return NodeCutRule(axis)
    return NodeCutRule(axis, size=(1, own)) if sizes[own] == shape[axis] != 1 else None


_COMPARING = {"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"}

_ENTRYWISE = vocabulary.AFFINE | _COMPARING | {"And", "Max", "Mean", "Min", "Or", "Pow", "Sum", "Where"}
"""Operators of several tensors, entry by entry."""

_UNARY = _ENTRYWISE | vocabulary.ACTIVATIONS | vocabulary.DROPOUT
_UNARY |= {"Abs", "Cast", "Ceil", "Cos", "Erf", "Exp", "Floor", "Identity", "Log", "Neg", "Not", "Reciprocal", "Round"}
_UNARY |= {"Sign", "Sin", "Sqrt", "Swish"}

_BROADCAST_OF_OLD = vocabulary.AFFINE | {"Pow"}
"""Below opset 7 attributes say where their second operand stands."""

_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(_UNARY, _elementwise),
    "BatchNormalization": _per_channel(1, 2, 3, 4),
    "InstanceNormalization": _per_channel(1, 2),
    "GroupNormalization": _group_norm,
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
    "Slice": slice_rule,
    "Split": split_rule,
    "Gather": gather_rule,
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    "LayerNormalization": _layer_norm,
    "Softmax": _softmax,
    "Shape": shape_rule,
    "Expand": _expand,
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), _quantisation),
}

_SEVERAL: Mapping[str, Callable[[GraphView, int, Mapping[str, int]], NodeCutRule | None]] = {
    **dict.fromkeys(_ENTRYWISE, _broadcast),
    **dict.fromkeys(("Expand", "Reshape", "Resize", "Upsample"), _to_sizes),
    "Concat": _joined_sizes,
}
