"""Which edges get cheaper operations by NAT++, and what these are in the file that is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

from natonnx.architecture import Edit, State, apply_edits, cost
from natonnx.frontend import Network, parse
from natonnx.rewrite import build, verify
from tests.rewrite.helpers import Builder, images, runtime

if TYPE_CHECKING:
    from collections.abc import Callable

SEPARABLE, DENSE = State("sep_conv_3x3"), State("conv_1x1")


def plain() -> Builder:
    """A convolution with a bias, normalisation and activation, another one beside a skip, and a head."""
    graph = Builder()
    graph.conv("x", "c", kernel=3, bias=True)
    graph.batchnorm("c", "n")
    graph.op("Relu", "n", out="r")
    graph.conv("r", "d", kernel=3)
    graph.op("Add", "d", "r", out="s")
    graph.op("Flatten", graph.op("GlobalAveragePool", "s", out="p"), out="f")
    graph.op("Gemm", "f", graph.weight("w", 4, 3), out="y")
    return graph


def read(graph: Builder, output: str = "y") -> Network:
    return parse(graph.model(output), transitions="nat++")


def states(network: Network) -> dict[str, list[str]]:
    """Cheaper operations by edge, where there are any."""
    return {
        edge.name: [c.state.value for c in edge.cheaper] for edge in network.architecture.topology.edges if edge.cheaper
    }


def written(network: Network, *edits: Edit) -> onnx.ModelProto:
    """The file after edits, which all checks pass."""
    alpha = apply_edits(network.architecture, edits)
    model = build(network, alpha)
    for check in verify(network, alpha, model):
        assert check.passed, check
    return model


def test_edges_have_them() -> None:
    network = read(plain())
    own = ["conv_1x1", "sep_conv_3x3", "avg_pool_3x3", "max_pool_3x3"]
    assert states(network) == {"C": own, "D": own}
    onnx.checker.check_model(network.extended, full_check=True)
    assert not parse(plain().model("y")).architecture.topology.edges[0].cheaper


@pytest.mark.parametrize("state", ["conv_1x1", "sep_conv_3x3", "avg_pool_3x3", "max_pool_3x3"])
@pytest.mark.parametrize("edge", ["C", "D"])
def test_the_file_has_what_it_costs(edge: str, state: str) -> None:
    network = read(plain())
    edit = Edit(edge, State.O, State(state))
    model = written(network, edit)
    alpha = apply_edits(network.architecture, [edit])
    assert cost(parse(model).architecture) == cost(alpha)
    assert cost(network.architecture).exceeds(cost(alpha))
    assert any(node.name.startswith(f"{edge}/{state}") for node in model.graph.node)
    assert {tensor.name for tensor in model.graph.initializer} <= {
        name for node in model.graph.node for name in node.input
    }


def test_names_of_weights_follow_those_of_the_file() -> None:
    graph = Builder()
    graph.op("Conv", "x", graph.weight("layer.conv.weight", 4, 4, 3, 3), out="y", pads=[1] * 4)
    model = written(read(graph), Edit("Y", State.O, SEPARABLE))
    assert [tensor.name for tensor in model.graph.initializer] == [
        "layer.conv.sep_conv_3x3.depthwise.weight",
        "layer.conv.sep_conv_3x3.pointwise.weight",
    ]
    assert [node.name for node in model.graph.node] == ["Y/sep_conv_3x3/depthwise", "Y/sep_conv_3x3/pointwise"]


def test_without_edits_the_file_is_as_it_was() -> None:
    model = plain().model("y")
    network = parse(model, transitions="nat++")
    assert build(network, network.architecture) == model
    weights = {tensor.name: np.zeros(tensor.dims, np.float32) for tensor in network.extended.graph.initializer}
    names = [tensor.name for tensor in build(network, network.architecture, weights).graph.initializer]
    assert names == [tensor.name for tensor in model.graph.initializer]


def test_a_pooling_drops_the_normalisation() -> None:
    model = written(read(plain()), Edit("C", State.O, State("max_pool_3x3")))
    assert [node.op_type for node in model.graph.node[:2]] == ["MaxPool", "Relu"]


def test_weights_are_its_own() -> None:
    """A convolution that shares its weight with another one leaves that as it is."""
    graph = Builder()
    shared = graph.weight("shared", 4, 4, 3, 3)
    graph.op("Conv", "x", shared, out="a", pads=[1] * 4)
    graph.op("Conv", "a", shared, out="b", pads=[1] * 4)
    graph.op("Add", "a", "b", out="y")
    network = read(graph)
    single, both = Edit("A", State.O, DENSE), [Edit(name, State.O, DENSE) for name in "AB"]
    with pytest.raises(Exception, match="cost more"):  # the shared weight would stay, with another one beside it
        apply_edits(network.architecture, [single])
    assert len(written(network, *both).graph.initializer) == 2


def test_depthwise_and_separable_convolutions_shrink() -> None:
    graph = Builder()
    graph.conv("x", "d", 4, kernel=5, group=4)
    graph.batchnorm("d", "n")
    graph.op("Relu", "n", out="r")
    graph.conv("r", "e", 4, kernel=5, group=4)
    graph.conv("e", "p", 6, kernel=1)
    graph.op("Relu", "p", out="y")
    network = read(graph)
    found = states(network)
    assert found["D"] == ["conv_3x3", "conv_1x1", "avg_pool_3x3", "max_pool_3x3"]
    assert found["E"] == ["sep_conv_3x3", "sep_conv_1x1"]
    written(network, Edit("D", State.O, State("conv_3x3")), Edit("E", State.O, State("sep_conv_3x3")))


def computed(graph: Builder) -> None:
    graph.op("Transpose", graph.weight("t", 3, 3, 4, 4), out="w", perm=[3, 2, 0, 1])
    graph.op("Conv", "x", "w", out="y", pads=[1] * 4)


def transposed(graph: Builder) -> None:
    graph.op("ConvTranspose", "x", graph.weight("w", 4, 4, 3, 3), out="y", pads=[1] * 4)


def pointwise(graph: Builder) -> None:
    graph.conv("x", "y", 4)


@pytest.mark.parametrize("make", [computed, transposed, pointwise])
def test_others_have_none(make: Callable[[Builder], None]) -> None:
    graph = Builder()
    make(graph)
    network = read(graph)
    assert not states(network)
    assert network.extended is network.model


def test_a_branch_has_none() -> None:
    graph = Builder()
    for source, out, kernel in (("x", "a", 1), ("a", "b", 3), ("b", "c", 1)):
        graph.conv(source, out, kernel=kernel)
    graph.op("Add", "c", "x", out="y")
    assert states(read(graph)).keys() == {"B"}
    assert not states(parse(graph.model("y"), granularity="branch", transitions="nat++"))


def test_edges_that_may_not_change_have_none() -> None:
    assert states(parse(plain().model("y"), exclude=["C"], transitions="nat++")).keys() == {"D"}


def test_below_ir_4_a_weight_is_an_input_with_a_default() -> None:
    graph = plain()
    own = [onnx.helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in graph.initializers]
    model = graph.model("y")
    model.ir_version = 3
    model.graph.input.extend(own)
    network = parse(model, transitions="nat++")
    model = written(network, Edit("D", State.O, DENSE))
    assert {info.name for info in model.graph.input} == {"x", *(tensor.name for tensor in model.graph.initializer)}
    assert list(network.inputs) == ["x"]


def test_half_precision() -> None:
    graph = Builder()
    graph.constant("w", np.random.default_rng(0).standard_normal((4, 4, 3, 3)).astype(np.float16))
    graph.op("Conv", "x", "w", out="y", pads=[1] * 4)
    graph.input.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    made = written(read(graph), Edit("Y", State.O, SEPARABLE))
    assert {tensor.data_type for tensor in made.graph.initializer} == {onnx.TensorProto.FLOAT16}
    assert runtime(made, {"x": images(2, 4, 8).astype(np.float16)})["y"].dtype == np.float16


def test_a_concat_that_loses_a_member_cuts_them() -> None:
    graph = Builder()
    graph.conv("x", "a", 4)
    graph.conv("x", "b", 4)
    graph.op("Concat", "a", "b", out="k", axis=1)
    graph.channels["k"] = 8
    graph.conv("k", "c", 8, kernel=3)
    graph.op("Relu", "c", out="y")
    network = read(graph)
    for state in states(network)["C"]:
        alpha = network.architecture
        edits = [Edit("b->k", State.S, State.N), Edit("C", State.O, State(state))]
        if "pool" in state:  # whose output would lose channels, and that is the model's
            with pytest.raises(Exception, match="would lose channels"):
                apply_edits(alpha, edits)
        else:
            written(network, *edits)
