"""What each operator does behind a concat that loses a member.

The reference is the file itself, run by onnxruntime, with zeros in those rows of the absorbing weight that the lost
channels would meet: as long as every channel goes its own way to there, leaving it out comes to the same.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from natonnx.architecture import Architecture, State, cost, legal_transitions, violation
from natonnx.frontend import Network, parse
from natonnx.frontend.cut_rules import _RULES
from natonnx.rewrite import build
from natonnx.supernet import Supernet
from tests.rewrite.helpers import Builder, arrays, assert_close, copy, images, runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Put = Callable[[Builder], Any]

LOST = [3, 4]
"""The channels of the member b, behind the three of a and before the three of d."""
SIDE = 4
CHANNELS = 8


def _spread(repeat: int) -> list[int]:
    """The entries of lost channels that became `repeat` entries each."""
    return [repeat * channel + k for channel in LOST for k in range(repeat)]


class Case(NamedTuple):
    """What stands between the concat's channels, all in (0, 1), in the tensor `c`, and the absorbing node.

    Attributes:
        kinds: The operators that the case is about.
        put: Writes nodes from `c`; returns the tensor that the absorbing node reads.
        gone: Rows of the absorbing weight that belong to lost channels.
        absorber: "Conv" along axis 1, or "MatMul" along the last one; "" where the case has its own, of weight W.
        rows: Number of rows of the absorbing weight.
        opset: Of the model.
    """

    kinds: tuple[str, ...]
    put: Put
    gone: Sequence[int] = LOST
    absorber: str = "Conv"
    rows: int = CHANNELS
    opset: int = 17


def fork(opset: int = 17) -> Builder:
    """Images x of 4 channels; c = sigmoid of the concat of three convolutions of x."""
    graph = Builder(opset=opset, size=SIDE)
    for name, channels in [("a", 3), ("b", 2), ("d", 3)]:
        graph.conv("x", name, channels)
    graph.op("Concat", "a", "b", "d", out="joined", axis=1)
    graph.channels["joined"] = CHANNELS
    graph.op("Sigmoid", "joined", out="c")
    return graph


def _model(case: Case) -> onnx.ModelProto:
    graph = fork(case.opset)
    last = case.put(graph)
    if case.absorber == "Conv":
        graph.op("Conv", last, graph.weight("W", 4, case.rows, 1, 1), out="y")
    elif case.absorber == "MatMul":
        graph.op("MatMul", last, graph.weight("W", case.rows, 5), out="y")
    return graph.model("y")


def _op(kind: str, *constants: Any, opset: int = 17, **attributes: Any) -> Case:
    """One node over `c` and constants."""

    def put(graph: Builder) -> str:
        names = [graph.constant(f"k{i}", np.asarray(value)) for i, value in enumerate(constants)]
        return graph.op(kind, "c", *names, out="m", **attributes)

    return Case((kind,), put, opset=opset)


def _channelwise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0.5, 2, shape).astype(np.float32)


def _first(kind: str) -> Case:
    """The constant is the first operand."""
    return Case((kind,), lambda g: g.op(kind, g.constant("k", _channelwise(8, 1, 1)), "c", out="m"))


def _pooled(graph: Builder) -> str:
    return graph.op("GlobalAveragePool", "c", out="pooled")


def _reshaped(source: str, *target: int) -> Put:
    return lambda g: g.op("Reshape", source, g.constant("target", np.array(target)), out="m")


def _depthwise(graph: Builder, kind: str, multiplier: int) -> str:
    shape = (CHANNELS, multiplier) if kind == "ConvTranspose" else (CHANNELS * multiplier, 1)
    weight, bias = graph.weight("k", *shape, 3, 3), graph.weight("bias", CHANNELS * multiplier)
    return graph.op(kind, "c", weight, bias, out="m", group=CHANNELS, pads=[1] * 4)


def _transposed(graph: Builder) -> str:
    graph.op("ConvTranspose", "c", graph.weight("W", CHANNELS, 4, 2, 2), out="y")
    return "y"


def _gemm(rows_last: int) -> Put:
    def put(graph: Builder) -> str:
        flat = graph.op("Flatten", "c", out="m")
        shape = (5, 128) if rows_last else (128, 5)
        return graph.op("Gemm", flat, graph.weight("W", *shape), graph.weight("bias", 5), out="y", transB=rows_last)

    return put


def _reduced(kind: str, keepdims: int, opset: int) -> Case:
    def put(graph: Builder) -> str:
        if opset < 18 and kind != "ReduceSum":
            return graph.op(kind, "c", out="m", axes=[2, -1], keepdims=keepdims)
        return graph.op(kind, "c", graph.constant("axes", np.array([2, -1])), out="m", keepdims=keepdims)

    return Case((kind,), put, absorber="Conv" if keepdims else "MatMul", opset=opset)


def _reduced_before(graph: Builder) -> str:
    """The axes of the places stand before that of the channels."""
    last = graph.op("Transpose", "c", out="t", perm=[0, 2, 3, 1])
    return graph.op("ReduceMean", last, out="m", axes=[1, 2], keepdims=0)


def _layer_norm(graph: Builder) -> str:
    parts = [graph.weight(name, SIDE, SIDE) for name in ("scale", "shift")]
    return graph.op("LayerNormalization", "c", *parts, out="m", axis=2)


def _layer_norm_of_wide_scale(graph: Builder) -> str:
    """The scale may have more axes than are normalised, that of the channels too."""
    parts = [graph.weight(name, CHANNELS, SIDE, SIDE) for name in ("scale", "shift")]
    return graph.op("LayerNormalization", "c", *parts, out="m", axis=-1)


def _split(graph: Builder, axis: int = -2) -> str:
    """Only one half is read."""
    graph.nodes.append(onnx.helper.make_node("Split", ["c"], ["m", "rest"], "M", axis=axis))
    return "m"


def _slice(graph: Builder) -> str:
    bounds = [
        graph.constant(name, np.array(value)) for name, value in [("s", [0, 1]), ("e", [3, 4]), ("axes", [3, -2])]
    ]
    return graph.op("Slice", "c", *bounds, out="m")


def _resize(graph: Builder) -> str:
    return graph.op("Resize", "c", "", graph.constant("k", np.array([1, 1, 2, 2], np.float32)), out="m")


def _upsample(graph: Builder) -> str:
    """onnx infers no sizes for it."""
    up = graph.op("Upsample", "c", graph.constant("k", np.array([1, 1, 2, 2], np.float32)), out="m")
    return graph.op("Transpose", up, out="t", perm=[0, 2, 3, 1])


def _normalised(kind: str, parts: int) -> Put:
    return lambda g: g.op(kind, "c", *(g.constant(f"k{i}", _channelwise(CHANNELS)) for i in range(parts)), out="m")


def _list(graph: Builder, name: str, *parts: int | str) -> str:
    """A list of sizes: numbers, and single sizes that nodes compute."""
    one = graph.constant(f"{name}.at", np.array([0]))
    lists = [
        graph.constant(f"{name}.{i}", np.array([part]))
        if isinstance(part, int)
        else graph.op("Unsqueeze", part, one, out=f"{name}.{i}")
        for i, part in enumerate(parts)
    ]
    return graph.op("Concat", *lists, out=name, axis=0)


def _size(graph: Builder, tensor: str, axis: int) -> str:
    """One size of a tensor, as torch's exporter reads it."""
    name = f"{tensor}.size{axis}"
    shape = graph.op("Shape", tensor, out=f"{name}.shape")
    return graph.op("Gather", shape, graph.constant(f"{name}.axis", np.array(axis)), out=name, axis=0)


def _sliced(start: int, end: int, step: int = 1) -> Put:
    def put(graph: Builder) -> str:
        bounds = [graph.constant(f"k{i}", np.array([one])) for i, one in enumerate((start, end, 1, step))]
        return graph.op("Slice", "c", *bounds, out="m")

    return put


def _halves(graph: Builder) -> str:
    """As torch's exporter writes `chunk` where sizes are open; the second half comes first."""
    one, two = graph.constant("one", np.array([1])), graph.constant("two", np.array([2]))
    more = graph.op("Add", graph.op("Gather", graph.op("Shape", "c", out="shape"), one, out="size"), one, out="more")
    half = graph.op("Div", more, two, out="half")
    graph.op("Slice", "c", graph.constant("zero", np.array([0])), half, one, out="first")
    graph.op("Slice", "c", half, graph.op("Mul", half, two, out="all"), one, out="second")
    return graph.op("Concat", "second", "first", out="m", axis=1)


def _split_channels(graph: Builder, *sizes: int) -> str:
    """In parts of which the second comes first."""
    inputs = ["c", *([graph.constant("sizes", np.array(sizes))] if sizes and graph.opset >= 13 else [])]
    halves = {} if sizes else {"num_outputs": 2}
    attributes = {"split": list(sizes)} if graph.opset < 13 else halves
    graph.nodes.append(onnx.helper.make_node("Split", inputs, ["first", "second"], "HALVES", axis=1, **attributes))
    return graph.op("Concat", "second", "first", out="m", axis=1)


def _gathered(graph: Builder) -> str:
    return graph.op("Gather", "c", graph.constant("k", np.array([5, 3, -1, 4])), out="m", axis=1)


def _shuffled(graph: Builder, *, computed: bool = False) -> str:
    """Of two groups."""
    sizes = [-1, 2, 4, SIDE, SIDE], [-1, CHANNELS, SIDE, SIDE]
    if computed:
        batch, count = _size(graph, "c", 0), _size(graph, "c", 1)
        half = graph.op("Div", count, graph.constant("two", np.array(2)), out="half")
        targets = [_list(graph, "to5", batch, 2, half, SIDE, SIDE), _list(graph, "to4", batch, count, SIDE, SIDE)]
    else:
        targets = [graph.constant(f"to{len(one)}", np.array(one)) for one in sizes]
    parted = graph.op("Reshape", "c", targets[0], out="parted")
    turned = graph.op("Transpose", parted, out="turned", perm=[0, 2, 1, 3, 4])
    return graph.op("Reshape", turned, targets[1], out="m")


def _paired(graph: Builder) -> str:
    """The concat's channels with those of b, which go, in front and behind: none of its pairs are torn."""
    return graph.op("Gather", "c", graph.constant("pairs", np.array([0, 1, 2, 5, 6, 7, 3, 4])), out="paired", axis=1)


def _norm_of_groups(graph: Builder, *sizes: int) -> str:
    """As exporters write it below opset 21; to the sizes of what is normalised, where none are given."""
    source = _paired(graph)
    parted = graph.op("Reshape", source, graph.constant("parted.to", np.array([0, 4, -1])), out="parted")
    one, zero = graph.constant("one", np.ones(4, np.float32)), graph.constant("zero", np.zeros(4, np.float32))
    normed = graph.op("InstanceNormalization", parted, one, zero, out="normed")
    whole = graph.constant("to", np.array(sizes)) if sizes else graph.op("Shape", source, out="shape")
    back = graph.op("Reshape", normed, whole, out="back")
    return graph.op("Mul", back, graph.weight("scale", CHANNELS, 1, 1), out="m")


def _flattened_by_shape(graph: Builder) -> str:
    return graph.op("Reshape", "c", _list(graph, "target", _size(graph, "c", 0), -1), out="m")


def _viewed_by_shape(graph: Builder) -> str:
    """The number of channels itself is read: of the tensor that is viewed, it stays right."""
    sizes = _list(graph, "target", _size(graph, "c", 0), _size(graph, "c", 1))
    return graph.op("Reshape", _pooled(graph), graph.op("Cast", sizes, out="cast", to=7), out="m")


def _resized_by_shape(graph: Builder) -> str:
    bounds = [graph.constant(name, np.array([value])) for name, value in [("from", 0), ("to", 2)]]
    leading = graph.op("Slice", graph.op("Shape", "c", out="shape"), *bounds, out="leading")
    sizes = graph.op("Concat", leading, graph.constant("places", np.array([8, 8])), out="sizes", axis=0)
    return graph.op("Resize", "c", "", "", sizes, out="m")


def _shape_of_places(graph: Builder) -> str:
    """Shape can read some axes alone, from opset 15 on."""
    places = graph.op("Shape", "c", out="places", start=2)
    sizes = graph.op("Concat", graph.constant("leading", np.array([1, 1])), places, out="sizes", axis=0)
    return graph.op("Mul", "c", graph.op("Expand", graph.weight("k", 1, 8, 1, 1), sizes, out="wide"), out="m")


def _expanded(graph: Builder) -> str:
    return graph.op("Mul", "c", graph.op("Expand", _pooled(graph), graph.op("Shape", "c", out="s"), out="e"), out="m")


def _gated_by_other(graph: Builder) -> str:
    """The gate is whole: the product reads a part of it."""
    gate = graph.op("Sigmoid", graph.op("GlobalAveragePool", graph.conv("x", "o", 8), out="p"), out="gate")
    return graph.op("Mul", "c", gate, out="m")


def _gated_by_places(graph: Builder) -> str:
    """One gate for all channels of a place."""
    return graph.op("Mul", "c", graph.op("Sigmoid", graph.conv("x", "o", 1), out="gate"), out="m")


def _hard_swish(graph: Builder) -> str:
    """Written out, and `c` is read by others too."""
    graph.op("Add", "c", graph.constant("three", np.array(3, np.float32)), out="plus")
    limits = [graph.constant(f"limit{i}", np.array(i, np.float32)) for i in (0, 6)]
    graph.op("Mul", "c", graph.op("Clip", "plus", *limits, out="clip"), out="product")
    swish = graph.op("Div", "product", "limit6", out="swish")
    return graph.op("Mul", graph.op("MaxPool", "c", out="pool", kernel_shape=[1, 1]), swish, out="m")


def _of_several(graph: Builder) -> str:
    """Operators of any number of tensors, here of one and a constant."""
    graph.op("Min", "c", graph.weight("k", 8, 1, 1), out="low")
    graph.op("Sum", graph.op("Max", "c", "low", out="high"), "k", out="sum")
    return graph.op("Mean", "sum", "k", out="m")


def _led_to_shape(graph: Builder) -> str:
    """A whole tensor takes the shape of one that is cut."""
    sizes = _list(graph, "sizes", _size(graph, "c", 0), _size(graph, "c", 1), -1, 1)
    graph.op("Reshape", graph.op("GlobalAveragePool", graph.conv("x", "other", 8), out="p"), sizes, out="gate")
    return graph.op("Mul", "c", "gate", out="m")


def _chosen(graph: Builder) -> str:
    large = graph.op("Greater", "c", graph.constant("half", np.array(0.5, np.float32)), out="large")
    either = graph.op("Or", large, graph.op("Not", large, out="not"), out="either")
    both = graph.op("And", either, large, out="both")
    return graph.op("Where", both, "c", graph.op("Mul", "c", graph.weight("k", 8, 1, 1), out="small"), out="m")


def _compared(kind: str, graph: Builder) -> str:
    """With numbers that are met exactly; whether they are is a factor."""
    graph.op("Round", "c", out="round")
    same = graph.op(kind, "round", graph.constant("k", np.eye(1, 8, dtype=np.float32).reshape(8, 1, 1)), out="same")
    return graph.op("Mul", "c", graph.op("Cast", same, out="number", to=1), out="m")


COMPARING = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]


def _quantised(graph: Builder, *sizes: int) -> str:
    """And back, by one scale or by one a channel."""
    scale = graph.constant("scale", _channelwise(*sizes) / 64)
    zero = graph.constant("zero", np.zeros(sizes, np.int8))
    graph.op("QuantizeLinear", "c", scale, zero, out="q", axis=1)
    return graph.op("DequantizeLinear", "q", scale, zero, out="m", axis=1)


def _resized_to(graph: Builder) -> str:
    """A list of sizes is constant, that of the batch too."""
    graph.op("Resize", "c", "", "", graph.constant("k", np.array([2, 8, 8, 8])), out="m")
    return graph.op("Reshape", "m", graph.constant("target", np.array([2, 8, 8, 8])), out="r")


def _shared_weights(graph: Builder) -> str:
    """Two normalisations share one constant, which is the scale and the variance of both."""
    one, zero = graph.constant("one", _channelwise(8)), graph.constant("zero", _channelwise(8) - 1)
    graph.op("BatchNormalization", "c", one, zero, zero, one, out="m")
    other = graph.op("BatchNormalization", graph.conv("x", "other", 8), one, zero, zero, one, out="n")
    return graph.op("Mul", "m", other, out="product")


def _computed_constant(graph: Builder) -> str:
    """A scale that nodes compute, and that two nodes read."""
    half = graph.op("Mul", graph.weight("k", 8, 1, 1), graph.constant("half", np.array(0.5, np.float32)), out="scale")
    double = graph.op("Cast", graph.op("Identity", half, out="same"), out="cast", to=1)
    graph.op("Add", graph.op("Mul", "c", double, out="product"), "scale", out="m")
    return "m"


def _chain(graph: Builder) -> str:
    """Everything that one sees in a classifier's head, one behind the other."""
    graph.batchnorm("c", "m1")
    graph.op("Mul", "m1", graph.weight("m2.k", 1, CHANNELS, 1, 1), out="m2")
    graph.op("MaxPool", "m2", out="m3", kernel_shape=[2, 2], strides=[2, 2])
    graph.op("Transpose", "m3", out="m4", perm=[0, 2, 3, 1])
    graph.op("Transpose", "m4", out="m5", perm=[0, 3, 1, 2])
    return graph.op("Flatten", "m5", out="m")


UNARY = [
    "Abs",
    "Ceil",
    "Celu",
    "Cos",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
]
UNARY += ["Log", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt"]
UNARY += ["Tanh", "ThresholdedRelu", "Dropout"]

CASES = {
    **{kind: _op(kind) for kind in UNARY},
    "Gelu": _op("Gelu", opset=20),
    "Mish": _op("Mish", opset=18),
    "Cast": Case(("Cast",), lambda g: g.op("Cast", g.op("Cast", "c", out="f64", to=11), out="m", to=1)),
    "Clip": _op("Clip", np.float32(0.2), np.float32(0.7)),
    "PRelu": _op("PRelu", _channelwise(8, 1, 1)),
    "PRelu of one slope": _op("PRelu", _channelwise(1)),
    "Add": _op("Add", _channelwise(8, 1, 1)),
    "Add of a number": _op("Add", np.float32(2)),
    "Sub": _op("Sub", _channelwise(1, 8, 1, 1)),
    "Sub, constant first": _first("Sub"),
    "Mul": _op("Mul", _channelwise(8, 4, 4)),
    "Mul of places, not channels": _op("Mul", _channelwise(4, 1)),
    "Div": _op("Div", _channelwise(8, 1, 1)),
    "Div, constant first": _first("Div"),
    "Pow": _op("Pow", np.float32(2)),
    "Pow, an exponent a channel": _op("Pow", _channelwise(8, 1, 1)),
    "BatchNormalization": Case(("BatchNormalization",), _normalised("BatchNormalization", 4)),
    "InstanceNormalization": Case(("InstanceNormalization",), _normalised("InstanceNormalization", 2)),
    "MaxPool": _op("MaxPool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "AveragePool": _op("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "AveragePool as a skip": _op("AveragePool", kernel_shape=[2, 2], strides=[2, 2]),
    "LpPool": _op("LpPool", kernel_shape=[2, 2]),
    "GlobalAveragePool": _op("GlobalAveragePool"),
    "GlobalMaxPool": _op("GlobalMaxPool"),
    "GlobalLpPool": _op("GlobalLpPool"),
    "Conv": Case(("Conv",), lambda _: "c"),
    "Conv, depthwise": Case(("Conv",), lambda g: _depthwise(g, "Conv", 1)),
    "Conv, depthwise, two filters a channel": Case(
        ("Conv",), lambda g: _depthwise(g, "Conv", 2), gone=_spread(2), rows=16
    ),
    "ConvTranspose": Case(("ConvTranspose",), _transposed, absorber=""),
    "ConvTranspose, depthwise": Case(("ConvTranspose",), lambda g: _depthwise(g, "ConvTranspose", 1)),
    "ConvTranspose, depthwise, two filters a channel": Case(
        ("ConvTranspose",), lambda g: _depthwise(g, "ConvTranspose", 2), gone=_spread(2), rows=16
    ),
    "Gemm": Case(("Gemm",), _gemm(0), gone=_spread(16), absorber=""),
    "Gemm, transB": Case(("Gemm",), _gemm(1), gone=_spread(16), absorber=""),
    "MatMul": Case(("MatMul",), lambda g: g.op("Flatten", "c", out="m"), _spread(16), "MatMul", 128),
    "Flatten": Case(("Flatten",), lambda g: g.op("Flatten", _pooled(g), out="m"), absorber="MatMul"),
    "Reshape (0, -1)": Case(("Reshape",), _reshaped("c", 0, -1), _spread(16), "MatMul", 128),
    "Reshape (-1, 128)": Case(("Reshape",), _reshaped("c", -1, 128), _spread(16), "MatMul", 128),
    "Reshape (0, 8, 16)": Case(
        ("Reshape",),
        lambda g: g.op("Transpose", _reshaped("c", 0, 8, 16)(g), out="t", perm=[0, 2, 1]),
        absorber="MatMul",
    ),
    "Reshape (0, -1, 2, 8)": Case(("Reshape",), _reshaped("c", 0, -1, 2, 8)),
    "Reshape (0, 0, 16, 1)": Case(("Reshape",), _reshaped("c", 0, 0, 16, 1)),
    "Reshape (-1, 8, 16, 1)": Case(("Reshape",), _reshaped("c", -1, 8, 16, 1)),
    "Transpose": Case(("Transpose",), lambda g: g.op("Transpose", "c", out="m", perm=[0, 2, 3, 1]), absorber="MatMul"),
    "Squeeze": Case(
        ("Squeeze",),
        lambda g: g.op("Squeeze", _pooled(g), g.constant("axes", np.array([2, -1])), out="m"),
        absorber="MatMul",
    ),
    "Unsqueeze": Case(
        ("Unsqueeze", "Squeeze"),
        lambda g: g.op(
            "Squeeze", g.op("Unsqueeze", "c", g.constant("axes", np.array([1, -1])), out="u"), "axes", out="m"
        ),
    ),
    **{
        f"{kind}, keepdims={keepdims}, opset {opset}": _reduced(kind, keepdims, opset)
        for kind in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2")
        for keepdims, opset in [(0, 13), (1, 18)]
    },
    "ReduceMean, channels last": Case(("ReduceMean",), _reduced_before, absorber="MatMul"),
    "Pad": _op("Pad", np.array([0, 0, 1, 1, 0, 0, 2, 0])),
    "Pad, reflect": _op("Pad", np.array([0, 0, 1, 1, 0, 0, 2, 0]), mode="reflect"),
    "Slice": Case(("Slice",), _slice),
    "Slice of the channels": Case(("Slice",), _sliced(1, 7), [2, 3], rows=6),
    "Slice of the channels, backwards": Case(("Slice",), _sliced(-2, 0, -2), [1], rows=3),
    "Slice of all channels": Case(("Slice",), _sliced(0, 2**62)),
    "Slice of halves by their sizes": Case(("Slice",), _halves, [0, 7]),
    "Split": Case(("Split",), _split),
    "Split of the channels": Case(("Split",), lambda g: _split_channels(g, 3, 5), [0, 1]),
    "Split of the channels in halves": Case(("Split",), _split_channels, [0, 7], opset=18),
    "Split of the channels, opset 12": Case(("Split",), lambda g: _split_channels(g, 2, 6), [1, 2], opset=12),
    "a normalisation of groups": Case((), lambda g: _norm_of_groups(g, -1, CHANNELS, SIDE, SIDE), [6, 7]),
    "a normalisation of groups by their sizes": Case((), _norm_of_groups, [6, 7]),
    "Gather": _op("Gather", np.array([0, 3, 2]), axis=2),
    "Gather of the channels": Case(("Gather",), _gathered, [1, 3], rows=4),
    "a shuffle": Case((), _shuffled, [1, 6]),
    "a shuffle by computed sizes": Case((), lambda g: _shuffled(g, computed=True), [1, 6]),
    "Resize": Case(("Resize",), _resize),
    "Upsample": Case(("Upsample",), _upsample, absorber="MatMul", opset=9),
    "Shape, flattened by": Case(("Shape", "Reshape"), _flattened_by_shape, _spread(16), "MatMul", 128),
    "Shape, viewed by": Case(("Shape", "Reshape"), _viewed_by_shape, absorber="MatMul"),
    "Shape, resized by": Case(("Shape", "Resize"), _resized_by_shape),
    "Shape of the places": Case(("Shape", "Expand"), _shape_of_places),
    "Shape of a cut tensor for a whole one": Case(("Shape", "Reshape"), _led_to_shape),
    "Expand to the shape of": Case(("Shape", "Expand"), _expanded),
    "Expand": Case(("Expand",), lambda g: g.op("Expand", _pooled(g), g.constant("k", np.array([2, 8, 4, 4])), out="m")),
    "a gate of its own": Case((), _hard_swish),
    "a gate of another tensor": Case((), _gated_by_other),
    "a gate of places": Case((), _gated_by_places),
    "Where": Case(("Where", "Greater", "Or", "And", "Not"), _chosen),
    **{kind: Case((kind,), functools.partial(_compared, kind)) for kind in COMPARING},
    "QuantizeLinear": Case(("QuantizeLinear", "DequantizeLinear"), _quantised),
    "QuantizeLinear, a scale a channel": Case(("QuantizeLinear",), lambda g: _quantised(g, 8)),
    "Resize to constant sizes": Case(("Resize", "Reshape"), _resized_to),
    "Min, Max, Sum and Mean": Case(("Min", "Max", "Sum", "Mean"), _of_several),
    "constants that nodes share": Case((), _shared_weights),
    "constants that nodes compute": Case((), _computed_constant),
    "LayerNormalization": Case(("LayerNormalization",), _layer_norm),
    "LayerNormalization, a scale a channel": Case(("LayerNormalization",), _layer_norm_of_wide_scale),
    "Softmax": _op("Softmax", axis=-1),
    "all in a row": Case(("BatchNormalization",), _chain, _spread(4), "MatMul", 32),
}


def member(network: Network, source: str) -> str:
    """Name of the edge by which a map enters the concat."""
    topology = network.architecture.topology
    concats = {topology.maps[i].name for i in topology.concats}
    return next(edge.name for edge in topology.edges if edge.source == source and edge.target in concats)


def without(network: Network, *edges: str) -> Architecture:
    """β with edges null."""
    states = list(network.architecture.states)
    for edge in edges:
        states[network.architecture.topology.edge_index[edge]] = State.N
    return network.architecture.with_states(tuple(states))


def zeroed(model: onnx.ModelProto, name: str, gone: Sequence[int], axis: int) -> onnx.ModelProto:
    """The model with zeros in a weight."""
    model = copy(model)
    for tensor in model.graph.initializer:
        if tensor.name == name:
            value = numpy_helper.to_array(tensor).copy()
            np.moveaxis(value, axis, 0)[gone] = 0
            tensor.CopyFrom(numpy_helper.from_array(value, name))
    return model


def capturing(model: onnx.ModelProto, tensor: str) -> onnx.ModelProto:
    """The model with one output, any of its tensors."""
    model = copy(model)
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(tensor))
    return model


def _row_axis(model: onnx.ModelProto) -> int:
    """Which axis of the weight W counts what is absorbed."""
    node = next(node for node in model.graph.node if "W" in node.input)
    turned = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 1 if node.op_type == "Conv" or turned else 0


def test_every_rule_has_a_case() -> None:
    elsewhere = {"GroupNormalization", "Swish"}  # onnx infers no shape of the one, onnxruntime knows not the other
    assert set(_RULES) - {kind for case in CASES.values() for kind in case.kinds} <= elsewhere


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_lost_channels_leave_no_trace(case: Case) -> None:
    model, x = _model(case), {"x": images(2, 4, SIDE)}
    network = parse(model)
    edge = member(network, "b")
    alpha = without(network, edge)
    verdict = legal_transitions(network.architecture)[network.architecture.topology.edge_index[edge]]
    assert verdict == {State.N: None}
    result = build(network, alpha)
    onnx.checker.check_model(result, full_check=True)
    expected = runtime(zeroed(model, "W", case.gone, _row_axis(model)), x)["y"]
    assert_close(runtime(result, x)["y"], expected)
    supernet = Supernet(network).eval()
    with torch.inference_mode():
        assert_close(supernet.run({"x": torch.from_numpy(x["x"])}, alpha)["y"].numpy(), expected)
    before, after = arrays(model), arrays(result)
    assert after["W"].size * case.rows == before["W"].size * (case.rows - len(case.gone)) or case.absorber == ""
    assert after["W"].size < before["W"].size
    assert cost(alpha).params == cost(parse(result).architecture).params
    assert cost(alpha).madds == cost(parse(result).architecture).madds


# What stands in the way


def _normalised_over(axis: int) -> Put:
    def put(graph: Builder) -> str:
        parts = [graph.weight(name, CHANNELS, SIDE, SIDE) for name in ("scale", "shift")]
        return graph.op("LayerNormalization", "c", *parts, out="m", axis=axis)

    return put


def _indices(graph: Builder) -> str:
    graph.nodes.append(onnx.helper.make_node("MaxPool", ["c"], ["m", "where"], "M", kernel_shape=[2, 2]))
    graph.op("Cast", "where", out="places", to=1)
    return graph.op("Mul", "m", "places", out="product")


def _summed(graph: Builder) -> str:
    return graph.op("Add", "c", graph.conv("x", "other", CHANNELS), out="m")


def _transposed_gemm(graph: Builder) -> str:
    """Rows of a transposed A are the channels."""
    flat = graph.op("Reshape", "c", graph.constant("target", np.array([8, -1])), out="flat")
    return graph.op("Gemm", flat, graph.weight("k", 8, 5), out="m", transA=1)


def _batched(graph: Builder) -> str:
    last = graph.op("Transpose", "c", out="t", perm=[0, 2, 3, 1])
    return graph.op("MatMul", last, graph.weight("k", SIDE, CHANNELS, 5), out="m")


def _attention(graph: Builder) -> str:
    last = graph.op("Reshape", "c", graph.constant("target", np.array([0, 8, 16])), out="flat")
    return graph.op("MatMul", last, graph.op("Transpose", last, out="t", perm=[0, 2, 1]), out="m")


def _of(kind: str, *constants: Any, **attributes: Any) -> Put:
    return _op(kind, *constants, **attributes).put


REFUSED: dict[str, Put] = {
    "LayerNormalization over the channels": _normalised_over(1),
    "LayerNormalization over the channels, counted from the end": _normalised_over(-3),
    "Softmax over the channels": _of("Softmax", axis=1),
    "Softmax over the channels, counted from the end": _of("Softmax", axis=-3),
    "LogSoftmax": _of("LogSoftmax", axis=1),
    "ReduceMean over the channels": _of("ReduceMean", axes=[1], keepdims=1),
    "ReduceMean over everything": _of("ReduceMean", keepdims=1),
    "ArgMax": _of("ArgMax", axis=1),
    "MaxPool whose indices are used": _indices,
    "a sum with others": _summed,
    "Gemm, transA": _transposed_gemm,
    "MatMul by a weight of three axes": _batched,
    "MatMul with itself": _attention,
    "Pad on the channels": _of("Pad", np.array([0, 1, 0, 0, 0, 0, 0, 0])),
    "Slice of the first axes": _of("Slice", np.array([0, 1]), np.array([9, 7])),
    "Resize on the channels": lambda g: g.op(
        "Resize", "c", "", g.constant("k", np.array([1, 2, 1, 1], np.float32)), out="m"
    ),
    "Resize to computed sizes": lambda g: g.op(
        "Resize", "c", "", "", _list(g, "sizes", _size(g, "x", 0), 8, 8, 8), out="m"
    ),
    "Shape that is computed with": lambda g: g.op(
        "Reshape",
        "c",
        _list(g, "sizes", 0, g.op("Div", _size(g, "c", 1), g.constant("two", np.array(2)), out="half"), -1),
        out="m",
    ),
    "LRN": _of("LRN", size=3),
    "DepthToSpace": _of("DepthToSpace", blocksize=2),
    "Flatten before the last axes": _of("Flatten", axis=2),
    "Reshape that mixes channels and places": _reshaped("c", 0, 4, 2, 16),
    "Reshape to the batch": _reshaped("c", -1, 16),
    "Concat along another axis": lambda g: g.op("Concat", "c", g.conv("x", "o", 8), out="m", axis=2),
    "Einsum": lambda g: g.op("Einsum", "c", g.weight("k", 8, 5), out="m", equation="nchw,cd->ndhw"),
    "CumSum": _of("CumSum", np.array(1)),
}


@pytest.mark.parametrize("put", REFUSED.values(), ids=REFUSED.keys())
def test_a_member_that_is_needed_whole_may_not_go(put: Put) -> None:
    refuse(_ended(fork(), put))


def _ended(graph: Builder, put: Put) -> Network:
    """The nodes in question between `c` and a last one, named Y."""
    graph.op("ReduceMax", put(graph), out="y", keepdims=0)
    return graph.network("y")


def refuse(network: Network) -> str:
    """Neither single transitions nor the joint check let b go; return the reason, one line."""
    beta, edge = network.architecture, member(network, "b")
    concat = next(one.target for one in beta.topology.edges if one.name == edge)
    reasons: list[str] = []
    for name, start in [
        (edge, f"the concat {concat!r} cannot lose it: "),
        ("B", f"nothing else feeds 'b', a member of the concat {concat!r}, which cannot lose it: "),
    ]:
        assert violation(without(network, name), beta) is not None
        reason = legal_transitions(beta)[beta.topology.edge_index[name]][State.N]
        assert reason is not None
        assert reason.startswith(start)
        reasons.append(reason.removeprefix(start))
    assert reasons[0] == reasons[1]
    assert "\n" not in reasons[0]
    assert not re.search("'[yY]'", reasons[0]), "the last node is not what stands in the way"
    return reasons[0]


def test_a_graph_output_on_the_way_needs_its_channels() -> None:
    graph = fork()
    graph.op("MaxPool", "c", out="m", kernel_shape=[1, 1])
    graph.conv("m", "y")
    assert "'m' is an output of the model" in refuse(graph.network("y", "m"))


def test_an_output_of_the_concat_itself_needs_its_channels() -> None:
    graph = fork()
    graph.conv("c", "y")
    assert "'c' is an output of the model" in refuse(graph.network("y", "c"))


# Found in review


def _permuted_resize(graph: Builder) -> str:
    """The attribute axes says which scale is whose: that of the channels is the third."""
    return graph.op(
        "Resize", "c", "", graph.constant("k", np.array([1, 1, 2, 1], np.float32)), out="m", axes=[0, 2, 1, 3]
    )


def _cropping_resize(graph: Builder) -> str:
    """A region of interest crops the channels, at a scale of 1."""
    region = graph.constant("roi", np.array([0, 0.3, 0, 0, 1, 1, 1, 1], np.float32))
    scales = graph.constant("k", np.array([1, 1, 2, 2], np.float32))
    return graph.op("Resize", "c", region, scales, out="m", coordinate_transformation_mode="tf_crop_and_resize")


@pytest.mark.parametrize(
    ("put", "opset"),
    [
        pytest.param(_permuted_resize, 18, id="Resize with axes in another order"),
        pytest.param(_cropping_resize, 18, id="Resize that crops"),
    ],
)
def test_what_has_no_rule_is_refused(put: Put, opset: int) -> None:
    refuse(_ended(fork(opset), put))


def test_an_old_bias_stands_where_its_axis_says() -> None:
    """Below opset 7 a constant of 8 numbers may belong to axis 1; what is cut must lose them, or not be cut."""
    graph = fork(6)
    graph.op("Add", "c", graph.constant("k", _channelwise(CHANNELS)), out="m", axis=1, broadcast=1)
    graph.conv("m", "y")
    network = graph.network("y")
    alpha = without(network, member(network, "b"))
    assert violation(alpha, network.architecture) or arrays(build(network, alpha))["k"].shape == (6,)


def test_an_activation_that_is_in_the_way_is_blamed() -> None:
    """How its slopes stand to the channels is unknown; all sizes are known."""
    graph = Builder(size=SIDE)
    graph.op("Concat", graph.conv("x", "a", 3), graph.conv("x", "b", 5), out="joined", axis=1)
    graph.op("PRelu", "joined", _of_unknown_rank(graph, "slopes", _channelwise(CHANNELS, 1, 1)), out="c")
    graph.channels["c"] = CHANNELS
    graph.conv("c", "y")
    assert "the nodes of 'c' have no rule for fewer channels" in refuse(graph.network(IMAGE))


def _of_unknown_rank(graph: Builder, name: str, value: np.ndarray) -> str:
    """A constant whose shape onnx cannot infer."""
    graph.constant(f"{name}.values", value.reshape(-1))
    every = graph.constant(f"{name}.every", np.ones(value.ndim, bool))
    shape = graph.op("Compress", graph.constant(f"{name}.sizes", np.array(value.shape)), every, out=f"{name}.shape")
    return graph.op("Reshape", f"{name}.values", shape, out=name)


IMAGE = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 4, SIDE, SIDE])


def test_a_constant_of_unknown_rank_may_have_an_entry_a_channel() -> None:
    """The file itself says what shape the product has."""
    graph = fork()
    graph.op("Mul", "c", _of_unknown_rank(graph, "k", _channelwise(CHANNELS, 1, 1)), out="m")
    graph.channels["m"] = CHANNELS
    graph.conv("m", "y")
    model = graph.model(IMAGE)
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("m", onnx.TensorProto.FLOAT, ["n", 8, SIDE, SIDE]))
    refuse(parse(model))


def test_a_depthwise_weight_of_unknown_rank_is_refused() -> None:
    graph = fork()
    graph.op("Conv", "c", _of_unknown_rank(graph, "k", _channelwise(CHANNELS, 1, 1, 1)), out="m", group=CHANNELS)
    graph.channels["m"] = CHANNELS
    graph.conv("m", "y")
    refuse(graph.network(IMAGE))


def test_statistics_of_a_batch_are_outputs_too() -> None:
    """In training mode a BatchNormalization also gives one number a channel."""
    graph = fork()
    graph.batchnorm("c", "m")
    graph.nodes[-1].output.extend(["mean", "variance"])
    graph.nodes[-1].attribute.append(onnx.helper.make_attribute("training_mode", 1))
    graph.op("Mul", "mean", graph.constant("k", _channelwise(CHANNELS)), out="scaled")
    shape = graph.constant("shape", np.array([1, CHANNELS, 1, 1]))
    graph.op("Mul", "m", graph.op("Reshape", "scaled", shape, out="wide"), out="gated")
    graph.conv("gated", "y")
    refuse(graph.network("y"))
