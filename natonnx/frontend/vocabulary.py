"""Which ONNX operators play which part in the NAT DAG."""

from collections.abc import Mapping

__all__ = [
    "ACTIVATIONS",
    "AFFINE",
    "COMPUTE",
    "DEFAULT_DOMAIN",
    "DENSE",
    "DROPOUT",
    "JOINS",
    "NORMALISATIONS",
    "PRODUCTS",
    "QUANTISED",
    "TRAINABLE",
]

DEFAULT_DOMAIN = frozenset({"", "ai.onnx"})
"""The two spellings of ONNX's own operator set."""

COMPUTE = frozenset({"Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul", "MaxPool", "AveragePool", "LpPool"})
"""Operators that an O edge can carry. All inputs but the first must be constant; of a product, all but one."""

PRODUCTS = frozenset({"Einsum", "MatMul"})
"""Of these, the products of two tensors, either of which may be the constant."""

DENSE = frozenset({"Conv", "ConvTranspose", "Gemm"})
"""Of these, the operators each of whose outputs reads all channels, unless they work by groups."""

ACTIVATIONS = frozenset(
    {"Celu", "Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Relu", "Selu"}
    | {"Sigmoid", "Softplus", "Softsign", "Tanh", "ThresholdedRelu"}
)
"""Elementwise operators of one tensor; further inputs (limits, slopes) must be constant."""

NORMALISATIONS = frozenset({"BatchNormalization", "InstanceNormalization"})
"""Per-channel operators that belong to the operation before them."""

AFFINE = frozenset({"Add", "Sub", "Sum", "Mul", "Div"})
"""With one variable operand, the shape of which constants do not change: a bias or a scale that belongs to the
operation before."""

DROPOUT = frozenset({"Dropout"})
"""Identities at inference time."""

JOINS = frozenset({"Add", "Sum"})
"""With several variable operands of one shape: a sum join."""

QUANTISED = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"})
QUANTISED |= {"ConvInteger", "MatMulInteger"}
"""Operators on quantised numbers."""

_BOTH = frozenset({0, 1})
_WEIGHT_AND_BIAS = frozenset({1, 2})

TRAINABLE: Mapping[str, frozenset[int]] = {
    "Conv": _WEIGHT_AND_BIAS,
    "ConvTranspose": _WEIGHT_AND_BIAS,
    "Gemm": _WEIGHT_AND_BIAS,
    "MatMul": _BOTH,
    "Einsum": _BOTH,
    "BatchNormalization": _WEIGHT_AND_BIAS,  # never 3 and 4, the running statistics
    "InstanceNormalization": _WEIGHT_AND_BIAS,
    "LayerNormalization": _WEIGHT_AND_BIAS,
    "GroupNormalization": _WEIGHT_AND_BIAS,
    "PRelu": frozenset({1}),
    "RMSNormalization": frozenset({1}),
    "LSTM": frozenset({1, 2, 3, 7}),  # 7: peepholes
    "GRU": frozenset({1, 2, 3}),
    "RNN": frozenset({1, 2, 3}),
    "DeformConv": frozenset({1, 3}),
    "Gather": frozenset({0}),
    "Add": _BOTH,
    "Sub": _BOTH,
    "Mul": _BOTH,
    "Div": _BOTH,
}
"""For each operator, the input positions that hold trainable tensors, where those are constant and floating. A single
number of Add, Sub, Mul or Div is none: it is a constant of the architecture, such as the 6 of a hard swish."""
