"""Outputs that a file declares with a wrong shape: warned of, and then the model is what its nodes compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from natonnx.architecture import Edit, State
from natonnx.errors import InputError
from natonnx.frontend import load, read
from natonnx.frontend.declared import Contradiction, contradictions
from natonnx.frontend.load import check
from natonnx.frontend.shapes import infer_shapes
from natonnx.verbs.apply import apply
from tests.rewrite.helpers import Builder, edges, runtime

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def residual(*, early: bool = False) -> onnx.ModelProto:
    """Two convolutions with a sum around the second, and a mean over the image; the sum is an output too if early."""
    graph = Builder()
    relu = graph.op("Relu", graph.conv("x", "a"), out="r")
    total = graph.op("Add", relu, graph.conv(relu, "b"), out="s")
    graph.op("GlobalAveragePool", total, out="y")
    return graph.model(*(["s", "y"] if early else ["y"]))


def declare(model: onnx.ModelProto, output: str, shape: Sequence[int | str | None]) -> onnx.ModelProto:
    info = next(info for info in model.graph.output if info.name == output)
    info.CopyFrom(helper.make_tensor_value_info(output, TensorProto.FLOAT, shape))
    return model


def computed(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """What onnxruntime gives for a batch of 5."""
    outputs = runtime(model, {"x": np.zeros((5, 4, 8, 8), np.float32)})
    return {name: value.shape for name, value in outputs.items()}


WRONG: dict[str, tuple[str, Sequence[int | str | None], str]] = {
    "scalar": ("y", [], "'y' is declared as a scalar but computed as [n, 4, 1, 1]"),
    "rank": ("y", ["n", 4], "'y' is declared as [n, 4] but computed as [n, 4, 1, 1]"),
    "size": ("y", ["n", 7, 1, 1], "'y' is declared as [n, 7, 1, 1] but computed as [n, 4, 1, 1]"),
    "open axis": ("y", [None, 4, 2, 1], "'y' is declared as [?, 4, 2, 1] but computed as [n, 4, 1, 1]"),
    "a batch": ("y", [3, 4, 1, 1], "'y' is declared as [3, 4, 1, 1] but computed as [n, 4, 1, 1]"),
    "read by a node": ("s", ["n", 4, 9, 9], "'s' is declared as [n, 4, 9, 9] but computed as [n, 4, 8, 8]"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_output_is_warned_of_and_believed_to_be_what_is_computed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    output, shape, said = WRONG[kind]
    right = residual(early=output == "s")
    model = declare(residual(early=output == "s"), output, shape)
    onnx.save(model, tmp_path / "model.onnx")
    source = load(tmp_path / "model.onnx")
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'model.onnx'}: output {said}; the latter is believed"
    ]
    assert source.network.model == model
    assert edges(source.network) == edges(load(_saved(right, tmp_path)).network)
    shapes, _ = infer_shapes(model)
    assert {name: (5, *shapes[name][1:]) for name in computed(model)} == computed(model)


def _saved(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "right.onnx")
    return folder / "right.onnx"


@pytest.mark.parametrize("kind", sorted(WRONG.keys() - {"a batch"}))  # which the checker accepts
def test_edited_model_declares_what_the_source_does(tmp_path: Path, kind: str) -> None:
    output, shape, said = WRONG[kind]
    onnx.save(declare(residual(early=output == "s"), output, shape), tmp_path / "model.onnx")
    _, checks = apply(tmp_path / "model.onnx", [Edit("B", State.O, State.N)], tmp_path / "out.onnx")
    assert checks[0].detail == f"full check but for the source's own output {said}"
    written = onnx.load(tmp_path / "out.onnx")
    assert list(written.graph.output) == list(onnx.load(tmp_path / "model.onnx").graph.output)
    assert computed(written) == computed(residual(early=output == "s"))


def test_an_output_without_a_shape_may_be_known_less_well_or_better(tmp_path: Path) -> None:
    """Skips in the place of convolutions over an image of open size tell its axes' names."""
    graph = Builder(size="h")
    graph.op("Relu", graph.conv("x", "a"), out="r")
    batch, image = graph.op("Shape", "r", out="batch", end=1), graph.op("Shape", "r", out="image", start=2)
    sizes = graph.op("Concat", batch, graph.constant("parts", np.array([2, 2])), image, out="sizes", axis=0)
    graph.op(
        "ReduceSum",
        graph.op("Reshape", "r", sizes, out="5d"),
        graph.constant("axis", np.array([1])),
        out="s",
        keepdims=0,
    )
    graph.op("Conv", "s", graph.weight("y.w", 2, 2, 3, 3), out="y", pads=[1] * 4)
    model = graph.model("y")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "model.onnx")
    edits = [Edit(name, State.O, State.S) for name in "AY"]
    _, checks = apply(tmp_path / "model.onnx", edits, tmp_path / "out.onnx")
    assert checks[0].detail.startswith("full check but for the source's own output 'y' is declared without a shape")
    assert contradictions(onnx.load(tmp_path / "out.onnx")) != contradictions(model)


def test_only_what_the_source_contradicts_is_accepted() -> None:
    model = declare(residual(), "y", ["n", 7, 1, 1])
    found = contradictions(model)
    assert found == (Contradiction("y", ("n", 7, 1, 1), ("n", 4, 1, 1)),)
    assert check(model) is not None
    assert check(model, None, found) is None
    assert check(model, None, [found[0]._replace(inferred=("n", 5, 1, 1))]) is not None  # it computed something else
    assert check(declare(residual(), "y", ["n", 8, 1, 1]), None, found) is not None


@pytest.mark.parametrize("shape", [["n", 4, 1, 1], ["batch", 4, 1, 1], [None, None, None, None]])
def test_open_and_named_axes_contradict_nothing(tmp_path: Path, shape: list[int | str | None]) -> None:
    model = declare(residual(), "y", shape)
    assert not contradictions(model)
    onnx.save(model, tmp_path / "model.onnx")
    assert read(tmp_path / "model.onnx") == model


@pytest.mark.parametrize("fault", ["unknown operator", "another node"])
def test_anything_else_is_refused_beside_a_wrong_output(tmp_path: Path, fault: str) -> None:
    model = declare(residual(), "y", ["n", 7, 1, 1])
    if fault == "unknown operator":
        model.graph.node[1].op_type = "Relo"
    else:
        model.graph.initializer[1].dims[:] = [2, 8, 1, 1]  # the second convolution reads 8 channels of 4
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(InputError, match="not a valid ONNX model"):
        read(tmp_path / "model.onnx")


def test_a_model_that_onnxruntime_refuses_is_refused(tmp_path: Path) -> None:
    graph = Builder()
    graph.op("Relu", "x", out="y")
    model = declare(graph.model("y"), "y", ["n", 7, 1, 1])
    model.opset_import.add(domain="unknown.domain", version=1)
    model.graph.node.append(helper.make_node("Mystery", ["y"], ["z"], domain="unknown.domain"))
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n"]))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(InputError, match="not a valid ONNX model"):
        read(tmp_path / "model.onnx")


def test_a_note_of_a_constant_is_no_declaration() -> None:
    """As onnxscript's optimizer leaves them; without a shape of its own, onnx would slice along another axis."""
    graph = Builder()
    bounds = [graph.constant(name, np.array([number])) for name, number in (("start", 0), ("end", 3), ("one", 1))]
    graph.op("Slice", "x", *bounds, "one", out="y")
    model = graph.model("y")
    note = helper.make_tensor_value_info("one", TensorProto.INT64, [1])
    model.graph.value_info.append(note)
    assert not contradictions(model)
    shapes, _ = infer_shapes(model)
    assert shapes["y"] == ("n", 3, 8, 8)
    note.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    model.graph.value_info.append(note)
    assert infer_shapes(model)[0]["y"] == ("n", 3, 8, 8)
