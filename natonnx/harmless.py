"""Tell the models over which inference and constant folding cannot take long, by a look at their nodes.

Most models are harmless: convolutions, products and elementwise operators, with sizes that lie in the file as
constants. There each node's inference takes time in proportion to the rank of its tensors, which is small, and no
constant is larger than what the file holds. Of any other model this cannot be told without doing what inference does;
what is run over it runs in the worker (`natonnx.limits`).
"""

import math
from collections.abc import Iterable

import onnx

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
    highest = _LONGEST
    for node in graph.node:
        kind, inputs = node.op_type, list(filter(None, node.input))
        if not _are_plain(node.attribute):
            return False
        if kind == "Constant" and node.domain in _DOMAINS:
            stored.update((node.output[0], own.t) for own in node.attribute if own.HasField("t") and node.output)
            constant.update(node.output)
            continue
        if all(name in constant for name in inputs):
            if kind not in _KEEPING or node.domain not in _DOMAINS:
                return False
            constant.update(node.output)
        if node.domain not in _DOMAINS:  # onnx knows nothing of them, and onnxruntime folds constants alone
            if node.domain != "com.microsoft":
                return False
        elif kind in _SIZED:
            if not all(name in stored and _is_small(stored[name]) for name in filter(None, node.input[1:])):
                return False
            highest += _LONGEST if kind == "Unsqueeze" else 0
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
