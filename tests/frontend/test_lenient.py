"""Files that onnxruntime runs are read, whatever onnx's checker objects to, and said so truly; others are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from natonnx.architecture import Edit, State, cost, legal_transitions
from natonnx.errors import InputError
from natonnx.frontend import ParseOptions, load, read
from natonnx.verbs.apply import apply
from tests.rewrite.helpers import Builder, assert_close, edges, runtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

B_TO_NULL = [Edit("B", State.O, State.N)]


def residual(opset: int = 17, ir_version: int = 8) -> onnx.ModelProto:
    """Two convolutions with a sum around the second, and a mean over the image."""
    graph = Builder(opset=opset, ir_version=ir_version)
    relu = graph.op("Relu", graph.conv("x", "a"), out="r")
    graph.op("GlobalAveragePool", graph.op("Add", relu, graph.conv(relu, "b"), out="s"), out="y")
    return graph.model(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 1, 1]))


def note(model: onnx.ModelProto, name: str, shape: list[int | str]) -> None:
    model.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def no_shape(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.ClearField("shape")


def no_type(model: onnx.ModelProto) -> None:
    model.graph.output[0].ClearField("type")


def stale_batch(model: onnx.ModelProto) -> None:
    for name in ("a", "r", "b", "s"):
        note(model, name, [1, 4, 8, 8])


def nameless_graph(model: onnx.ModelProto) -> None:
    model.graph.name = ""


def out_of_order(model: onnx.ModelProto) -> None:
    model.graph.node.append(model.graph.node.pop(0))


def default_without_shape(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("a.w", TensorProto.FLOAT, None))


def weights_that_are_no_inputs(model: onnx.ModelProto) -> None:
    model.ir_version = 3


ODD: dict[str, tuple[Callable[[onnx.ModelProto], None], str]] = {
    "no shape": (no_shape, "output 'y' is declared without a shape but computed as [n, 4, 1, 1]"),
    "no type": (no_type, "output 'y' is declared without a shape but computed as [n, 4, 1, 1]"),
    "rank within": (lambda model: note(model, "s", ["n", 4]), "tensor 's' is declared as [n, 4] but computed as"),
    "size within": (lambda model: note(model, "r", ["n", 7, 8, 8]), "tensor 'r' is declared as [n, 7, 8, 8] but"),
    "a weight": (lambda model: note(model, "a.w", [1]), "tensor 'a.w' is declared as [1] but computed as [4, 4, 1, 1]"),
    "a batch of 1 within": (stale_batch, "computed as [n, 4, 8, 8], and 3 more wrongly; the latter is believed"),
    "graph without a name": (nameless_graph, "Field 'name' of 'graph' is required to be non-empty; onnxruntime loads"),
    "order of nodes": (out_of_order, "topologically sorted"),
    "default without a shape": (default_without_shape, "onnxruntime loads the model all the same"),
    "IR 3": (weights_that_are_no_inputs, "a.w in initializer but not in graph input; onnxruntime loads the model"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_onnxruntime_runs_is_read_and_edited(tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    spoil, said = ODD[kind]
    right, model = residual(), residual()
    spoil(model)
    path, output = tmp_path / "model.onnx", tmp_path / "out.onnx"
    path.write_bytes(model.SerializeToString())
    network = load(path).network
    assert len(caplog.records) == 1
    assert said in caplog.records[0].getMessage()
    onnx.save(right, tmp_path / "right.onnx")
    expected = load(tmp_path / "right.onnx").network
    assert edges(network) == edges(expected)
    assert cost(network.architecture) == cost(expected.architecture)
    apply(path, [], output)
    assert output.read_bytes() == path.read_bytes()
    apply(path, B_TO_NULL, output, force=True)
    apply(tmp_path / "right.onnx", B_TO_NULL, tmp_path / "right.out.onnx")
    x = {"x": np.random.default_rng(0).standard_normal((3, 4, 8, 8)).astype(np.float32)}
    assert_close(runtime(onnx.load(output), x)["y"], runtime(onnx.load(tmp_path / "right.out.onnx"), x)["y"])


def test_an_input_without_a_shape_is_given_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = residual()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert cost(load(path).network.architecture).madds is None
    assert "input 'x' is declared without a shape; give it by --input-shape x:" in caplog.text
    reading = ParseOptions(input_shapes={"x": (1, 4, 8, 8)})
    assert cost(load(path, reading).network.architecture).madds == 2 * 4 * 4 * 8 * 8
    assert load(path, reading).network.batch_axes.inputs == {"x": 0}
    _, checks = apply(path, B_TO_NULL, tmp_path / "out.onnx", reading=reading)
    assert checks[-1].detail == "batch sizes [1, 2]"


@pytest.mark.parametrize(("domain", "reason"), [("", "not a registered function"), ("nobody.knows", "nobody.knows")])
def test_a_refusal_says_what_onnxruntime_says(tmp_path: Path, domain: str, reason: str) -> None:
    model = residual()
    model.graph.node.append(helper.make_node("ImageScaler", ["x"], ["z"], domain=domain))
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=f"not a valid ONNX model.*onnxruntime refuses the model.*{reason}"):
        read(tmp_path / "model.onnx")


def sparse_residual(*, linear: bool = True, node: bool = False) -> onnx.ModelProto:
    """As above, at a rank of 2, with sparse weights for the last product, stored or made by a node."""
    graph = Builder(size=1)
    graph.op("Flatten", "x", out="f")
    one = graph.op("MatMul", "f", graph.weight("v", 4, 4), out="one")
    two = graph.op("Relu", graph.op("MatMul", one, graph.weight("w", 4, 4), out="two"), out="r")
    graph.op("MatMul", graph.op("Add", one, two, out="s"), "sparse", out="y")
    graph.constant("sparse", np.zeros((4, 3), np.float32))
    model = graph.model("y")
    del model.graph.initializer[-1]
    places = np.array([0, 4, 11]) if linear else np.array([[0, 0], [1, 1], [3, 2]])
    values = numpy_helper.from_array(np.array([1.5, -2, 0.25], np.float32), "sparse")
    indices = numpy_helper.from_array(places, "places")
    sparse = helper.make_sparse_tensor(values, indices, [4, 3])
    if node:
        model.graph.node.insert(0, helper.make_node("Constant", [], ["sparse"], "SPARSE", sparse_value=sparse))
    else:
        model.graph.sparse_initializer.append(sparse)
    return model


@pytest.mark.parametrize(("linear", "node"), [(True, False), (False, False), (True, True), (False, True)])
def test_a_sparse_weight_stays_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, linear: bool, node: bool
) -> None:
    model = sparse_residual(linear=linear, node=node)
    onnx.save(model, tmp_path / "model.onnx")
    network = load(tmp_path / "model.onnx").network
    assert not caplog.records
    assert network.shapes["y"] == ("n", 3)
    assert cost(network.architecture) == (32, 16 + 16 + 12)
    topology = network.architecture.topology
    assert not next(edge for edge in topology.edges if edge.target == "y").operation.weights  # type: ignore[union-attr]
    edited = [Edit("TWO", State.O, State.N)]
    _, checks = apply(tmp_path / "model.onnx", edited, tmp_path / "out.onnx")
    assert all(check.passed for check in checks)
    written = onnx.load(tmp_path / "out.onnx")
    assert list(written.graph.sparse_initializer) == list(model.graph.sparse_initializer)
    assert written.graph.node[0] == model.graph.node[0]
    assert "equals the input, edited node by node" in {check.name for check in checks}
    x = np.random.default_rng(0).standard_normal((3, 4, 1, 1)).astype(np.float32)
    dense = np.zeros((4, 3), np.float32)
    dense[[0, 1, 3], [0, 1, 2]] = 1.5, -2, 0.25
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert_close(runtime(written, {"x": x})["y"], x.reshape(3, 4) @ weights["v"] @ dense)


def test_no_more_may_be_cut_of_a_sparse_weight(tmp_path: Path) -> None:
    onnx.save(sparse_residual(), tmp_path / "model.onnx")
    architecture = load(tmp_path / "model.onnx").network.architecture
    legal = legal_transitions(architecture)[architecture.topology.edge_index["TWO"]]
    assert legal == {State.S: None, State.N: None}
