"""ONNX → architecture: load, validate, infer shapes, group nodes into operations and feature maps."""

from natonnx.frontend.load import default_opset, read
from natonnx.frontend.network import EdgeBinding, MapBinding, Network, OpaqueNode
from natonnx.frontend.parse import WINDOW, parse
from natonnx.frontend.program import Instruction, RunNode, RunSkip, RunSum, lower

__all__ = [
    "WINDOW",
    "EdgeBinding",
    "Instruction",
    "MapBinding",
    "Network",
    "OpaqueNode",
    "RunNode",
    "RunSkip",
    "RunSum",
    "default_opset",
    "lower",
    "parse",
    "read",
]
