"""Models that are valid and that the checks before writing cannot follow all the way: they are no reason to refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from natonnx.frontend import parse
from tests.rewrite.helpers import edges
from tests.rewrite.trunk import (
    EDITS,
    applied,
    assert_built_as_by_hand,
    assert_identical,
    by_hand,
    image,
    imports,
    reasons,
    trunk,
    value_info,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from natonnx.architecture import Edit


# Operators that onnxruntime does not know


def mystery() -> onnx.ModelProto:
    graph = trunk()
    graph.nodes.append(helper.make_node("Mystery", ["r"], ["y"], "Y", domain="com.example", secret=b"\xff"))
    return graph.model("t", image("y"), **imports("com.example"))


def test_operator_that_nobody_knows_is_inspected(tmp_path: Path) -> None:
    assert reasons(mystery(), tmp_path) == {"Y": "operator of the domain com.example"}
    assert {"A", "B", "C"} <= edges(parse(mystery())).keys()


def test_operator_that_nobody_knows_is_built_beside() -> None:
    assert_built_as_by_hand(mystery())


def test_file_that_onnxruntime_refuses_is_copied_byte_for_byte(tmp_path: Path) -> None:
    applied(mystery(), tmp_path)
    assert (tmp_path / "output.onnx").read_bytes() == (tmp_path / "source.onnx").read_bytes()


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_edit_far_from_an_operator_that_nobody_knows_is_applied(edit: Edit, tmp_path: Path) -> None:
    result = applied(mystery(), tmp_path, edit)
    assert next(node for node in result.graph.node if node.name == "Y") == mystery().graph.node[-1]


# Types, randomness and sizes that make a comparison coarser or smaller


def _half_precision() -> onnx.ModelProto:
    graph = trunk()
    graph.input.type.tensor_type.elem_type = TensorProto.FLOAT16
    for tensor in graph.initializers:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    return graph.model("t")


def _unsigned_arithmetic() -> onnx.ModelProto:
    graph = trunk()
    graph.op("Cast", "r", out="u", to=TensorProto.UINT32)
    graph.op("Cast", graph.op("Add", "u", "u", out="v"), out="y", to=TensorProto.FLOAT)
    return graph.model("t", "y")


def _dropout_that_trains() -> onnx.ModelProto:
    graph = trunk()
    graph.op(
        "Dropout",
        "r",
        graph.constant("ratio", np.array(0.5, np.float32)),
        graph.constant("on", np.array(True)),
        out="y",
    )
    return graph.model("t", "y")


def _normalisation_that_trains() -> onnx.ModelProto:
    graph = trunk()
    statistics = [graph.weight(f"n{i}", 4) for i in range(3)] + [graph.constant("n3", np.ones(4, np.float32))]
    graph.nodes.append(
        helper.make_node("BatchNormalization", ["r", *statistics], ["y", "m", "v"], "Y", training_mode=1)
    )
    return graph.model("t", "y", "m", "v")


def _bfloat16_output() -> onnx.ModelProto:
    graph = trunk()
    graph.op("Cast", "r", out="y", to=TensorProto.BFLOAT16)
    return graph.model("t", "y")


def _batch_that_only_seems_open() -> onnx.ModelProto:
    graph = trunk()
    graph.op("Reshape", "r", graph.constant("shape", np.array([1, 256])), out="y")
    return graph.model("t", value_info("y", [1, 256]))


@pytest.mark.parametrize(
    "make",
    [
        _half_precision,
        _unsigned_arithmetic,
        _dropout_that_trains,
        _normalisation_that_trains,
        _bfloat16_output,
        _batch_that_only_seems_open,
    ],
    ids=lambda make: make.__name__.strip("_"),
)
def test_valid_model_is_edited(make: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    model = make()
    applied(model, tmp_path)
    assert (tmp_path / "output.onnx").read_bytes() == (tmp_path / "source.onnx").read_bytes()
    for name, edit in EDITS.items():
        assert_identical(applied(model, tmp_path, edit), by_hand(model, name))
