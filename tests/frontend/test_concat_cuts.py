"""What a cut meets on its way: members without channels, gates, groups, shuffles, shared weights, old opsets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from natonnx.architecture import State, activity, cost, legal_transitions, violation
from natonnx.frontend import parse
from natonnx.frontend.channel_parts import slice_rule
from natonnx.frontend.view import GraphView
from natonnx.rewrite import References, build, verify
from natonnx.supernet import Supernet
from tests.frontend.test_cut_rules import fork, refuse, without, zeroed
from tests.rewrite.helpers import Builder, arrays, assert_close, images

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from natonnx.frontend import Network


def plainly(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first output by onnxruntime, without its optimisations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"x": x})[0]
    return result


def cut(network: Network, edges: Sequence[str], gone: Mapping[str, tuple[Sequence[int], int]]) -> onnx.ModelProto:
    """The model without some edges, compared with the whole one with zeros in the weights that absorb what is lost.

    Args:
        network: The whole.
        edges: What becomes null.
        gone: By weight: entries, along an axis, that meet lost channels.
    """
    beta, alpha = network.architecture, without(network, *edges)
    assert violation(alpha, beta) is None
    if len(edges) == 1:
        assert legal_transitions(beta)[beta.topology.edge_index[edges[0]]][State.N] is None
    result = build(network, alpha)
    checks = verify(network, alpha, result, References(Supernet(network).as_reference(alpha)))
    assert [check for check in checks if not check.passed] == []
    assert cost(parse(result).architecture) == cost(alpha)
    expected = network.model
    for name, (entries, axis) in gone.items():
        expected = zeroed(expected, name, entries, axis)
    first = network.model.graph.input[0].type.tensor_type.shape.dim[0]
    for batch in (1, 3) if first.dim_param else (first.dim_value,):
        x = images(batch, 4, 4)
        assert_close(plainly(result, x), plainly(expected, x))
    return result


# Members without channels


def _with_empty(at: int) -> Network:
    """Two convolutions and a part of the input that has no channels, at some place among them."""
    graph = Builder(size=4)
    members = [graph.conv("x", "a", 3), graph.conv("x", "b", 2)]
    bounds = [graph.constant(name, np.array([value])) for name, value in [("from", 0), ("to", 0), ("axis", 1)]]
    members.insert(at, graph.op("Slice", "x", *bounds, out="empty"))
    graph.op("Concat", *members, out="c", axis=1)
    graph.channels["c"] = 5
    graph.conv("c", "y", bias=True)
    return parse(graph.model("y"))


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_member_without_channels_takes_none(at: int) -> None:
    network = _with_empty(at)
    cut(network, ["empty->c"], {})
    cut(network, ["a->c", "empty->c"], {"y.w": ([0, 1, 2], 1)})
    result = cut(network, ["b->c"], {"y.w": ([3, 4], 1)})
    assert arrays(result)["y.w"].shape == (4, 3, 1, 1)


def test_a_concat_does_not_live_by_members_without_channels() -> None:
    network = _with_empty(1)
    one_left = without(network, "a->c")
    at = network.architecture.topology.edge_index["b->c"]
    assert violation(without(network, "a->c", "b->c"), network.architecture) is not None
    assert legal_transitions(one_left)[at][State.N] == "nothing else feeds 'c', which the model's output depends on"


# Gates


def test_a_gate_that_squeezes_and_excites_is_cut_with_what_it_gates() -> None:
    graph = fork()
    graph.op("GlobalAveragePool", "c", out="pooled")
    graph.op("Relu", graph.conv("pooled", "squeeze", 2, bias=True), out="r")
    graph.op("HardSigmoid", graph.conv("r", "excite", 8, bias=True), out="gate")
    graph.channels["m"] = 8
    graph.op("Mul", "c", "gate", out="m")
    graph.conv("m", "y")
    network = parse(graph.model("y"))
    result = cut(network, ["B"], {"squeeze.w": ([3, 4], 1), "y.w": ([3, 4], 1)})
    assert (arrays(result)["squeeze.w"].shape, arrays(result)["y.w"].shape) == ((2, 6, 1, 1), (4, 6, 1, 1))


def test_factors_may_not_lose_different_channels() -> None:
    """One of them alone may: the node reads a part of the other."""
    graph = fork()
    graph.op("Concat", graph.conv("x", "e", 5), graph.conv("x", "f", 3), out="other", axis=1)
    graph.op("Mul", "c", "other", out="m")
    graph.channels["m"] = 8
    graph.conv("m", "y")
    network = parse(graph.model("y"))
    cut(network, ["B"], {"y.w": ([3, 4], 1)})
    cut(network, ["F"], {"y.w": ([5, 6, 7], 1)})
    cut(network, ["D", "F"], {"y.w": ([5, 6, 7], 1)})
    reason = violation(without(network, "B", "E"), network.architecture)
    assert reason == "what edge 'M' reads would not have lost the same channels"


def test_factors_of_one_member_may_not_lose_different_channels() -> None:
    """A transition may take channels of both: it is tried."""
    graph = fork()
    graph.op("Concat", graph.conv("x", "e", 6), graph.op("Relu", "b", out="r"), out="other", axis=1)
    graph.op("Mul", "c", "other", out="m")
    graph.channels["m"] = 8
    graph.conv("m", "y")
    network = parse(graph.model("y"))
    cut(network, ["b->c"], {"y.w": ([3, 4], 1)})
    reason = legal_transitions(network.architecture)[network.architecture.topology.edge_index["B"]][State.N]
    different = "what edge 'M' reads would not have lost the same channels"
    assert reason == f"nothing else feeds 'b', {different}"
    assert violation(without(network, "B"), network.architecture) == different


# Parts, groups and shuffles


def _in_halves(*sizes: int) -> Network:
    """A concat of which one half is convolved and joined with the other."""
    graph = Builder(size=4)
    members = [graph.conv("x", f"p{i}", size) for i, size in enumerate(sizes)]
    graph.op("Concat", *members, out="c", axis=1)
    graph.nodes.append(helper.make_node("Split", ["c"], ["left", "right"], "HALVES", axis=1))
    graph.channels["right"] = sum(sizes) // 2
    graph.op("Concat", "left", graph.conv("right", "z", 4), out="d", axis=1)
    graph.channels["d"] = 8
    graph.conv("d", "y")
    return parse(graph.model("y"))


def test_a_part_that_is_whole_absorbs_the_cut() -> None:
    network = _in_halves(3, 5)
    result = cut(network, ["P0"], {"y.w": ([0, 1, 2], 1)})
    assert arrays(result)["z.w"].shape == (4, 4, 1, 1)
    result = cut(_in_halves(5, 3), ["p1->c"], {"z.w": ([1, 2, 3], 1)})
    assert arrays(result)["y.w"].shape == (4, 8, 1, 1)


def test_a_part_of_which_nothing_is_left_is_needed() -> None:
    network = _in_halves(4, 4)
    beta = network.architecture
    for edge, part in [("p0->c", "left"), ("p1->c", "right")]:
        reason = legal_transitions(beta)[beta.topology.edge_index[edge]][State.N]
        assert (
            reason
            == f"the concat 'c' cannot lose it: of the channels that the nodes of '{part}' take, none would be left"
        )
        assert violation(without(network, edge), beta) is not None
    cut(network, ["left->d", "P0"], {"y.w": (range(4), 1)})


def _grouped(graph: Builder) -> None:
    graph.channels["m"] = 8
    graph.conv("c", "m", 16, group=4, bias=True)
    graph.conv("m", "y")


def _shuffled(graph: Builder) -> None:
    graph.op("Reshape", "c", graph.constant("parted", np.array([-1, 4, 2, 4, 4])), out="g")
    graph.op("Transpose", "g", out="t", perm=[0, 2, 1, 3, 4])
    graph.op("Reshape", "t", graph.constant("joined", np.array([-1, 8, 4, 4])), out="m")
    graph.channels["m"] = 8
    graph.conv(graph.batchnorm("m", "n"), "y")


def _in_pairs(sizes: Sequence[int], put: Callable[[Builder], None]) -> Network:
    graph = Builder(size=4)
    members = [graph.conv("x", f"p{i}", size) for i, size in enumerate(sizes)]
    graph.op("Concat", *members, out="c", axis=1)
    graph.channels["c"] = sum(sizes)
    put(graph)
    return parse(graph.model("y"))


def test_whole_groups_of_a_convolution_go() -> None:
    network = _in_pairs([2, 4, 2], _grouped)
    result = cut(network, ["P1"], {"y.w": (range(4, 12), 1)})
    assert (arrays(result)["m.w"].shape, arrays(result)["m.b"].shape) == ((8, 2, 1, 1), (8,))
    cut(network, ["p0->c", "P2"], {"y.w": ([0, 1, 2, 3, 12, 13, 14, 15], 1)})


def test_whole_groups_of_a_shuffle_go() -> None:
    """Channel k of group g becomes channel 4k + g."""
    network = _in_pairs([2, 4, 2], _shuffled)
    cut(network, ["P1"], {"y.w": ([1, 2, 5, 6], 1)})
    cut(network, ["P0"], {"y.w": ([0, 4], 1)})


def test_parts_of_groups_of_a_shuffle_go() -> None:
    """What is left is chosen from the concat itself."""
    network = _in_pairs([3, 3, 2], _shuffled)
    result = cut(network, ["P0"], {"y.w": ([0, 4, 1], 1)})
    assert [node.op_type for node in result.graph.node].count("Gather") == 1
    assert not {"Reshape", "Transpose"} & {node.op_type for node in result.graph.node}
    cut(network, ["P0", "p2->c"], {"y.w": ([0, 4, 1, 3, 7], 1)})


def _of_six() -> Network:
    """A concat of which a convolution reads channels 1 to 6."""
    graph = fork()
    bounds = [graph.constant(f"k{i}", np.array([one])) for i, one in enumerate((1, 7, 1))]
    graph.op("Conv", graph.op("Slice", "c", *bounds, out="m"), graph.weight("W", 4, 6, 1, 1), out="y")
    return parse(graph.model("y"))


@pytest.mark.parametrize(
    ("network", "names"),
    [(_of_six(), [name]) for name in ("A", "B", "D")]
    + [(_of_six(), ["A", "D"]), (_in_pairs([3, 3, 2], _shuffled), ["P0"]), (_in_halves(3, 5), ["P0"])],
)
def test_what_works_is_what_costs(network: Network, names: Sequence[str]) -> None:
    """Of the channels that nodes choose, too."""
    edges = network.architecture.topology.edges
    madds = np.array([edge.operation.madds or 0 if edge.operation else 0 for edge in edges])
    alpha = without(network, *names)
    assert activity(alpha)[: len(edges)] @ madds == pytest.approx(cost(alpha).madds)


def test_parts_of_groups_of_a_convolution_may_not_go() -> None:
    network = _in_pairs([3, 3, 2], _grouped)
    verdicts = legal_transitions(network.architecture)
    reasons = [verdicts[network.architecture.topology.edge_index[f"p{i}->c"]][State.N] for i in range(3)]
    assert (
        reasons[0] == reasons[1] == "the concat 'c' cannot lose it: edge 'M' can lose whole groups of 2 channels only"
    )
    assert reasons[2] is None
    assert violation(without(network, "p0->c"), network.architecture) is not None


def test_whole_groups_of_a_normalisation_go() -> None:
    graph = Builder(size=4, opset=21, ir_version=10)
    graph.op("Concat", *(graph.conv("x", f"p{i}", size) for i, size in enumerate([2, 3, 3])), out="c", axis=1)
    graph.op("GroupNormalization", "c", graph.weight("scale", 8), graph.weight("bias", 8), out="m", num_groups=4)
    graph.channels["m"] = 8
    graph.conv("m", "y")
    network = parse(graph.model(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 4, 4])))
    result = cut(network, ["P0"], {"y.w": ([0, 1], 1)})
    assert arrays(result)["scale"].shape == (6,)
    reason = legal_transitions(network.architecture)[network.architecture.topology.edge_index["P1"]][State.N]
    assert reason == "nothing else feeds 'p1', the nodes of 'm' can lose whole groups of 2 channels only"


def test_a_slice_of_all_is_a_skip() -> None:
    """As in GhostNet: the other half of a concat is made of the first one."""
    graph = Builder(size=4)
    graph.op("Concat", graph.conv("x", "a"), graph.conv("a", "b", group=4), out="c", axis=1)
    bounds = [graph.constant(name, np.array([value])) for name, value in [("from", 0), ("to", 8), ("axis", 1)]]
    graph.op("Slice", "c", *bounds, out="s")
    graph.channels["s"] = 8
    graph.conv("s", "y")
    network = parse(graph.model("y"))
    assert network.opaque == ()
    cut(network, ["B"], {"y.w": ([4, 5, 6, 7], 1)})


# Weights that several nodes share


def _view(graph: Builder) -> GraphView:
    """The graph, the sizes of `c` being known."""
    return GraphView(graph.model("y"), {"c": ("n", 8, 4, 4)}, {"c": TensorProto.FLOAT})


@pytest.mark.parametrize("kind", ["Add", "Mul", "Concat"])
def test_bounds_are_looked_at_once(kind: str) -> None:
    """Each node of a chain reads the one before twice: 2^48 ways, and numbers, or lists, that no memory holds."""
    graph = fork()
    bound = graph.op("Gather", graph.op("Shape", "c", out="sizes"), graph.constant("1", np.array([1])), out="n0")
    along: dict[str, Any] = {"axis": 0} if kind == "Concat" else {}
    for i in range(48):
        bound = graph.op(kind, bound, bound, out=f"n{i + 1}", **along)
    ends = [graph.constant("from", np.array([0])), bound, graph.constant("along", np.array([1]))]
    node = len(graph.nodes)
    graph.op("Slice", "c", *ends, out="m")
    graph.op("Conv", "m", graph.weight("W", 4, 8, 1, 1), out="y")
    rule = slice_rule(_view(graph), node, 1)
    assert rule is None or rule.parts in ((), (tuple(range(8)),))


def test_a_bound_of_which_a_part_is_unknown_is_unknown() -> None:
    graph = fork()
    size = graph.op("Gather", graph.op("Shape", "c", out="sizes"), graph.constant("1", np.array([1])), out="size")
    other = graph.op("Cast", graph.op("ReduceMax", "x", out="max", keepdims=0), out="whole", to=TensorProto.INT64)
    less = graph.op("Sub", size, other, out="less")
    ends = [graph.constant("from", np.array([0])), less, graph.constant("along", np.array([1]))]
    node = len(graph.nodes)
    graph.op("Slice", "c", *ends, out="m")
    graph.op("Conv", "m", graph.weight("W", 4, 8, 1, 1), out="y")
    rule = slice_rule(_view(graph), node, 1)
    assert rule is None


def test_removals_are_not_tried_where_they_are_thousands() -> None:
    """That would take the square of them; a whole architecture is judged all the same."""
    graph, count = Builder(size=2), 1200
    graph.op("Concat", *(graph.conv("x", f"p{i}", 1) for i in range(count)), out="c", axis=1)
    bounds = [graph.constant(f"k{i}", np.array([one])) for i, one in enumerate((1, count, 1))]
    graph.op("Conv", graph.op("Slice", "c", *bounds, out="m"), graph.weight("W", 1, count - 1, 1, 1), out="y")
    network = parse(graph.model("y"))
    topology = network.architecture.topology
    verdict = legal_transitions(network.architecture)[topology.edge_index["p7->c"]][State.N]
    assert verdict is not None
    assert f"which is not tried of {len(topology.edges):,} edges" in verdict
    assert violation(without(network, "p7->c"), network.architecture) is None


def _sharing(large: int) -> Network:
    """Two convolutions of one weight, of which one reads the concat; its members are of few weights or of many."""
    graph = Builder(size=4)
    graph.op("Concat", graph.conv("x", "a", 4, kernel=large), graph.op("Relu", "x", out="b"), out="c", axis=1)
    graph.channels["c"] = 8
    graph.op("Conv", "c", graph.weight("shared", 4, 8, 1, 1), out="p")
    graph.op("Conv", graph.conv("x", "other", 8), "shared", out="q")
    graph.op("Mul", "p", "q", out="y")
    return parse(graph.model("y"))


def test_a_part_of_a_shared_weight_is_a_copy() -> None:
    network = _sharing(3)
    model, x = network.model, images(2, 4, 4)
    result = build(network, without(network, "A"))
    assert {value.shape for name, value in arrays(result).items() if "shared" in name} == {(4, 8, 1, 1), (4, 4, 1, 1)}
    assert cost(parse(result).architecture) == cost(without(network, "A"))
    split = onnx.ModelProto()
    split.CopyFrom(model)
    own = next(tensor for tensor in split.graph.initializer if tensor.name == "shared")
    split.graph.initializer.add().CopyFrom(own)
    split.graph.initializer[-1].name = "copy"
    next(node for node in split.graph.node if node.output[0] == "p").input[1] = "copy"
    assert_close(plainly(result, x), plainly(zeroed(split, "copy", range(4), 1), x))


def test_a_copy_may_not_make_the_model_larger() -> None:
    """Without the member b, which has no weights, half of the shared weight would be stored besides the whole."""
    network = _sharing(1)
    beta = network.architecture
    at = beta.topology.edge_index["b->c"]
    reason = "it would cost more: parts of a weight that several nodes share would be stored besides the whole"
    assert legal_transitions(beta)[at][State.N] == reason
    assert str(violation(without(network, "b->c"), beta)).startswith("it would cost more: ")


def test_quantised_weights_stay_quantised() -> None:
    """Behind a concat: the activations by one scale, the weight's output channels by one scale each."""
    graph = fork()
    one, zero = graph.constant("one", np.array(1 / 64, np.float32)), graph.constant("zero", np.array(0, np.int8))
    graph.op("DequantizeLinear", graph.op("QuantizeLinear", "c", one, zero, out="q"), one, zero, out="d8")
    numbers = np.random.default_rng(3).integers(-99, 99, (4, 8, 1, 1)).astype(np.int8)
    scales = graph.constant("scales", np.linspace(0.01, 0.02, 4).astype(np.float32))
    weight = graph.op("DequantizeLinear", graph.constant("w8", numbers), scales, out="w", axis=0)
    graph.op("Conv", "d8", weight, out="y")
    result = cut(parse(graph.model("y")), ["B"], {"w8": ([3, 4], 1)})
    kept = arrays(result)
    assert kept["w8"].dtype == np.int8
    assert (kept["w8"].shape, kept["scales"].shape) == ((4, 6, 1, 1), (4,))


# Files as they are


def _old(model: onnx.ModelProto) -> onnx.ModelProto:
    """Of IR 3, where every initializer is an input too."""
    model.ir_version = 3
    model.graph.input.extend(
        helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in model.graph.initializer
    )
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.mark.parametrize("opset", [6, 7, 8, 9, 10, 11, 13, 18, 21])
def test_new_nodes_are_what_onnxruntime_has_at_the_opset(opset: int) -> None:
    """A list of sizes, a part of a gate, a sum, a padding and a pooling."""
    graph = Builder(size=4, opset=opset, batch=2)
    graph.op("Concat", graph.conv("x", "a", 3), graph.conv("x", "b", 5), out="c", axis=1)
    graph.channels["c"] = 8
    if opset >= 7:
        gate = graph.op("Sigmoid", graph.op("GlobalAveragePool", graph.conv("x", "o", 8), out="p"), out="gate")
        graph.op("Mul", "c", gate, out="m")
    graph.op("Reshape", "m" if opset >= 7 else "c", graph.constant("sizes", np.array([2, 8, 4, 4])), out="r")
    graph.channels["r"] = 8
    graph.conv(graph.conv("r", "s", 4), "t", 6)
    graph.op("MaxPool", "t", out="half", kernel_shape=[2, 2], strides=[2, 2])
    graph.conv("half", "y", 8)
    network = parse(_old(graph.model("y")) if opset < 9 else graph.model("y"))
    cut(network, ["B"], {"s.w": (range(3, 8), 1)})
    beta = network.architecture
    for e, edge in enumerate(beta.topology.edges):
        if legal_transitions(beta)[e].get(State.S, "") is None:
            alpha = beta.with_states((*beta.states[:e], State.S, *beta.states[e + 1 :]))
            checks = verify(network, alpha, build(network, alpha), References(Supernet(network).as_reference(alpha)))
            assert [check for check in checks if not check.passed] == [], edge.name


def _shapeless(info: onnx.ValueInfoProto) -> None:
    info.type.tensor_type.ClearField("shape")


def _typeless(info: onnx.ValueInfoProto) -> None:
    info.ClearField("type")


@pytest.mark.parametrize("strip", [_shapeless, _typeless])
def test_notes_need_not_say_a_shape(strip: Callable[[onnx.ValueInfoProto], None]) -> None:
    graph = fork()
    graph.conv(graph.batchnorm("c", "n"), "y")
    model = graph.model("y")
    names = [name for node in model.graph.node for name in node.output if name != "y"]
    for name in [*names, *(tensor.name for tensor in model.graph.initializer)]:
        model.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]))
        strip(model.graph.value_info[-1])
    cut(parse(model), ["B"], {"y.w": ([3, 4], 1)})


def test_a_gate_of_one_that_is_lost_is_refused_for_a_true_reason() -> None:
    """The number of channels enters a product."""
    graph = fork()
    shape = graph.op("Shape", "c", out="shape")
    graph.op("Cast", graph.op("ReduceProd", shape, out="count", keepdims=0), out="number", to=1)
    graph.channels["m"] = 8
    graph.op("Mul", "c", "number", out="m")
    graph.conv("m", "y")
    assert refuse(graph.network("y")) == "the nodes of 'count' have no rule for fewer channels"


@pytest.mark.parametrize(("group", "wanted"), [(0, 5), (1, 1), (1, 4)])
def test_a_weight_that_does_not_fit_its_input_is_not_cut(group: int, wanted: int) -> None:
    """onnx's checker lets it pass; onnxruntime refuses to run it."""
    graph = Builder()
    graph.op("Concat", graph.conv("x", "a", 3), graph.conv("x", "b", 2), out="c", axis=1)
    graph.op("Conv", "c", graph.weight("w", 4, wanted, 1, 1), out="y", group=group)
    beta = graph.network("y").architecture
    verdict = legal_transitions(beta)[beta.topology.edge_index["a->c"]]
    assert verdict[State.N] == "the concat 'c' cannot lose it: edge 'Y' has no rule for fewer channels"
