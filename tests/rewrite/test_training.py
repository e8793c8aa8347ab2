"""A training graph stays as it is while what it binds does, and goes with it."""

from __future__ import annotations

import logging

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from natonnx.architecture import State, apply_edits
from natonnx.architecture.transition import Edit
from natonnx.frontend import parse
from natonnx.rewrite import build
from tests.rewrite.helpers import Builder


def trainable(how: str) -> onnx.ModelProto:
    """x → A → (r) → + B; SGD of B's weight, bound, read by the algorithm, or both."""
    graph = Builder()
    graph.op("Relu", graph.conv("x", "a"), out="r")
    graph.op("Add", graph.conv("r", "b"), "r", out="y")
    model = graph.model("y")
    read = "b.w" if how in {"reads", "both"} else "own"
    nodes = [helper.make_node("Sub", [read, "step"], ["new"]), helper.make_node("Identity", ["new"], ["out"])]
    own = [numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), n) for n in ("step", "own")]
    training = model.training_info.add()
    training.algorithm.CopyFrom(
        helper.make_graph(nodes, "sgd", [], [helper.make_empty_tensor_value_info("out")], initializer=own)
    )
    if how in {"binds", "both"}:
        training.update_binding.add(key="b.w", value="out")
    return model


@pytest.mark.parametrize("how", ["binds", "reads", "both"])
def test_training_goes_with_the_weight_that_it_sets(how: str, caplog: pytest.LogCaptureFixture) -> None:
    model = trainable(how)
    network = parse(model)
    other = apply_edits(network.architecture, [Edit("A", State.O, State.S)])
    assert build(network, other).training_info == model.training_info
    with caplog.at_level(logging.INFO, "natonnx"):
        result = build(network, apply_edits(network.architecture, [Edit("B", State.O, State.S)]))
    assert not result.training_info
    assert "binds 'b.w'" in caplog.text
    onnx.checker.check_model(result, full_check=True)


def test_training_stays_where_weights_have_new_values() -> None:
    model = trainable("both")
    network = parse(model)
    result = build(network, network.architecture, {"b.w": np.zeros((4, 4, 1, 1), np.float32)})
    assert result.training_info == model.training_info


def test_training_goes_with_channels_of_the_weight_that_it_sets() -> None:
    graph = Builder()
    graph.op("Concat", graph.conv("x", "a"), graph.conv("x", "b"), out="c", axis=1)
    graph.channels["c"] = 8
    graph.conv("c", "y")
    model = graph.model("y")
    model.training_info.add().update_binding.add(key="y.w", value="out")
    network = parse(model)
    assert build(network, network.architecture).training_info == model.training_info
    result = build(network, apply_edits(network.architecture, [Edit("A", State.O, State.N)]))
    assert not result.training_info
