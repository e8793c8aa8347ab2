"""Tell the models over which inference and constant folding cannot take long, by a look at their nodes.

Most models are harmless: convolutions, products and elementwise operators, with sizes that lie in the file as
constants. There each node's inference takes time in proportion to the rank of its tensors, which is small, and no
constant is larger than what the file holds. Of any other model this cannot be told without doing what inference does;
what is run over it runs in the worker (`natonnx.limits`).
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import onnx

from natonnx.sizes import UNKNOWN, Sizes, compute, stored_sizes

__all__ = ["is_harmless"]

_DOMAINS = frozenset({"", "ai.onnx"})

_PLAIN = frozenset(
    {"Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "AveragePool"}
    | {"BatchNormalization", "Cast", "Ceil", "Celu", "Clip", "Concat", "Conv", "ConvInteger", "ConvTranspose", "Cos"}
    | {"Cosh", "CumSum", "DepthToSpace", "DequantizeLinear", "Div", "Dropout", "DynamicQuantizeLinear", "Elu", "Equal"}
    | {"Erf", "Exp", "Flatten", "Floor", "GRU", "Gelu", "Gemm", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"}
    | {"Greater", "GreaterOrEqual", "GroupNormalization", "HardSigmoid", "HardSwish", "Hardmax", "Identity"}
    | {"InstanceNormalization", "IsInf", "IsNaN", "LRN", "LSTM", "LayerNormalization", "LeakyRelu", "Less"}
    | {"LessOrEqual", "Log", "LogSoftmax", "LpNormalization", "LpPool", "MatMul", "MatMulInteger", "Max", "MaxPool"}
    | {"Mean", "MeanVarianceNormalization", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow"}
    | {"QLinearConv", "QLinearMatMul", "QuantizeLinear", "RMSNormalization", "RNN", "Reciprocal", "Relu", "Round"}
    | {"Selu", "Shape", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Size", "Softmax", "Softplus", "Softsign"}
    | {"SpaceToDepth", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Transpose", "Trilu", "Where"}
    | {"Xor"}
)
"""Operators whose result has about the rank of their operands, whatever these hold."""

_SIZED = frozenset(
    {"Expand", "Pad", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean"}
    | {"ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Reshape", "Resize", "Slice", "Split", "Squeeze"}
    | {"Tile", "Unsqueeze", "Upsample"}
)
"""Operators whose further operands say what rank and sizes the result has: these must lie in the file."""

_KEEPING = frozenset({"Cast", "DequantizeLinear", "Identity", "QuantizeLinear", "Reshape", "Transpose", "Unsqueeze"})
"""Operators whose result is no larger than their first operand, for constants."""

_NO_LARGER = frozenset({"Reshape", "Slice", "Split"})
"""Those among them whose results are no larger than their first operand, whatever sizes are computed for them."""

_LONGEST = 64
"""Entries of an operand that gives sizes, or of a shape in the file."""

_HIGHEST = 1000
"""Rank that the tensors may reach; the sum of what each node could add."""

_LARGEST = 1 << 20
"""Numbers in attributes and in operands that give sizes."""


def is_harmless(model: onnx.ModelProto) -> bool:
    """Whether onnx's inference and onnxruntime's constant folding cannot take long; False where that cannot be told.

    Args:
        model: The model; every tensor of it that says that it holds its values does hold them.
    """
    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer:
        return False
    for info in (*graph.input, *graph.output, *graph.value_info):
        if info.type.WhichOneof("value") not in {None, "tensor_type"}:
            return False
        if len(info.type.tensor_type.shape.dim) > _LONGEST:
            return False
    stored = {tensor.name: tensor for tensor in graph.initializer}
    constant = set(stored)
    sizes = _KnownSizes(stored)
    highest, grown = _LONGEST, 1
    for node in graph.node:
        kind, read, is_own = node.op_type, tuple(node.input), node.domain in _DOMAINS
        inputs = [name for name in read if name]
        if not _are_plain(node.attribute):
            return False
        if kind == "Constant" and is_own:
            stored.update((node.output[0], own.t) for own in node.attribute if own.HasField("t") and node.output)
            constant.update(node.output)
            continue
        if is_own and sizes.add(node, read):
            constant.update(node.output)
            continue
        if kind == "Expand" and sizes.may_expand(inputs):
            grown *= sizes.growth(*inputs)
            if grown > _LARGEST:
                return False
            continue
        if kind == "Range" and sizes.is_counting(inputs):
            continue
        if constant.issuperset(inputs):
            if kind not in _KEEPING or not is_own:
                return False
            constant.update(node.output)
        if not is_own:  # onnx knows nothing of them, and onnxruntime folds constants alone
            if node.domain != "com.microsoft":
                return False
        elif kind in _SIZED:
            made = sizes if kind in _NO_LARGER else ()
            operands = filter(None, read[1:])
            if not all((name in stored and _is_small(stored[name])) or name in made for name in operands):
                return False
            highest += _axes(node, stored) if kind == "Unsqueeze" else 0
        elif kind == "Gather":
            indices = [stored[name] for name in inputs[1:] if name in stored]
            highest = highest + len(indices[0].dims) if indices else 2 * highest
        elif kind == "Shape":
            constant.update(node.output)
        elif kind == "Einsum":
            if any(b"." in own.s for own in node.attribute):
                return False
        elif kind not in _PLAIN:
            return False
        if highest > _HIGHEST:
            return False
    return True


class _KnownSizes:
    """The short lists of sizes that nodes make of shapes and of constants."""

    def __init__(self, stored: Mapping[str, onnx.TensorProto]) -> None:
        self._stored = stored
        self._made: dict[str, Sizes] = {}

    def __contains__(self, name: object) -> bool:
        return self._made.get(str(name), UNKNOWN) != UNKNOWN

    def add(self, node: onnx.NodeProto, read: Sequence[str]) -> bool:
        """Take up a node that makes such a list, of which not even the length need be known, of what it reads."""
        first, is_shape = self._of(read[0]) if read else None, node.op_type == "Shape"
        if (first is None and not is_shape) or len(node.output) != 1:
            return False
        operands: list[Sizes | None] = [first, *(self._of(name) if name else None for name in read[1:])]
        if is_shape:
            operands = [UNKNOWN if first is None or first == UNKNOWN else Sizes((len(first.entries),) * first.rank)]
        made = compute(node, operands)
        if made is None:
            return False
        self._made[node.output[0]] = made
        return True

    def may_expand(self, names: Sequence[str]) -> bool:
        """Whether an Expand over these is to a computed shape, and by how much it grows can be told."""
        if len(names) != 2 or names[1] not in self._made:
            return False
        return self._made[names[1]] == UNKNOWN or names[0] in self._stored

    def growth(self, tensor: str, target: str) -> int:
        """By how much an Expand makes a size larger, at most; more than is allowed where that is not known.

        To all of another tensor's shape it makes nothing larger than their sum would be.
        """
        sizes = self._made[target]
        if sizes == UNKNOWN:
            return 1
        if sizes.entries.count(None) > 1:
            return _LARGEST + 1
        return math.prod([*self._stored[tensor].dims, *(max(abs(one), 1) for one in sizes.entries if one is not None)])

    def is_counting(self, names: Sequence[str]) -> bool:
        """Whether a Range over these makes no more numbers than a size is."""
        start, end, step = (self._of(name) for name in names) if len(names) == 3 else (None, None, None)
        ends = end is not None and end.rank == 0 and end.entries == (None,)
        return ends and start is not None and start.entries == (0,) and step is not None and step.entries == (1,)

    def _of(self, name: str) -> Sizes | None:
        made = self._made.get(name)
        return stored_sizes(self._stored[name]) if made is None and name in self._stored else made


def _axes(node: onnx.NodeProto, stored: Mapping[str, onnx.TensorProto]) -> int:
    """How many axes an Unsqueeze adds."""
    if len(node.input) > 1:
        return math.prod(stored[node.input[1]].dims)
    return sum(len(own.ints) for own in node.attribute)


def _are_plain(attributes: Iterable[onnx.AttributeProto]) -> bool:
    """Whether attributes hold no graphs, no long lists, and no numbers from which much could be made."""
    for own in attributes:
        if own.HasField("g") or own.graphs or own.HasField("sparse_tensor") or own.tensors or own.sparse_tensors:
            return False
        if abs(own.i) > _LARGEST or len(own.ints) > _LONGEST or len(own.s) > _HIGHEST:
            return False
        if own.name not in {"axes", "ends"} and any(abs(number) > _LARGEST for number in own.ints):
            return False
    return True


def _is_small(tensor: onnx.TensorProto) -> bool:
    return len(tensor.dims) <= 1 and math.prod(tensor.dims) <= _LONGEST
