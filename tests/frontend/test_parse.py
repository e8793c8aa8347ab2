"""Each rule of the parser on the smallest graph that shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from natonnx.architecture import apply_edits
from natonnx.architecture.transition import Edit
from natonnx.frontend import WINDOW, parse
from natonnx.rewrite import build
from tests.rewrite.helpers import SHIPPED, Builder, assert_close, edges, images, joins, runtime, shipped_network

if TYPE_CHECKING:
    from natonnx.architecture import Operation
    from natonnx.frontend import Network


def operation(network: Network, edge: str) -> Operation:
    topology = network.architecture.topology
    found = topology.edges[topology.edge_index[edge]].operation
    assert found is not None
    return found


# Joins


def test_convolution_ends_in_a_single_map() -> None:
    graph = Builder()
    graph.conv("x", "a")
    network = graph.network("a")
    assert joins(network) == {"x": "input", "a": "single"}
    assert edges(network) == {"A": ("x", "a", "O")}


def test_add_of_two_operations_is_a_sum_that_both_enter() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.conv("x", "b", kernel=3)
    graph.op("Add", "a", "b", out="s")
    network = graph.network("s")
    assert joins(network) == {"x": "input", "s": "sum"}
    assert edges(network) == {"A": ("x", "s", "O"), "B": ("x", "s", "O")}


def test_add_of_a_map_is_a_skip_edge() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.op("Add", "a", "x", out="s")
    assert edges(graph.network("s")) == {"A": ("x", "s", "O"), "x->s": ("x", "s", "S")}


def test_sum_of_three_is_one_join() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.conv("x", "b")
    graph.op("Sum", "a", "b", "x", out="s")
    network = graph.network("s")
    assert joins(network)["s"] == "sum"
    assert [target for _, target, _ in edges(network).values()] == ["s"] * 3


def test_tensor_added_to_itself_gives_two_edges() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.op("Add", "a", "a", out="s")
    assert edges(graph.network("s")) == {
        "A": ("x", "a", "O"),
        "a->s": ("a", "s", "S"),
        "a->s#2": ("a", "s", "S"),
    }


def test_operation_read_by_a_sum_and_another_has_a_map_of_its_own() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.conv("a", "b")
    graph.op("Add", "a", "b", out="s")
    assert edges(graph.network("s")) == {"A": ("x", "a", "O"), "B": ("a", "s", "O"), "a->s": ("a", "s", "S")}


@pytest.mark.parametrize("shape", [(1,), (4, 1, 1), (1, 4, 8, 8)])
def test_add_of_a_constant_is_the_operations_bias(shape: tuple[int, ...]) -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.op("Add", "a", graph.weight("bias", *shape), out="b")
    network = graph.network("b")
    assert network.edges["A"].nodes == (0, 1)


def test_add_of_a_constant_that_changes_the_shape_is_opaque() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.op("Add", "a", graph.weight("grid", 2, 1, 4, 8, 8), out="b")
    network = graph.network("b")
    assert network.edges["A"].nodes == (0,)
    assert joins(network)["b"] == "opaque"


def test_add_of_different_shapes_is_opaque() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.op("ReduceMean", "x", out="m", axes=[2, 3])
    graph.op("Add", "a", "m", out="s")
    network = graph.network("s")
    assert joins(network) == {"x": "input", "a": "single", "m": "opaque", "s": "opaque"}
    reasons = {node.node: node.reason for node in network.opaque}
    assert "as a mask is" in reasons["S"]


def test_add_of_integers_is_opaque() -> None:
    graph = Builder()
    graph.op("Cast", "x", out="i", to=TensorProto.INT64)
    graph.op("Add", "i", "i", out="s")
    assert joins(graph.network("s"))["s"] == "opaque"


def test_operator_without_a_rule_is_opaque() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.op("Transpose", "a", out="t", perm=[0, 1, 3, 2])
    network = graph.network("t")
    assert joins(network)["t"] == "opaque"
    assert [(node.node, node.op_type) for node in network.opaque] == [("T", "Transpose")]


def test_every_output_of_a_split_is_an_opaque_map() -> None:
    graph = Builder()
    graph.nodes.append(helper.make_node("Split", ["x"], ["left", "right"], "SPLIT", axis=1))
    graph.channels |= {"left": 2, "right": 2}
    graph.conv("left", "a", 2)
    graph.op("Add", "a", "right", out="s")
    network = graph.network("s")
    assert joins(network) == {"x": "input", "left": "opaque", "right": "opaque", "s": "sum"}
    assert network.maps["left"].join_node == network.maps["right"].join_node == 0


def test_if_node_stays_opaque_and_reads_the_maps_that_its_branches_capture() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.conv("x", "b")
    branches = [
        helper.make_graph(
            [helper.make_node("Neg", [name], [f"{name}_neg"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_neg", TensorProto.FLOAT, None)],
        )
        for name in ("a", "b")
    ]
    graph.op("ReduceSum", "x", out="total", keepdims=0)
    graph.op("Cast", "total", out="condition", to=TensorProto.BOOL)
    graph.op("If", "condition", out="i", then_branch=branches[0], else_branch=branches[1])
    output = helper.make_tensor_value_info("i", TensorProto.FLOAT, ["n", 4, 8, 8])
    network = graph.network(output)
    topology = network.architecture.topology
    made = topology.maps[topology.map_index["i"]]
    assert made.join.value == "opaque"
    assert set(made.inputs) == {"condition", "a", "b"}
    assert {node.node: node.reason for node in network.opaque}["I"] == "control flow"


def test_tensor_that_a_nested_graph_captures_is_not_activated_in_place() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.op("Relu", "a", out="r")
    branch = helper.make_graph(
        [helper.make_node("Neg", ["a"], ["inner"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    graph.op("ReduceSum", "x", out="total", keepdims=0)
    graph.op("Cast", "total", out="condition", to=TensorProto.BOOL)
    graph.op("If", "condition", out="i", then_branch=branch, else_branch=branch)
    network = graph.network("r", helper.make_tensor_value_info("i", TensorProto.FLOAT, ["n", 4, 8, 8]))
    assert network.maps["a"].chain == ()


@pytest.mark.parametrize("op_type", ["RandomNormal", "RandomNormalLike", "Bernoulli"])
def test_random_operator_is_opaque_and_no_constant(op_type: str) -> None:
    graph = Builder(batch=2)
    if op_type == "RandomNormal":
        graph.op(op_type, out="r", shape=[2, 4, 8, 8])
    else:
        graph.op(op_type, "x", out="r")
    graph.op("Add", "x", "r", out="s")
    network = graph.network("s")
    assert joins(network) == {"x": "input", "r": "opaque", "s": "sum"}
    assert network.constant_nodes == ()


def test_operator_of_a_custom_domain_is_opaque() -> None:
    graph = Builder()
    node = helper.make_node("Relu", ["x"], ["y"], "Y", domain="custom")
    graph.nodes.append(node)
    function = helper.make_function(
        "custom", "Relu", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("custom", 1)]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 8, 8])
    network = parse(graph.model(output, functions=[function], opset_imports=imports))
    assert joins(network)["y"] == "opaque"
    assert network.opaque[0].reason == "local function of the domain custom"


# What belongs to an operation


def test_batchnorm_belongs_to_the_convolution_before_it() -> None:
    graph = Builder()
    graph.batchnorm(graph.conv("x", "a"), "n")
    network = graph.network("n")
    assert edges(network) == {"A": ("x", "n", "O")}
    assert network.edges["A"].nodes == (0, 1)


def test_running_statistics_are_no_parameters() -> None:
    graph = Builder()
    graph.batchnorm(graph.conv("x", "a"), "n")
    assert dict(operation(graph.network("n"), "A").weights) == {"a.w": 16, "n.scale": 4, "n.shift": 4}


def test_batchnorm_that_a_second_node_bypasses_is_not_the_convolutions() -> None:
    graph = Builder()
    graph.batchnorm(graph.conv("x", "a"), "n")
    graph.op("Add", "a", "n", out="s")
    network = graph.network("s")
    assert network.edges["A"].nodes == (0,)
    assert "a" in joins(network)


def test_activation_belongs_to_the_map_behind_the_convolution() -> None:
    graph = Builder()
    graph.op("Relu", graph.conv("x", "a"), out="r")
    network = graph.network("r")
    assert network.edges["A"].nodes == (0,)
    assert network.maps["r"].chain == (1,)
    assert network.maps["r"].join_tensor == "a"


def test_activation_survives_a_skip() -> None:
    graph = Builder()
    graph.op("Relu", graph.conv("x", "a"), out="r")
    network = graph.network("r")
    alpha = apply_edits(network.architecture, [Edit("A", *map(type(network.architecture.states[0]), "OS"))])
    x = images(2, 4, 8)
    np.testing.assert_array_equal(runtime(build(network, alpha), {"x": x})["r"], np.maximum(x, 0))


def test_slope_of_a_prelu_is_a_weight_of_the_map() -> None:
    graph = Builder()
    graph.op("PRelu", graph.conv("x", "a"), graph.weight("slope", 4, 1, 1), out="r")
    topology = graph.network("r").architecture.topology
    assert topology.maps[topology.map_index["r"]].weights == (("slope", 4),)


def preactivation_block() -> Builder:
    """Two blocks of ResNet-v2: each sum is read by the next block's BN and by the next Add."""
    graph = Builder()
    source = graph.conv("x", "stem")
    for block in "pq":
        normal = graph.op("Relu", graph.batchnorm(source, f"{block}.n"), out=f"{block}.r")
        source = graph.op("Add", graph.conv(normal, f"{block}.c", kernel=3), source, out=f"{block}.s")
    return graph


def test_preactivation_belongs_to_the_operation_behind_it() -> None:
    network = preactivation_block().network("q.s")
    assert network.edges["P.C"].nodes == (1, 2, 3)
    assert network.edges["Q.C"].nodes == (5, 6, 7)
    assert edges(network)["Q.C"] == ("p.s", "q.s", "O")
    assert edges(network)["p.s->q.s"] == ("p.s", "q.s", "S")


def test_preactivation_batchnorm_counts_as_a_weight_of_the_operation() -> None:
    weights = dict(operation(preactivation_block().network("q.s"), "Q.C").weights)
    assert weights == {"q.n.scale": 4, "q.n.shift": 4, "q.c.w": 144}


def test_preactivation_shared_by_two_convolutions_precedes_both() -> None:
    graph = Builder()
    graph.op("Relu", "x", out="r")
    graph.conv("r", "a")
    graph.conv("r", "b")
    graph.op("Sum", "a", "b", "x", out="s")
    network = graph.network("s")
    assert network.edges["A"].nodes == (0, 1)
    assert network.edges["B"].nodes == (0, 2)


def test_activation_before_an_operator_that_no_edge_can_carry_has_a_map() -> None:
    graph = Builder()
    graph.op("Relu", "x", out="r")
    graph.nodes.append(helper.make_node("MaxPool", ["r"], ["p", "indices"], "P", kernel_shape=[2, 2]))
    network = graph.network("p", "indices")
    assert joins(network)["p"] == "opaque"
    assert edges(network)["R"] == ("x", "r", "O")


@pytest.mark.parametrize("normalised", [False, True])
def test_separable_pair_is_one_operation(normalised: bool) -> None:
    graph = Builder()
    middle = graph.conv("x", "d", kernel=3, group=4)
    if normalised:
        middle = graph.batchnorm(middle, "n")
    graph.conv(middle, "p", 6)
    network = graph.network("p")
    assert edges(network) == {"D": ("x", "p", "O")}
    assert operation(network, "D").madds == 8 * 8 * (4 * 9 + 4 * 6)
    assert operation(network, "D").groups == 4


def test_depthwise_with_an_activation_behind_it_is_its_own_operation() -> None:
    graph = Builder()
    graph.conv(graph.op("Relu", graph.conv("x", "d", kernel=3, group=4), out="r"), "p", 6)
    assert edges(graph.network("p")) == {"D": ("x", "r", "O"), "P": ("r", "p", "O")}


@pytest.mark.parametrize(("kernel", "group"), [(3, 1), (1, 4)])
def test_depthwise_merges_with_no_other_convolution(kernel: int, group: int) -> None:
    graph = Builder()
    graph.conv(graph.conv("x", "d", kernel=3, group=4), "p", kernel=kernel, group=group)
    assert set(edges(graph.network("p"))) == {"D", "P"}


def test_depthwise_takes_a_single_pointwise() -> None:
    graph = Builder()
    graph.conv(graph.conv(graph.conv("x", "d", kernel=3, group=4), "p"), "q")
    assert edges(graph.network("q")) == {"D": ("x", "p", "O"), "Q": ("p", "q", "O")}


# Kinds of operations


def test_gemm_is_an_operation() -> None:
    graph = Builder()
    graph.op("Flatten", "x", out="f")
    graph.op("Gemm", "f", graph.weight("w", 10, 256), graph.weight("b", 10), out="g", transB=1)
    network = graph.network("g")
    assert edges(network) == {"G": ("f", "g", "O")}
    assert operation(network, "G").madds == 2560
    assert operation(network, "G").params == 2570


def test_matmul_and_bias_are_one_operation() -> None:
    graph = Builder()
    graph.op("Flatten", "x", out="f")
    graph.op("MatMul", "f", graph.weight("w", 256, 10), out="m")
    graph.op("Add", "m", graph.weight("b", 10), out="g")
    network = graph.network("g")
    assert edges(network) == {"M": ("f", "g", "O")}
    assert operation(network, "M").madds == 2560
    assert operation(network, "M").params == 2570


def test_matmul_of_a_sequence_counts_every_row() -> None:
    graph = Builder()
    graph.op("MatMul", "x", graph.weight("w", 8, 5), out="m")
    assert operation(graph.network("m"), "M").madds == 4 * 8 * 8 * 5


def test_product_of_two_variables_is_opaque() -> None:
    graph = Builder()
    graph.op("MatMul", "x", "x", out="m")
    network = graph.network("m")
    assert joins(network)["m"] == "opaque"
    assert network.opaque[0].reason == "it multiplies two tensors that both depend on the input"


def test_transposed_convolution_counts_every_input_position() -> None:
    graph = Builder()
    graph.op("ConvTranspose", "x", graph.weight("w", 4, 3, 2, 2), out="t", strides=[2, 2])
    assert operation(graph.network("t"), "T").madds == 8 * 8 * 4 * 3 * 4


@pytest.mark.parametrize(
    ("op_type", "attributes", "state"),
    [
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}, "O"),
        ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}, "S"),
        ("AveragePool", {"kernel_shape": [4, 2], "strides": [4, 2]}, "S"),
        ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "VALID"}, "S"),
        ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, "O"),
        ("AveragePool", {"kernel_shape": [3, 3], "strides": [3, 3]}, "O"),
        ("AveragePool", {"kernel_shape": [2, 2]}, "O"),
        ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 1, 1, 1]}, "O"),
        ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 1, 0, 0]}, "O"),
        ("LpPool", {"kernel_shape": [2, 2], "strides": [2, 2]}, "O"),
    ],
)
def test_pooling(op_type: str, attributes: dict[str, Any], state: str) -> None:
    graph = Builder()
    graph.op(op_type, "x", out="p", **attributes)
    assert edges(graph.network("p")) == {"P": ("x", "p", state)}


def test_identity_is_a_skip() -> None:
    graph = Builder()
    graph.op("Identity", "x", out="i")
    graph.conv("i", "a")
    assert edges(graph.network("a"))["I"] == ("x", "i", "S")


@pytest.mark.parametrize("opset", [9, 17])
@pytest.mark.parametrize("pooled", [False, True])
def test_padding_of_channels_is_a_skip(opset: int, pooled: bool) -> None:
    graph = Builder(opset=opset)
    pads, source = [0, 0, 0, 0, 0, 3, 0, 0], "x"
    if pooled:
        source = graph.op("AveragePool", "x", out="a", kernel_shape=[2, 2], strides=[2, 2])
    if opset < 11:
        graph.op("Pad", source, out="p", pads=pads)
    else:
        graph.op("Pad", source, graph.constant("pads", np.array(pads)), out="p")
    network = graph.network("p")
    name = "A" if pooled else "P"
    assert edges(network) == {name: ("x", "p", "S")}
    assert network.edges[name].nodes == ((0, 1) if pooled else (0,))


@pytest.mark.parametrize(("pads", "join"), [([0, 0, 0, 0, 0, 3, 0, 0], None), ([0, 0, 1, 1, 0, 0, 1, 1], "opaque")])
def test_padding_by_amounts_that_nodes_make(pads: list[int], join: str | None) -> None:
    """TorchScript writes F.pad so: a chain of nodes that depends on no input."""
    graph = Builder()
    begins, ends = (graph.constant(name, np.array(half)) for name, half in (("b", pads[:4]), ("e", pads[4:])))
    both = graph.op("Concat", begins, ends, out="both", axis=0)
    graph.op("Pad", "x", graph.op("Cast", both, out="pads", to=TensorProto.INT64), out="p")
    network = graph.network("p")
    if join is None:
        assert edges(network) == {"P": ("x", "p", "S")}
    else:
        assert joins(network)["p"] == join


@pytest.mark.parametrize("pads", [[0, 0, 1, 1, 0, 0, 1, 1], [0, 3, 0, 0, 0, 0, 0, 0]])
def test_other_padding_is_opaque(pads: list[int]) -> None:
    graph = Builder()
    graph.op("Pad", "x", graph.constant("pads", np.array(pads)), out="p")
    assert joins(graph.network("p"))["p"] == "opaque"


def test_padding_by_another_value_is_opaque() -> None:
    graph = Builder()
    pads = graph.constant("pads", np.array([0, 0, 0, 0, 0, 3, 0, 0]))
    graph.op("Pad", "x", pads, graph.constant("value", np.array(1, np.float32)), out="p")
    assert joins(graph.network("p"))["p"] == "opaque"


# Names, constants, outputs


def test_constant_nodes_can_hold_weights() -> None:
    graph = Builder()
    value = numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32))
    graph.op("Constant", out="w", value=value)
    graph.op("Conv", "x", "w", out="a")
    network = graph.network("a")
    assert network.constant_nodes == (0,)
    assert operation(network, "A").weights == (("w", 16),)


def test_weights_computed_from_constants_make_an_operation() -> None:
    graph = Builder()
    graph.op("Neg", graph.weight("w", 4, 4, 1, 1), out="v")
    graph.op("Conv", "x", "v", out="a")
    network = graph.network("a")
    assert network.constant_nodes == (0,)
    assert edges(network) == {"A": ("x", "a", "O")}


def test_nameless_nodes_are_named_after_their_output() -> None:
    graph = Builder()
    graph.conv(graph.conv("x", "a", name=""), "b", name="")
    assert set(edges(graph.network("b"))) == {"a", "b"}


def test_repeated_node_names_give_way_to_outputs() -> None:
    graph = Builder()
    graph.conv(graph.conv(graph.conv("x", "a", name="same"), "b", name="same"), "c", name="own")
    assert set(edges(graph.network("c"))) == {"a", "b", "own"}


def test_name_that_is_another_nodes_output_stays_unique() -> None:
    graph = Builder()
    graph.conv(graph.conv("x", "a", name=""), "b", name="a")
    assert set(edges(graph.network("b"))) == {"a", "a#2"}


def test_output_that_is_read_inside_is_a_map_before_its_activation() -> None:
    graph = Builder()
    graph.conv("x", "a")
    graph.conv(graph.op("Relu", "a", out="r"), "b")
    network = graph.network("a", "b")
    assert network.architecture.topology.outputs == ("a", "b")
    assert network.maps["a"].chain == ()
    assert network.edges["B"].nodes == (1, 2)


def test_overridable_initializer_is_no_input() -> None:
    graph = Builder()
    graph.conv("x", "a")
    model = graph.model("a")
    model.graph.input.append(helper.make_tensor_value_info("a.w", TensorProto.FLOAT, [4, 4, 1, 1]))
    network = parse(model)
    assert network.inputs == ("x",)
    assert edges(network) == {"A": ("x", "a", "O")}


# Shortcuts that could exist


def candidates(network: Network) -> list[tuple[str, str]]:
    architecture = network.architecture
    pairs = zip(architecture.topology.edges, architecture.states, strict=True)
    return [(edge.source, edge.target) for edge, state in pairs if state == "N"]


def chain(length: int) -> Builder:
    graph = Builder()
    for i in range(length):
        graph.conv("x" if i == 0 else f"c{i - 1}", f"c{i}", kernel=3)
    return graph


def test_candidates_of_a_chain() -> None:
    found = candidates(chain(4).network("c3"))
    assert sorted(found) == [("c0", "c2"), ("c0", "c3"), ("c1", "c3"), ("x", "c1"), ("x", "c2"), ("x", "c3")]


@pytest.mark.parametrize("window", [0, 1, 2, 5])
def test_window_bounds_how_far_back_a_candidate_starts(window: int) -> None:
    order = ["x", *(f"c{i}" for i in range(8))]
    network = parse(chain(8).model("c7"), window=window)
    expected = {
        (order[i], order[j]) for j in range(len(order)) for i in range(j) if 1 < j - i <= window
    }  # the neighbours are joined by convolutions
    assert set(candidates(network)) == expected


def test_channels_never_shrink() -> None:
    graph = Builder(8)
    graph.conv(graph.conv("x", "a", 8), "b", 4)
    assert candidates(graph.network("b")) == []


def test_no_candidate_enters_or_leaves_an_opaque_map() -> None:
    graph = Builder()
    graph.op("Transpose", graph.conv("x", "a"), out="t", perm=[0, 1, 3, 2])
    graph.conv("t", "b")
    assert set(candidates(graph.network("b"))) == {("x", "b"), ("a", "b")}


@pytest.mark.parametrize("name", SHIPPED)
def test_candidates_of_shipped_models_are_new_and_within_the_window(name: str) -> None:
    network = shipped_network(name)
    existing = [(source, target) for source, target, _ in edges(network).values()]
    order = [fmap for fmap, join in joins(network).items() if join != "opaque"]
    found = candidates(network)
    assert found
    assert len({*found, *existing}) == len(found) + len(set(existing))
    assert all(0 < order.index(target) - order.index(source) <= WINDOW for source, target in found)


# Shapes


def test_open_sizes_leave_costs_unknown() -> None:
    graph = Builder(size="size")
    graph.conv("x", "a")
    assert operation(graph.network("a"), "A").madds is None


def test_input_shapes_resolve_open_sizes() -> None:
    graph = Builder(size="size")
    graph.conv("x", "a", kernel=3)
    network = parse(graph.model("a"), input_shapes={"x": (1, 4, 10, 6)})
    assert operation(network, "A").madds == 10 * 6 * 4 * 4 * 9
    assert network.shapes["x"] == ("n", 4, 10, 6)


def test_input_shapes_make_strided_skips_possible() -> None:
    graph = Builder(size="size")
    graph.conv("x", "a", 6, kernel=3, stride=2)
    model = graph.model("a")
    topology = parse(model, input_shapes={"x": (1, 4, 8, 8)}).architecture.topology
    assert parse(model).architecture.topology.edges[0].skip is None
    assert topology.edges[0].skip is not None
    assert (topology.edges[0].skip.pool, topology.edges[0].skip.pad_channels) == ((2, 2), 2)


@pytest.mark.parametrize("name", SHIPPED)
def test_parsing_does_not_change_the_model(name: str) -> None:
    model = onnx.load_from_string(shipped_network(name).model.SerializeToString())
    before = model.SerializeToString(deterministic=True)
    parse(model, input_shapes={"image": (5, 1, 28, 28)})
    assert model.SerializeToString(deterministic=True) == before


def test_skipped_operation_equals_the_skip_in_numpy() -> None:
    graph = Builder()
    graph.conv("x", "a", 6, kernel=3, stride=2)
    network = graph.network("a")
    state = type(network.architecture.states[0])
    alpha = apply_edits(network.architecture, [Edit("A", state("O"), state("S"))])
    x = images(2, 4, 8)
    pooled = x.reshape(2, 4, 4, 2, 4, 2).mean((3, 5))
    expected = np.concatenate([pooled, np.zeros((2, 2, 4, 4), np.float32)], 1)
    assert_close(runtime(build(network, alpha), {"x": x})["a"], expected)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_a_skip_keeps_the_type_of_the_elements(dtype: int) -> None:
    """An input of another floating-point type reaches no float32 map but through its Cast."""
    weights = [numpy_helper.from_array(np.eye(4, dtype=np.float32), name) for name in "vw"]
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["float", "v"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "w"], ["y"]),
    ]
    infos = [helper.make_tensor_value_info("x", dtype, ["N", 4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])]
    graph = helper.make_graph(nodes, "g", infos, outputs, weights)
    network = parse(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]))
    topology = network.architecture.topology
    assert [edge.name for edge in topology.edges if edge.source == "x" and edge.skip is not None] == []
    assert [edge.source for edge in topology.edges if edge.skip is not None] == ["float", "hidden"]
