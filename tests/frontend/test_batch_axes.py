"""Which axis counts samples, judged by onnxruntime at two batch sizes; and what the axes are used for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from natonnx.architecture import cost
from natonnx.errors import InputError
from natonnx.frontend import BatchAxes, ParseOptions, free_batch, load, parse
from natonnx.frontend.batch_axes import find_batch_axes, find_input_axes
from natonnx.rewrite.outputs import sample_inputs
from tests.frontend.batch_models import Crnn, Encoder, Stateful, script
from tests.rewrite.helpers import Builder, assert_close, runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    Sizes = Sequence[int | str | None]

TOKENS = ("input_ids", "attention_mask", "token_type_ids")
STATE = ("x", "h", "c")
NEW_STATE = ("y", "hn", "cn")


def crnn(batch: int | None = None, *, symbol: str = "N", flatten: bool = False, named: bool = True) -> onnx.ModelProto:
    """A CRNN of open batch; of a fixed one where a size is given."""
    axes = {} if batch else {"image": {0: symbol}, **({"y": {1: symbol}} if named else {})}
    return script(Crnn(flatten=flatten), [torch.zeros(batch or 2, 1, 8, 20)], ["image"], ["y"], axes)


def stateful(symbols: Sequence[str] = ("N", "N", "N")) -> onnx.ModelProto:
    arguments = [torch.zeros(2, 16), torch.zeros(2, 2, 12), torch.zeros(2, 2, 12)]
    axes = {name: {axis: symbol} for name, axis, symbol in zip(STATE, (0, 1, 1), symbols, strict=True)}
    return script(Stateful(), arguments, STATE, NEW_STATE, axes)


def fixed_with_rate() -> onnx.ModelProto:
    """As silero-vad: a chunk [1, 16], states [2, 1, 12], a scalar rate."""
    arguments = [torch.zeros(1, 16), torch.zeros(2, 1, 12), torch.zeros(2, 1, 12), torch.tensor(16000.0)]
    return script(Stateful(rate=True), arguments, (*STATE, "sr"), NEW_STATE)


def encoder(batch: str = "batch", length: str | None = "seq") -> onnx.ModelProto:
    open_axes = {0: batch} if length is None else {0: batch, 1: length}
    return script(
        Encoder(), [torch.ones(2, 10, dtype=torch.int64)] * 3, TOKENS, ["y"], dict.fromkeys(TOKENS, open_axes)
    )


def declared(inputs: Mapping[str, Sizes], outputs: Mapping[str, Sizes] | None = None) -> onnx.ModelProto:
    """A model that only declares tensors."""
    infos, others = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name, sizes in some.items()]
        for some in (inputs, outputs or {})
    )
    return helper.make_model(helper.make_graph([], "g", infos, others))


# Found in models from torch

_Axes = dict[str, int]

OPEN: dict[str, tuple[Callable[[], onnx.ModelProto], _Axes, _Axes]] = {
    "crnn": (crnn, {"image": 0}, {"y": 1}),
    "crnn, its output not named": (lambda: crnn(named=False, symbol="foo"), {"image": 0}, {"y": 1}),
    "state": (stateful, {"x": 0, "h": 1, "c": 1}, {"y": 0, "hn": 1, "cn": 1}),
    "a symbol each": (lambda: stateful(("p", "q", "r")), {"x": 0, "h": 1, "c": 1}, {"y": 0, "hn": 1, "cn": 1}),
    "encoder": (encoder, dict.fromkeys(TOKENS, 0), {"y": 0}),
    "odd names": (lambda: encoder("a", "b"), dict.fromkeys(TOKENS, 0), {"y": 0}),
    "batch behind": (lambda: encoder("time", "batch"), dict.fromkeys(TOKENS, 1), {"y": 1}),
}


@pytest.mark.parametrize("case", OPEN)
def test_axes_scale_with_the_batch_in_onnxruntime(case: str) -> None:
    make, inputs, outputs = OPEN[case]
    model = make()
    network = parse(model)
    assert network.batch_axes == BatchAxes(inputs, outputs, None)
    for count, sample in zip((1, 3), sample_inputs(network), strict=True):
        assert network.batch_axes.count(sample) == count
        assert all(sample[name].shape[axis] == count for name, axis in inputs.items())
        made = runtime(model, sample)
        assert {name: value.shape[outputs[name]] for name, value in made.items()} == dict.fromkeys(outputs, count)


def test_fixed_batch_with_state_and_a_scalar() -> None:
    network = parse(fixed_with_rate())
    expected = {"x": 0, "h": 1, "c": 1, "sr": None}, {"y": 0, "hn": 1, "cn": 1}
    assert network.batch_axes == BatchAxes(*expected, 1)
    (sample,) = sample_inputs(network)
    assert {name: value.shape for name, value in sample.items()} == {
        "x": (1, 16), "h": (2, 1, 12), "c": (2, 1, 12), "sr": ()
    }  # fmt: skip
    assert network.batch_axes.count(sample) == 1


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_fixed_batch_of_one_recurrent_layer_stands_behind_the_layers(kind: str, size: int) -> None:
    """[1, 1, 8]: by the operator, as its shape does not tell; onnxruntime gives the samples' own states."""
    gates = {"LSTM": 4, "GRU": 3}[kind]
    generator = np.random.default_rng(0)
    weights = [generator.standard_normal((1, gates * 8, width)).astype(np.float32) for width in (6, 8)]
    states = ["h", "c"] if kind == "LSTM" else ["h"]
    infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, size, 6])]
    infos += [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size, 8]) for name in states]
    outputs = [helper.make_tensor_value_info(f"{name}n", TensorProto.FLOAT, [1, size, 8]) for name in states]
    node = helper.make_node(kind, ["x", "w", "r", "", "", *states], ["", *(info.name for info in outputs)])
    node.attribute.append(helper.make_attribute("hidden_size", 8))
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in zip("wr", weights, strict=True)]
    graph = helper.make_graph([node], "g", infos, outputs, constants)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    axes = parse(model).batch_axes
    assert axes == BatchAxes(dict.fromkeys(["x", *states], 1), {info.name: 1 for info in outputs}, size)


def recurrent(dims: Sizes, *, first: bool = False) -> onnx.ModelProto:
    """Features of each step, a GRU that is given the batch second, and scores of each step."""
    generator = np.random.default_rng(0)
    shapes = {"v": (6, 6), "w": (1, 24, 6), "r": (1, 24, 8), "u": (8, 3)}
    constants = [
        onnx.numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    constants.append(onnx.numpy_helper.from_array(np.array([1]), "axis"))
    nodes = [helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2] if first else [0, 1, 2])]
    nodes += [helper.make_node("MatMul", ["t", "v"], ["f"])]
    nodes += [helper.make_node("GRU", ["f", "w", "r"], ["g"], hidden_size=8)]
    nodes += [helper.make_node("Squeeze", ["g", "axis"], ["s"]), helper.make_node("MatMul", ["s", "u"], ["y"])]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None, 3])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


@pytest.mark.parametrize(
    ("dims", "size", "madds"),
    [
        ((None, None, 6), None, None),
        (("a", "b", 6), None, None),
        ((7, None, 6), None, 7 * (36 + 24)),
        ((7, 1, 6), 1, 7 * (36 + 24)),
        ((7, 2, 6), 2, 7 * (36 + 24)),
        ((None, 1, 6), 1, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("first", [False, True])
def test_recurrent_layers_tell_the_batch(dims: Sizes, size: int | None, madds: int | None, *, first: bool) -> None:
    """The sequence that a GRU reads is [steps, samples, features], whatever the file calls its axes."""
    model = recurrent((dims[1], dims[0], *dims[2:]) if first else dims, first=first)
    network = parse(model)
    assert network.batch_axes == BatchAxes({"x": 0 if first else 1}, {"y": 1}, size)
    assert cost(network.architecture).madds == madds
    if dims[0] is None and size is None:
        given = parse(model, input_shapes={"x": (2, 7, 6) if first else (7, 2, 6)})
        assert cost(given.architecture).madds == 7 * (36 + 24)


@pytest.mark.parametrize("batch", [1, 3])
def test_fixed_batch_behind_the_steps(batch: int) -> None:
    assert parse(crnn(batch)).batch_axes == BatchAxes({"image": 0}, {"y": 1}, batch)


def test_a_fixed_batch_that_two_axes_may_be() -> None:
    """[1, 1, 11]: of one step; freeing the batch tells that the second axis is it."""
    graph = Builder(batch=1, channels=3, size=1)
    graph.op("Squeeze", "x", graph.constant("axes", np.array([2, 3])), out="flat")
    graph.op(
        "Unsqueeze",
        graph.op("Gemm", "flat", graph.weight("w", 3, 11), out="g"),
        graph.constant("a", np.array([0])),
        out="y",
    )
    assert parse(graph.model("y")).batch_axes == BatchAxes({"x": 0}, {"y": 1}, 1)


# Found in declarations


@pytest.mark.parametrize(
    ("inputs", "axes", "size"),
    [
        ({"x": ["N", 3, "h", "w"]}, [0], None),
        ({"x": [None, 3, None, None]}, [0], None),
        ({"x": ["?", 3, 8, 8]}, [0], None),
        ({"x": ["s77", "s53"]}, [0], None),
        ({"x": ["B", "N", 3]}, [0], None),
        ({"x": ["T", "N", 80]}, [1], None),
        ({"x": [20, "q", 64]}, [1], None),
        ({"x": [20, None, 64]}, [1], None),
        ({"x": [1, None, 64]}, [0], 1),
        ({"x": [0, 3, 8, 8]}, [None], None),
        ({"x": [1, 80, "frames"]}, [0], 1),
        ({"x": [1, "q", 80]}, [0], 1),
        ({"x": ["time", 1, 80]}, [1], 1),
        ({"x": ["seq_len", 80]}, [0], None),
        ({"x": [3, "height", "width"]}, [0], 3),
        ({"x": [4, 3, 8, 8]}, [0], 4),
        ({"x": [None, None], "h": [2, None, 128], "sr": []}, [0, 1, None], None),
        ({"h": [2, 1, 128], "x": [1, 512], "sr": []}, [1, 0, None], 1),
        ({"h": [2, 1, 128], "c": [2, 1, 128], "x": [20, 1, 64]}, [1, 1, 1], 1),
        ({"h": [1, 2, 16], "x": [2, 6, 4]}, [1, 0], 2),
        ({"x": [4, 3, 8, 8], "anchors": [100, 4]}, [0, None], 4),
        ({"x": ["N", 3, 8, 8], "anchors": [100, 4]}, [0, None], None),
        ({"h": [2, "s0", 64], "x": ["s1", "s0", 32]}, [1, 1], None),
        ({"a": ["p2o.DynamicDimension.1", 2], "x": ["p2o.DynamicDimension.0", 3, 8, 8]}, [0, 0], None),
        ({"image": ["image_batch", 3, 8, 8], "text": ["text_batch", 77]}, [0, 0], None),
        ({"x": ["batch", 3], "points": ["num_points", 2]}, [0, None], None),
        ({"sr": []}, [None], None),
        ({}, [], None),
    ],
    ids=str,
)  # fmt: skip
def test_declared_inputs(inputs: Mapping[str, Sizes], axes: Sequence[int | None], size: int | None) -> None:
    assert find_input_axes(declared(inputs)) == (dict(zip(inputs, axes, strict=True)), size)


def test_reaching_the_outputs_decides_between_two_symbols() -> None:
    axes, _ = find_input_axes(declared({"x": ["r", "q", 3], "mask": ["r", "q"]}, {"y": ["q", 5]}))
    assert axes == {"x": 1, "mask": 1}


# Found by running


def without_a_shape(*nodes: onnx.NodeProto, inputs: Sizes = ("N", 4), outputs: int = 1) -> onnx.ModelProto:
    infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)]
    made = [helper.make_empty_tensor_value_info(f"y{i}") for i in range(outputs)]
    for info in made:
        info.type.tensor_type.elem_type = TensorProto.FLOAT
    graph = helper.make_graph(list(nodes), "g", infos, made)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def gelu(source: str, output: str) -> onnx.NodeProto:
    """An operator that onnxruntime runs, and whose shapes onnx does not infer."""
    return helper.make_node("Gelu", [source], [output], domain="com.microsoft")


def test_outputs_of_unknown_shape_are_looked_at_in_onnxruntime() -> None:
    behind = helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0])
    mean = helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=0)
    flat = helper.make_node("Flatten", ["x"], ["f"], axis=0)
    model = without_a_shape(
        behind, mean, flat, gelu("x", "y0"), gelu("t", "y1"), gelu("m", "y2"), gelu("f", "y3"), outputs=4
    )
    axes = find_batch_axes(model, {"x": ("N", 4)})
    assert axes == BatchAxes({"x": 0}, {"y0": 0, "y1": 1, "y2": None, "y3": None}, None)


def test_what_cannot_be_run_leads_with_its_batch() -> None:
    unknown = helper.make_node("Mystery", ["x"], ["y0"], domain="com.microsoft")
    assert find_batch_axes(without_a_shape(unknown), {"x": ("N", 4)}).outputs == {"y0": 0}


def test_nothing_is_run_where_the_shapes_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natonnx.frontend.batch_axes.session", lambda *_, **__: pytest.fail("a model was loaded"))
    for make, _, _ in OPEN.values():
        parse(make())


# Multiply-adds a sample


@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("batch", [None, 1, 3])
def test_madds_of_a_sequence_first_model(batch: int | None, flatten: bool) -> None:
    assert cost(parse(crnn(batch, flatten=flatten)).architecture).madds == Crnn.madds


@pytest.mark.parametrize("batch", ["batch", "q"])
def test_madds_of_an_encoder(batch: str) -> None:
    assert cost(parse(encoder(batch, None)).architecture).madds == 10 * Encoder.madds
    assert cost(parse(encoder(batch)).architecture).madds is None
    given = dict.fromkeys(TOKENS, (5, 12))
    assert cost(parse(encoder(batch), input_shapes=given).architecture).madds == 12 * Encoder.madds


@pytest.mark.parametrize(("batch", "expected"), [("N", 20 * 4 * 6), (5, 20 * 4 * 6), (1, 20 * 4 * 6)])
@pytest.mark.parametrize("kind", ["MatMul", "Gemm", "Conv"])
def test_madds_where_the_batch_is_a_factor(kind: str, batch: int | str, expected: int) -> None:
    """The first axis of what is multiplied is batch times 20."""
    graph = Builder(channels=20, size=2, batch=batch)
    shape = [-1, 4, 1] if kind == "Conv" else [-1, 4]
    graph.op("Reshape", "x", graph.constant("rows", np.array(shape)), out="r")
    weight = graph.weight("w", *([6, 4, 1] if kind == "Conv" else [4, 6]))
    model = graph.model(graph.op(kind, "r", weight, out="y"))
    network = parse(model)
    assert network.shapes["r"][0] == (f"20*{batch}" if isinstance(batch, str) else 20 * batch)
    assert cost(network.architecture).madds == expected


def test_work_that_all_samples_share_counts_once() -> None:
    graph = Builder(size=4)
    graph.op("Identity", "table", out="t")
    table = helper.make_tensor_value_info("table", TensorProto.FLOAT, [7, 4])
    graph.op("MatMul", "t", graph.weight("w", 4, 3), out="y")
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [7, 3])
    inner = helper.make_graph(graph.nodes, "g", [graph.input, table], [output], graph.initializers)
    model = helper.make_model(inner, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    network = parse(model)
    assert network.batch_axes == BatchAxes({"x": 0, "table": None}, {"y": None}, None)
    assert cost(network.architecture).madds == 7 * 4 * 3


# Sizes from a batch of data


def test_shapes_of_a_batch_of_data_leave_the_batch_open(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(encoder(), path)
    network = load(path, replace(ParseOptions(), input_shapes=dict.fromkeys(TOKENS, (32, 12)))).network
    assert [network.shapes[name] for name in (*TOKENS, "y")] == [("batch", 12)] * 3 + [("batch", 12, 16)]
    assert network.batch_axes.size is None
    onnx.save(stateful(), path)
    shapes = {"x": (7, 16), "h": (2, 7, 12), "c": (2, 7, 12)}
    network = load(path, replace(ParseOptions(), input_shapes=shapes)).network
    assert [network.shapes[name] for name in STATE] == [("N", 16), (2, "N", 12), (2, "N", 12)]


def test_an_axis_of_the_same_name_gets_the_same_size() -> None:
    network = parse(encoder(), input_shapes={"input_ids": (1, 12)})
    assert network.shapes["attention_mask"] == ("batch", 12)
    assert network.shapes["y"] == ("batch", 12, 16)


# Freeing


@pytest.mark.parametrize("make", [lambda: crnn(1), fixed_with_rate], ids=["crnn", "state and rate"])
def test_a_freed_batch_gives_what_its_samples_give(make: Callable[[], onnx.ModelProto]) -> None:
    model = make()
    freed = free_batch(model)
    before, after = parse(model).batch_axes, parse(freed).batch_axes
    assert after == replace(before, size=None)
    onnx.checker.check_model(freed, full_check=True)
    generator = np.random.default_rng(0)
    shapes = {info.name: [d.dim_value for d in info.type.tensor_type.shape.dim] for info in model.graph.input}
    samples = [
        {name: generator.standard_normal(sizes).astype(np.float32) for name, sizes in shapes.items()} for _ in range(4)
    ]
    shared = {name: samples[0][name] for name, axis in before.inputs.items() if axis is None}
    samples = [{**sample, **shared} for sample in samples]
    batch = {
        name: shared[name] if axis is None else np.concatenate([sample[name] for sample in samples], axis)
        for name, axis in before.inputs.items()
    }
    alone = [runtime(model, sample) for sample in samples]
    for name, value in runtime(freed, batch).items():
        assert_close(value, np.concatenate([one[name] for one in alone], after.outputs[name]))


def test_a_state_that_is_baked_in_is_refused() -> None:
    """torch writes the zeros that an LSTM starts from as a constant of the batch that it saw."""
    model = declared({"x": [20, 1, 4]}, {"y": [20, 1, 1, 5]})
    generator = np.random.default_rng(0)
    arrays = {"w": (1, 20, 4), "r": (1, 20, 5), "b": (1, 40), "h": (1, 1, 5)}
    tensors = [
        onnx.numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32), name)
        for name, shape in arrays.items()
    ]
    model.graph.initializer.extend(tensors)
    model.graph.node.append(helper.make_node("LSTM", ["x", "w", "r", "b", "", "h", "h"], ["y"], hidden_size=5))
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 3]))
    model.graph.node.append(helper.make_node("Relu", ["z"], ["v"]))
    model.graph.output.append(helper.make_tensor_value_info("v", TensorProto.FLOAT, [1, 3]))
    with pytest.raises(InputError, match=r"^the batch cannot be freed: onnxruntime .*; leave --free-batch out$"):
        free_batch(model)
