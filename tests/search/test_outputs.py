"""How outputs are judged, read from graphs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from natonnx.frontend import Network, parse
from natonnx.search.outputs import Measure, judged_outputs, scores_output

N = "batch"


class Graph:
    """Nodes behind an input x [batch, 4]."""

    def __init__(self, shape: Sequence[Any] = (N, 4), opset: int = 17) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.shape, self.opset = shape, opset

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        names = [f"{kind}{len(self.nodes)}" + (f"_{i}" if i else "") for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, names[0], **attributes))
        return names[0]

    def dense(self, source: str, width: int, *, bias: bool = True) -> str:
        rows = 4 if source == "x" else 6
        weight = self.constant(np.random.default_rng(0).standard_normal((rows, width)))
        made = self.op("MatMul", source, weight)
        return self.op("Add", made, self.constant(np.ones(width))) if bias else made

    def network(self, *outputs: str | tuple[str, int]) -> Network:
        infos = [
            helper.make_tensor_value_info(name, kind, None)
            for name, kind in (out if isinstance(out, tuple) else (out, TensorProto.FLOAT) for out in outputs)
        ]
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(self.shape))],
            infos,
            self.constants,
        )
        model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", self.opset)])
        return parse(onnx.shape_inference.infer_shapes(model))


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
def test_behind_softmax_the_loss_takes_what_stands_before(kind: str) -> None:
    graph = Graph()
    logits = graph.dense("x", 6, bias=False)
    (found,) = judged_outputs(graph.network(graph.op(kind, logits, axis=-1)))
    assert (found.logits, found.measure, found.axis, found.batch_axis) == (logits, Measure.TOP1, -1, 0)


def test_softmax_over_channels_of_a_map_is_scores_at_each_position() -> None:
    graph = Graph((N, 5, 3, 3))
    logits = graph.op("Relu", "x")
    network = graph.network(graph.op("Softmax", logits, axis=1))
    (found,) = judged_outputs(network)
    assert (found.measure, found.axis) == (Measure.TOP1, -3)
    assert scores_output(network) == (found.name, 5)


def test_softmax_of_old_opsets_takes_all_axes_from_its_own_on() -> None:
    """Where that is more than one axis it is no distribution over classes at each position."""
    flat, wide = Graph((N, 5, 1, 1), opset=11), Graph((N, 5, 3, 3), opset=11)
    (one,) = judged_outputs(flat.network(flat.op("Softmax", flat.op("Relu", "x"), axis=1)))
    (other,) = judged_outputs(wide.network(wide.op("Softmax", wide.op("Relu", "x"), axis=1)))
    assert (one.measure, one.axis) == (Measure.TOP1, -3)
    assert other.measure is Measure.VARIANCE


def test_a_final_dense_layer_with_a_bias_is_class_scores() -> None:
    graph = Graph()
    biased, plain = graph.dense("x", 6), graph.dense("x", 6, bias=False)
    one, other = judged_outputs(graph.network(biased, plain))
    assert (one.measure, other.measure) == (Measure.TOP1, Measure.VARIANCE)


def test_one_number_or_what_is_called_boxes_is_not_class_scores() -> None:
    graph = Graph()
    single = graph.dense("x", 1)
    boxes = graph.dense("x", 4)
    graph.nodes.append(helper.make_node("Identity", [boxes], ["pred_boxes"], "boxes"))
    found = judged_outputs(graph.network(single, "pred_boxes"))
    assert [out.measure for out in found] == [Measure.VARIANCE, Measure.VARIANCE]


def test_what_labels_are_compared_with_is_scores_whatever_makes_it() -> None:
    graph = Graph()
    plain = graph.dense("x", 6, bias=False)
    network = graph.network(plain)
    assert scores_output(network) == (plain, 6)
    assert judged_outputs(network, plain)[0].measure is Measure.TOP1


def test_behind_sigmoid_it_is_probabilities() -> None:
    graph = Graph((N, 1, 4, 4))
    logits = graph.op("Mul", "x", graph.constant([[[[2.0]]]]))
    (found,) = judged_outputs(graph.network(graph.op("Sigmoid", logits)))
    assert (found.logits, found.measure) == (logits, Measure.PROBABILITIES)


def test_divided_by_its_norm_it_is_an_embedding() -> None:
    spelled, plain = Graph(), Graph()
    values = spelled.dense("x", 6)
    norm = spelled.op("ReduceL2", values, axes=[1], keepdims=1)
    clipped = spelled.op("Clip", norm, spelled.constant(1e-12))
    (one,) = judged_outputs(spelled.network(spelled.op("Div", values, clipped)))
    (other,) = judged_outputs(plain.network(plain.op("LpNormalization", plain.dense("x", 6), axis=-1)))
    assert one.measure is other.measure is Measure.COSINE


def test_divided_by_something_else_it_is_values() -> None:
    graph = Graph()
    values, further = graph.dense("x", 6, bias=False), graph.dense("x", 6, bias=False)
    norm = graph.op("ReduceL2", further, axes=[1], keepdims=1)
    assert judged_outputs(graph.network(graph.op("Div", values, norm)))[0].measure is Measure.VARIANCE


@pytest.mark.parametrize("kind", ["ArgMax", "TopK", "Round"])
def test_what_no_gradient_reaches_is_judged_at_what_feeds_it(kind: str) -> None:
    graph = Graph()
    scores = graph.op("Softmax", graph.dense("x", 6), axis=-1)
    if kind == "TopK":
        last: Any = graph.op(kind, scores, graph.constant([2], np.int64), outputs=2)
    else:
        last = graph.op(kind, scores)
    dtype = TensorProto.INT64 if kind == "ArgMax" else TensorProto.FLOAT
    (found,) = judged_outputs(graph.network((last, dtype)))
    assert (found.name, found.measure) == (scores, Measure.TOP1)


def test_behind_non_max_suppression_boxes_and_scores_are_judged() -> None:
    graph = Graph((1, 8, 4))
    boxes = graph.op("Mul", "x", graph.constant([[[2.0] * 4]]))
    scores = graph.op("Sigmoid", graph.op("Transpose", "x", perm=[0, 2, 1]))
    kept = graph.op("NonMaxSuppression", boxes, scores, graph.constant([5], np.int64))
    picked = graph.op("Gather", kept, graph.constant([2], np.int64), axis=1)
    flat = graph.op("Squeeze", picked, graph.constant([1], np.int64))
    last = graph.op("Gather", boxes, flat, axis=1)
    found = judged_outputs(graph.network(last))
    assert {out.name: out.measure for out in found} == {boxes: Measure.VARIANCE, scores: Measure.PROBABILITIES}


def test_the_batch_is_where_the_output_has_it() -> None:
    graph = Graph((N, 5, 6))
    first = graph.op("Transpose", "x", perm=[1, 0, 2])
    (found,) = judged_outputs(graph.network(graph.op("Softmax", first, axis=-1)))
    assert (found.batch_axis, found.axis) == (1, -1)


def test_the_axis_of_classes_is_that_of_samples_first() -> None:
    """Whatever axes move when the batch goes to the front."""
    graph = Graph((N, 5))
    behind = graph.op("Transpose", "x", perm=[1, 0])
    first, scores = graph.op("Softmax", behind, axis=0), graph.op("Softmax", "x", axis=1)
    moved, plain = judged_outputs(graph.network(first, scores))
    assert (moved.batch_axis, moved.axis) == (1, -1)
    assert (plain.batch_axis, plain.axis) == (0, -1)
    assert scores_output(graph.network(first)) == (first, 5)


@pytest.mark.parametrize("kind", ["LpNormalization", "Div"])
def test_an_embedding_lies_along_the_axis_that_is_normalised(kind: str) -> None:
    """As dense descriptors do, [N, 128, H, W]."""
    graph = Graph((N, 6, 3, 2))
    values = graph.op("Mul", "x", graph.constant([[[[2.0]]]]))
    if kind == "Div":
        last = graph.op(kind, values, graph.op("ReduceL2", values, axes=[1], keepdims=1))
    else:
        last = graph.op(kind, values, axis=1)
    (found,) = judged_outputs(graph.network(last))
    assert (found.measure, found.axis) == (Measure.COSINE, -3)


def test_labels_are_for_class_scores_alone() -> None:
    """Not for an embedding, nor for the scores of the best few, which no gradient reaches."""
    graph = Graph()
    embedding = graph.op("LpNormalization", graph.dense("x", 6), axis=-1)
    best = graph.op("TopK", graph.dense("x", 6), graph.constant([2], np.int64), outputs=2)
    assert scores_output(graph.network(embedding)) is None
    assert scores_output(graph.network(best)) is None


def test_what_an_arg_max_reads_is_class_scores_along_its_axis() -> None:
    """Though no Softmax and no dense layer says so, as at the end of a segmentation model."""
    graph = Graph((N, 4, 8, 8))
    scores = graph.op("Relu", "x")
    picked = graph.op("Cast", graph.op("ArgMax", scores, axis=1, keepdims=0), to=TensorProto.INT32)
    (found,) = judged_outputs(graph.network((picked, TensorProto.INT32)))
    assert (found.name, found.measure, found.axis) == (scores, Measure.TOP1, -3)


def test_an_arg_max_over_the_batch_says_nothing_of_classes() -> None:
    graph = Graph()
    values = graph.op("Relu", "x")
    (found,) = judged_outputs(graph.network((graph.op("ArgMax", values, axis=0), TensorProto.INT64)))
    assert found.measure is Measure.VARIANCE


def test_a_softmax_over_the_batch_is_no_class_scores() -> None:
    graph = Graph((N, 4, 8, 8))
    (found,) = judged_outputs(graph.network(graph.op("Softmax", "x", axis=0)))
    assert found.measure is Measure.VARIANCE


def test_what_is_gathered_by_the_inputs_own_numbers_is_judged_itself() -> None:
    """As the text encoder of CLIP takes the state of the last token, which has the highest number."""
    values = numpy_helper.from_array(np.ones((3, 4), np.float32), "table")
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["states"]),
        helper.make_node("ArgMax", ["ids"], ["last"], axis=1, keepdims=1),
        helper.make_node("GatherND", ["states", "last"], ["pooled"], batch_dims=1),
        helper.make_node("Relu", ["pooled"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "clip",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [N, 5])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [N, 4])],
        [values],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    assert [out.name for out in judged_outputs(parse(model))] == ["out"]
