"""Which ONNX operators play which part in the NAT DAG."""

__all__ = ["ACTIVATIONS", "AFFINE", "COMPUTE", "DROPOUT", "JOINS", "NORMALISATIONS", "TRAINABLE"]

COMPUTE = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "MaxPool", "AveragePool", "LpPool"})
"""Operators that an O edge can carry; all inputs but the first must be constant."""

ACTIVATIONS = frozenset(
    {"Celu", "Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Relu", "Selu"}
    | {"Sigmoid", "Softplus", "Softsign", "Tanh", "ThresholdedRelu"}
)
"""Elementwise operators of one tensor; further inputs (limits, slopes) must be constant."""

NORMALISATIONS = frozenset({"BatchNormalization", "InstanceNormalization"})
"""Per-channel operators that belong to the operation before them."""

AFFINE = frozenset({"Add", "Sub", "Mul", "Div"})
"""With one constant operand that does not change the shape: a bias or a scale that belongs to the operation before."""

DROPOUT = frozenset({"Dropout"})
"""Identities at inference time."""

JOINS = frozenset({"Add", "Sum"})
"""With several variable operands of one shape: a sum join."""

TRAINABLE: dict[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (0, 1),
    "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "PRelu": (1,),
    "Gather": (0,),
    "Add": (0, 1),
    "Sub": (0, 1),
    "Mul": (0, 1),
    "Div": (0, 1),
}
"""Input positions that hold trainable tensors, where they are constant, floating and not scalar."""
