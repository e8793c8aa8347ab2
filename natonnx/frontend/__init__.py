"""ONNX → architecture: load, validate, infer shapes, group nodes into operations and feature maps."""

from natonnx.frontend.batch import free_batch
from natonnx.frontend.batch_axes import BatchAxes
from natonnx.frontend.load import default_opset, read
from natonnx.frontend.network import (
    WINDOW,
    EdgeBinding,
    Granularity,
    MapBinding,
    Network,
    OpaqueNode,
    ParseOptions,
    Transitions,
)
from natonnx.frontend.parse import parse, parse_with
from natonnx.frontend.program import Instruction, Program, RunConcat, RunNode, RunSelect, RunSkip, RunSum, Trim, lower
from natonnx.frontend.source import Source, load, look

__all__ = [
    "WINDOW",
    "BatchAxes",
    "EdgeBinding",
    "Granularity",
    "Instruction",
    "MapBinding",
    "Network",
    "OpaqueNode",
    "ParseOptions",
    "Program",
    "RunConcat",
    "RunNode",
    "RunSelect",
    "RunSkip",
    "RunSum",
    "Source",
    "Transitions",
    "Trim",
    "default_opset",
    "free_batch",
    "load",
    "look",
    "lower",
    "parse",
    "parse_with",
    "read",
]
