"""Shapes that depend on open sizes, judged by onnxruntime, which runs the models at several of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from natonnx.architecture import Edit, State, apply_edits, cost, legal_transitions
from natonnx.frontend import parse
from natonnx.frontend.shapes import infer_shapes
from natonnx.frontend.symbols import evaluate
from natonnx.rewrite import build
from natonnx.rewrite.outputs import OutputsCheck
from natonnx.session import with_outputs
from tests.rewrite.helpers import Builder, images, joins

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Sizes = tuple[int, ...]
CONTRIB = "com.microsoft"


def opened(graph: Builder, output: str, dims: Sequence[int | str | None]) -> onnx.ModelProto:
    """The model with other sizes of its input, and nothing said of its output but the type."""
    infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    body = helper.make_graph(graph.nodes, "graph", infos, outputs, graph.initializers)
    imports = [helper.make_opsetid("", graph.opset), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(body, opset_imports=imports, ir_version=8)


def resnet(dims: Sequence[int | str | None] = ("N", 4, "H", "W")) -> onnx.ModelProto:
    """Strided residual blocks: the two ways to each sum halve the image by kernels of 3 and of 1."""
    graph = Builder()
    source = graph.conv("x", "stem", 8, kernel=3, stride=2)
    for i in range(4):
        main = graph.conv(graph.conv(source, f"a{i}", 8, kernel=3, stride=2), f"b{i}", 8, kernel=3)
        source = graph.op("Add", main, graph.conv(source, f"c{i}", 8, kernel=1, stride=2), out=f"s{i}")
    graph.op("GlobalAveragePool", source, out="y")
    return opened(graph, "y", dims)


def enlarge(graph: Builder, source: str, out: str, kind: str) -> str:
    scales = np.array([1, 1, 2, 2], np.float32)
    if kind == "ConvTranspose":
        return graph.op(kind, source, graph.weight(f"{out}.w", 8, 8, 2, 2), out=out, strides=[2, 2])
    if kind == "Upsample" and graph.opset < 9:
        return graph.op(kind, source, out=out, scales=scales.tolist(), mode="nearest")
    if graph.opset < 11:
        return graph.op(kind, source, graph.constant(f"{out}.scales", scales), out=out, mode="nearest")
    return graph.op(kind, source, "", graph.constant(f"{out}.scales", scales), out=out, mode="nearest")


def unet(kind: str, opset: int, dims: Sequence[int | str | None] = ("N", 4, "H", "W")) -> onnx.ModelProto:
    """An encoder and a decoder, joined by concats at each resolution."""
    graph = Builder(opset=opset)
    source = graph.conv("x", "stem", 8, kernel=3)
    levels = []
    for i in range(2):
        levels.append(graph.op("Relu", graph.conv(source, f"e{i}", 8, kernel=3), out=f"f{i}"))
        source = graph.op("MaxPool", levels[-1], out=f"p{i}", kernel_shape=[2, 2], strides=[2, 2])
    for i, level in enumerate(reversed(levels)):
        joined = graph.op("Concat", level, enlarge(graph, source, f"u{i}", kind), out=f"j{i}", axis=1)
        graph.channels[joined] = 16
        one = graph.conv(joined, f"d{i}", 8, kernel=3)
        source = graph.op("Add", one, graph.conv(one, f"g{i}", 8, kernel=3), out=f"s{i}")
    return opened(graph, source, dims)


def vit() -> onnx.ModelProto:
    """Patches of an image as tokens, by a target that Shape, Slice and Concat compute, and a residual MLP."""
    graph = Builder()
    graph.op("Conv", "x", graph.weight("w", 8, 4, 4, 4), out="patches", strides=[4, 4])
    bounds = [graph.constant(name, np.array([number])) for name, number in (("first", 0), ("last", 2), ("rest", -1))]
    graph.op("Slice", graph.op("Shape", "patches", out="shape"), *bounds[:2], out="front")
    graph.op("Reshape", "patches", graph.op("Concat", "front", bounds[2], out="target", axis=0), out="flat")
    graph.op("Transpose", "flat", out="tokens", perm=[0, 2, 1])
    graph.op("MatMul", "tokens", graph.weight("v", 8, 8), out="mlp")
    return opened(graph, graph.op("Add", "tokens", "mlp", out="y"), ("N", 4, "H", "W"))


def odd_windows() -> onnx.ModelProto:
    """No padding, ceil_mode and SAME_UPPER, each followed by a residual block."""
    graph = Builder()
    source = graph.op("Conv", "x", graph.weight("w", 4, 4, 3, 3), out="valid")
    odd: tuple[dict[str, Any], ...] = ({"ceil_mode": 1}, {"auto_pad": "SAME_UPPER"})
    for i, attributes in enumerate(odd):
        pool = graph.op("MaxPool", source, out=f"p{i}", kernel_shape=[3, 3], strides=[2, 2], **attributes)
        source = graph.op("Add", pool, graph.conv(pool, f"c{i}", 4, kernel=3), out=f"s{i}")
    return opened(graph, source, ("N", 4, "H", "W"))


MODELS: dict[str, tuple[Callable[[], onnx.ModelProto], list[Sizes]]] = {
    "resnet": (resnet, [(1, 64, 64), (2, 65, 97), (3, 70, 33)]),
    "resnet, no names": (lambda: resnet((None, 4, "?", "?")), [(1, 64, 64), (2, 65, 97)]),
    "unet, ConvTranspose": (lambda: unet("ConvTranspose", 13), [(1, 16, 16), (2, 32, 20)]),
    "unet, Resize": (lambda: unet("Resize", 13), [(1, 16, 16), (2, 32, 20)]),
    "unet, Resize 10": (lambda: unet("Resize", 10), [(1, 16, 16), (2, 32, 20)]),
    "unet, Upsample 9": (lambda: unet("Upsample", 9), [(1, 16, 16), (2, 32, 20)]),
    "unet, Upsample 7": (lambda: unet("Upsample", 7), [(1, 16, 16), (2, 32, 20)]),
    "vit": (vit, [(1, 16, 16), (2, 33, 30), (3, 8, 50)]),
    "odd windows": (odd_windows, [(1, 16, 16), (2, 33, 25), (2, 31, 30)]),
}


@pytest.mark.parametrize("kind", MODELS)
def test_shapes_are_onnxruntimes(kind: str) -> None:
    make, several = MODELS[kind]
    model = make()
    shapes, _ = infer_shapes(model)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    made = [name for node in model.graph.node for name in node.output]
    runtime = onnxruntime.InferenceSession(with_outputs(model, made).SerializeToString(), options)
    symbols = [size for size in shapes["x"] if isinstance(size, str)]
    for sizes in several:
        values = dict(zip(symbols, sizes, strict=True))
        x = np.zeros([evaluate(size, values) or 0 for size in shapes["x"]], np.float32)
        for name, value in zip(made, runtime.run(made, {"x": x}), strict=True):
            assert tuple(evaluate(size, values) for size in shapes[name]) == value.shape, (name, shapes[name])


@pytest.mark.parametrize("kind", ["Resize", "Upsample"])
def test_a_free_batch_costs_no_reach(kind: str) -> None:
    opset = 9 if kind == "Upsample" else 13
    free, fixed = (parse(unet(kind, opset, (batch, 4, 16, 16))).architecture for batch in ("N", 1))
    assert legal_transitions(free) == legal_transitions(fixed)
    assert cost(free) == cost(fixed)


def test_sums_of_open_sizes_are_sums() -> None:
    for model, sums in ((resnet(), 4), (resnet((None, 4, None, None)), 4), (unet("Resize", 13), 2), (vit(), 1)):
        assert list(joins(parse(model)).values()).count("sum") == sums


def test_no_shortcut_where_sizes_are_equal_only_sometimes() -> None:
    """A pooling without padding and a strided convolution with it halve even sizes alike, odd ones not."""
    graph = Builder()
    graph.op("MaxPool", "x", out="p", kernel_shape=[2, 2], strides=[2, 2])
    graph.op("Conv", "p", graph.weight("w", 4, 4, 1, 1), out="a")
    graph.op("Conv", "x", graph.weight("v", 4, 4, 3, 3), out="b", strides=[2, 2], pads=[1] * 4)
    graph.op("GlobalAveragePool", "a", out="c")
    graph.op("GlobalAveragePool", "b", out="d")
    network = parse(opened(graph, graph.op("Add", "c", "d", out="y"), ("N", 4, "H", "H")))
    assert network.shapes["p"] != network.shapes["b"]
    assert not [edge for edge in network.architecture.topology.edges if {edge.source, edge.target} == {"p", "b"}]


def test_open_sizes_are_pooled_by_a_ratio_that_is_known() -> None:
    """Where a model joins what it halved with what it did not, and so runs at multiples only."""
    network = parse(unet("Resize", 13))
    beta = network.architecture
    verdicts = dict(zip(beta.topology.edge_index, legal_transitions(beta), strict=True))
    assert verdicts["P0"][State.S] is None
    grown = parse(unet("ConvTranspose", 13)).architecture
    verdicts = dict(zip(grown.topology.edge_index, legal_transitions(grown), strict=True))
    assert verdicts["U0"][State.S] == "axis 2 of size H/4 cannot be pooled to H/2 by an integer ratio"
    alpha = apply_edits(beta, [Edit("P0", State.O, State.S), Edit("f0->p1", State.N, State.S)])
    samples = tuple({"x": images(n, 4, size)} for n, size in ((1, 16), (3, 32)))
    verdict = OutputsCheck(network, alpha, build(network, alpha), samples=samples).replayed
    assert verdict.passed
    assert verdict.made
    beta = parse(resnet()).architecture
    verdicts = dict(zip(beta.topology.edge_index, legal_transitions(beta), strict=True))
    assert "whether by an integer ratio is open" in str(verdicts["A0"][State.S])


# What one helper's failure leaves to the others


def disturbed(kind: str) -> onnx.ModelProto:
    """A residual block and a head behind a target that nodes compute, with something odd in front or beside."""
    graph = Builder()
    source = graph.conv("x", "stem", 4, kernel=3)
    if kind.startswith("value"):
        odd: Any = {"value_float": 1.0, "value_int": 1, "value_string": "a"}.get(kind, [1.0, 2.0])
        odd = [1, 2] if kind == "value_ints" else ["a"] if kind == "value_strings" else odd
        graph.op("Constant", out="odd", **{kind: odd})
    elif kind == "If":
        bodies: dict[str, Any] = {}
        for name, number in (("then_branch", 2.0), ("else_branch", 3.0)):
            node = helper.make_node("Constant", [], [name], value_float=number)
            info = helper.make_tensor_value_info(name, TensorProto.FLOAT, [])
            bodies[name] = helper.make_graph([node], name, [], [info])
        graph.op("ReduceMax", "x", out="most", keepdims=0)
        graph.op("Greater", "most", graph.constant("one", np.array(1, np.float32)), out="c")
        source = graph.op("Mul", source, graph.op("If", "c", out="factor", **bodies), out="scaled")
    elif kind == "NonZero":
        graph.op("NonZero", source, out="places")
        graph.op("ReduceMax", graph.op("Cast", "places", out="real", to=TensorProto.FLOAT), out="most", keepdims=0)
        source = graph.op("Mul", source, "most", out="scaled")
    elif kind == "FusedConv":
        weight = graph.weight("fused.w", 4, 4, 3, 3)
        source = graph.op(kind, source, weight, out="fused", domain=CONTRIB, pads=[1] * 4, activation="Relu")
    elif kind == "QuickGelu":
        source = graph.op(kind, source, out="fused", domain=CONTRIB)
    block = graph.op("Add", source, graph.conv(source, "c1", 4, kernel=3), out="s")
    graph.op("Gather", graph.op("Shape", block, out="shape"), graph.constant("zero", np.array([0])), out="count")
    graph.op("Concat", "count", graph.constant("rest", np.array([-1])), out="target", axis=0)
    graph.op("MatMul", graph.op("Reshape", block, "target", out="flat"), graph.weight("w", 256, 8, scale=0.1), out="m")
    graph.op("Add", "m", graph.op("MatMul", "m", graph.weight("v", 8, 8), out="k"), out="y")
    return opened(graph, "y", ("N", 4, 8, 8))


ODDITIES = ["value_float", "value_floats", "value_int", "value_ints", "value_string", "value_strings"]
ODDITIES += ["If", "NonZero", "FusedConv", "QuickGelu"]


@pytest.mark.parametrize("kind", ODDITIES)
def test_what_is_odd_costs_no_shapes_elsewhere(kind: str) -> None:
    plain, odd = parse(disturbed("")), parse(disturbed(kind))
    names = ("stem", "c1", "s", "flat", "m", "k", "y")
    assert {name: odd.shapes[name] for name in names} == {name: plain.shapes[name] for name in names}
    assert odd.shapes["y"] == ("N", 8)
    assert cost(odd.architecture).madds == cost(plain.architecture).madds
    assert {"s", "y"} <= {name for name, join in joins(odd).items() if join == "sum"}


def test_shapes_that_onnx_tells_need_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "natonnx.frontend.symbolic_rules", None)
    for model in (resnet(), unet("Resize", 13), odd_windows()):
        shapes, _ = infer_shapes(model)
        assert all(None not in shapes[name] for node in model.graph.node for name in node.output)


def test_two_counts_that_only_a_run_tells_are_two_sizes() -> None:
    graph = Builder(size=4)
    for name, source in (("p", "x"), ("q", graph.op("Relu", "x", out="r"))):
        graph.op("Cast", graph.op("NonZero", source, out=name), out=f"{name}.real", to=TensorProto.FLOAT)
    shapes, _ = infer_shapes(opened(graph, graph.op("Concat", "p.real", "q.real", out="y", axis=1), ("N", 4, 4, 4)))
    assert shapes["p"][0] == shapes["q"][0] == 4
    assert len({shapes["p"][1], shapes["q"][1], shapes["y"][1]}) == 3
    assert shapes["p"] == shapes["p.real"]


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("Scaler", {"offset": [0.5], "scale": [2.0]}),
        ("Normalizer", {"norm": "L2"}),
        ("Imputer", {"imputed_value_floats": [0.0], "replaced_value_float": 7.0}),
        ("Binarizer", {"threshold": 0.25}),
    ],
)
def test_preprocessing_of_scikit_learn_keeps_the_shape(op_type: str, attributes: dict[str, Any]) -> None:
    """Neither onnx nor onnxruntime infers it; without it nothing of the network behind it is known."""
    graph = Builder()
    node = helper.make_node(op_type, ["x"], ["p"], domain="ai.onnx.ml", **attributes)
    graph.nodes.append(node)
    graph.channels["p"] = 4
    graph.op("Relu", graph.conv("p", "a"), out="r")
    graph.op("Add", graph.conv("r", "b"), "r", out="y")
    fields = {"opset_imports": [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]}
    model = graph.model(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 8, 8]), **fields)
    network = parse(model)
    assert network.shapes["p"] == network.shapes["b"] == ("n", 4, 8, 8)
    assert joins(network)["y"] == "sum"
    assert network.model == model
