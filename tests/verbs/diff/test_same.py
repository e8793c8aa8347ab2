"""Models that compute something else are never called the same."""

from collections.abc import Sequence
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node, make_tensor_value_info

import natonnx

FLOAT = TensorProto.FLOAT


def saved(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    *,
    opset: int = 13,
    functions: Sequence[onnx.FunctionProto] = (),
    constants: Sequence[onnx.TensorProto] = (),
) -> Path:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [make_tensor_value_info("x", FLOAT, [4, 4])],
        [make_tensor_value_info("y", FLOAT, ["a", "b"])],
        list(constants),
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=list(functions)), path)
    return path


def differs_in(one: Path, other: Path) -> list[str]:
    return list(natonnx.diff(one, other)["differs_in"])


def test_how_many_parts_a_tensor_is_split_into(tmp_path: Path) -> None:
    names = ["y", "b", "c", "d"]
    one, other = (
        saved(tmp_path / f"{parts}.onnx", [make_node("Split", ["x"], names[:parts], axis=0)]) for parts in (2, 4)
    )
    assert differs_in(one, other) == ["graph"]


def test_which_overload_of_a_function_is_called(tmp_path: Path) -> None:
    functions = []
    for overload, kind in (("a", "Relu"), ("b", "Neg")):
        body = [make_node(kind, ["v"], ["w"])]
        function = helper.make_function("own", "F", ["v"], ["w"], body, [helper.make_opsetid("", 13)])
        function.overload = overload
        functions.append(function)
    paths = []
    for overload in ("a", "b"):
        node = make_node("F", ["x"], ["y"], domain="own")
        node.overload = overload
        paths.append(saved(tmp_path / f"{overload}.onnx", [node], functions=functions))
    assert differs_in(*paths) == ["graph"]


def test_two_draws_are_not_one(tmp_path: Path) -> None:
    draw = [make_node("RandomNormal", [], [name], shape=[4, 4]) for name in ("r", "s")]
    once = [draw[0], make_node("Sub", ["r", "r"], ["z"]), make_node("Add", ["x", "z"], ["y"])]
    twice = [*draw, make_node("Sub", ["r", "s"], ["z"]), make_node("Add", ["x", "z"], ["y"])]
    assert differs_in(saved(tmp_path / "once.onnx", once), saved(tmp_path / "twice.onnx", twice)) == ["graph"]


@pytest.mark.parametrize("element", [TensorProto.INT64, TensorProto.DOUBLE])
def test_what_a_sequence_holds(tmp_path: Path, element: int) -> None:
    paths = []
    for kind in (FLOAT, element):
        node = make_node("SequenceLength", ["x"], ["y"])
        sequence = helper.make_tensor_sequence_value_info("x", kind, None)
        graph = helper.make_graph([node], "g", [sequence], [make_tensor_value_info("y", TensorProto.INT64, [])])
        paths.append(tmp_path / f"{kind}.onnx")
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), paths[-1])
    assert "interface" in differs_in(*paths)
    assert natonnx.inspect(paths[0])["model"]["inputs"][0]["dtype"] == "sequence(float)"


def test_a_constant_within_a_function_that_lies_in_a_data_file(tmp_path: Path) -> None:
    paths = []
    for value in (2.0, 3.0):
        folder = tmp_path / str(value)
        folder.mkdir()
        (folder / "data").write_bytes(numpy_helper.to_array(helper.make_tensor("c", FLOAT, [1], [value])).tobytes())
        tensor = onnx.TensorProto(name="c", data_type=FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
        for key, entry in (("location", "data"), ("offset", "0"), ("length", "4")):
            tensor.external_data.add(key=key, value=entry)
        body = [make_node("Constant", [], ["c"], value=tensor), make_node("Mul", ["v", "c"], ["w"])]
        function = helper.make_function("own", "F", ["v"], ["w"], body, [helper.make_opsetid("", 13)])
        call = make_node("F", ["x"], ["y"], domain="own")
        paths.append(saved(folder / "m.onnx", [call], functions=[function]))
    assert differs_in(*paths) != []
