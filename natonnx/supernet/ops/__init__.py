"""ONNX operators in torch, one handler each, in one table.

A handler turns a node (`OpSpec`) into a kernel: a function of the node's inputs that does only tensor work, runs on
any device and is differentiable. Each module holds one family; importing it enters its operators into the table.
"""

from natonnx.supernet.ops import (
    activation,
    arithmetic,
    attention,
    convolution,
    creation,
    indexing,
    linear,
    loss,
    normalization,
    ordering,
    pooling,
    quantization,
    recurrent,
    reduction,
    resize,
    sampling,
    signal,
    spatial,
    structure,
)
from natonnx.supernet.ops.registry import (
    Kernel,
    OpSpec,
    UnsupportedOpError,
    build,
    host_positions,
    is_mode_dependent,
    supported,
)

__all__ = [
    "Kernel",
    "OpSpec",
    "UnsupportedOpError",
    "activation",
    "arithmetic",
    "attention",
    "build",
    "convolution",
    "creation",
    "host_positions",
    "indexing",
    "is_mode_dependent",
    "linear",
    "loss",
    "normalization",
    "ordering",
    "pooling",
    "quantization",
    "recurrent",
    "reduction",
    "resize",
    "sampling",
    "signal",
    "spatial",
    "structure",
    "supported",
]
