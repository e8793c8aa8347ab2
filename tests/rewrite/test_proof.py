"""What is proven by terms is what the source gives with the edits carried out on its values; what is wrong is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import numpy_helper

from natonnx.architecture import Edit, State, apply_edits
from natonnx.errors import InputError
from natonnx.frontend import parse
from natonnx.rewrite import References, build, verify
from natonnx.rewrite.proof import is_proven
from natonnx.rewrite.replay import Replay
from natonnx.session import run, session
from natonnx.supernet import Supernet
from tests.rewrite.helpers import Builder, assert_close, copy, images
from tests.rewrite.test_random_graphs import RATES, SEEDS, examples, models
from tools.conformance.wild.alphas import random_alpha

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

    from natonnx.architecture import Architecture
    from natonnx.frontend import Network
    from natonnx.rewrite.verify import Check

FEW = 60
PROVEN, RUNS = "equals the input, edited node by node", "onnxruntime runs"
REPLAYED, EQUAL = "onnxruntime equals the input, edited value by value", "onnxruntime equals the supernet"


def verified(network: Network, alpha: Architecture, model: onnx.ModelProto) -> dict[str, Check]:
    """The checks as `apply` makes them, by name."""
    checks = verify(network, alpha, model, lambda: References(Supernet(network).as_reference(alpha)))
    return {check.name: check for check in checks}


def chain() -> Builder:
    """Something before, in, and behind a sum and a concat."""
    graph = Builder(8)
    graph.op("LeakyRelu", graph.op("Tanh", graph.conv("x", "a", 8, kernel=3), out="t"), out="r", alpha=0.2)
    graph.op("Add", graph.conv("r", "b", 8), "r", out="s")
    graph.op("Concat", graph.conv("s", "c", 3), "s", graph.conv("s", "d", 5), out="j", axis=1)
    graph.channels["j"] = 16
    graph.op("Relu", graph.batchnorm("j", "n"), out="m")
    graph.conv(graph.op("Sigmoid", graph.conv("m", "e", 8), out="g"), "y")
    return graph


EDITS = [("B", State.S), ("B", State.N), ("C", State.N), ("D", State.N), ("A", State.S)]


def alpha_of(network: Network, edge: str, state: State) -> Architecture:
    return apply_edits(network.architecture, [Edit(edge, State.O, state)])


@pytest.mark.parametrize(("edge", "state"), EDITS)
def test_what_apply_made_is_proven_and_run(edge: str, state: State) -> None:
    network = chain().network("y")
    alpha = alpha_of(network, edge, state)
    model = build(network, alpha)
    assert is_proven(network, alpha, model)
    checks = verified(network, alpha, model)
    assert list(checks)[-2:] == [PROVEN, RUNS]
    assert all(check.passed for check in checks.values())
    assert checks[RUNS].detail == "batch sizes [1, 2]"
    x = {"x": images(2, 8, 8)}
    assert_close(Replay(network, alpha)(x)["y"], run(session(model), x)["y"])


def test_a_skip_that_pools_and_pads_is_proven() -> None:
    for opset, proven in ((17, True), (10, False)):  # below 11 the amounts are no operand
        graph = Builder(4, opset=opset)
        graph.conv(graph.op("Relu", graph.conv("x", "a", 6, kernel=2, stride=2), out="r"), "y")
        graph.nodes[0].attribute.remove(next(own for own in graph.nodes[0].attribute if own.name == "pads"))
        network = graph.network("y")
        alpha = alpha_of(network, "A", State.S)
        model = build(network, alpha)
        assert is_proven(network, alpha, model) is proven
        assert all(check.passed for check in verified(network, alpha, model).values())
        for node in model.graph.node:
            if node.op_type == "AveragePool":
                node.attribute[0].ints[:] = [1, 1]
        assert not is_proven(network, alpha, model)


def change_weight(model: onnx.ModelProto, name: str) -> None:
    tensor = next(one for one in model.graph.initializer if one.name == name)
    value = numpy_helper.to_array(tensor).copy()
    value.flat[0] += 1
    tensor.CopyFrom(numpy_helper.from_array(value, name))


def swap_channels(model: onnx.ModelProto, name: str) -> None:
    tensor = next(one for one in model.graph.initializer if one.name == name)
    value = np.roll(numpy_helper.to_array(tensor), 1, 1)
    tensor.CopyFrom(numpy_helper.from_array(value, name))


def node_of(model: onnx.ModelProto, output: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if output in node.output)


WRONG: dict[str, Callable[[onnx.ModelProto], None]] = {
    "a weight before the edit": lambda model: change_weight(model, "a.w"),
    "an attribute before the edit": lambda model: setattr(node_of(model, "r").attribute[0], "f", 0.3),
    "an operator before the edit": lambda model: setattr(node_of(model, "t"), "op_type", "Sigmoid"),
    "what the edited sum's reader reads": lambda model: node_of(model, "d").input.__setitem__(0, "a"),
    "which channels are left of a weight": lambda model: swap_channels(model, "e.w"),
    "which channels are left of a norm": lambda model: change_weight(model, "n.mean"),
    "an operator behind the edit": lambda model: setattr(node_of(model, "g"), "op_type", "Relu"),
    "a weight behind the edit": lambda model: change_weight(model, "y.w"),
    "what is read behind the edit": lambda model: node_of(model, "y").input.__setitem__(0, "e"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_anywhere_is_found_as_before(wrong: str) -> None:
    network = chain().network("y")
    alpha = alpha_of(network, "C", State.N)
    model = build(network, alpha)
    WRONG[wrong](model)
    assert not is_proven(network, alpha, model)
    checks = verified(network, alpha, model)
    assert PROVEN not in checks
    assert {name for name, check in checks.items() if not check.passed} == {REPLAYED, EQUAL}


def test_an_edit_that_was_not_made_or_another_is_found() -> None:
    network = chain().network("y")
    for edge, state in EDITS:
        alpha = alpha_of(network, edge, state)
        for other in (network.architecture, *(alpha_of(network, *own) for own in EDITS if own != (edge, state))):
            assert not is_proven(network, alpha, build(network, other))


def test_a_default_that_may_be_overridden_stays_one() -> None:
    graph = chain()
    model = graph.model("y")
    model.ir_version = 3
    for tensor in model.graph.initializer:
        model.graph.input.add(name=tensor.name).type.tensor_type.elem_type = tensor.data_type
        for size in tensor.dims:
            model.graph.input[-1].type.tensor_type.shape.dim.add(dim_value=size)
    network = parse(model)
    alpha = alpha_of(network, "B", State.S)
    made = build(network, alpha)
    assert is_proven(network, alpha, made)
    del made.graph.input[-1]
    assert not is_proven(network, alpha, made)


def test_two_random_nodes_are_not_one() -> None:
    graph = Builder()
    for name in ("p", "q"):
        graph.op("RandomNormalLike", "x", out=name)
        graph.channels[name] = 4
    graph.op("Sub", "p", "q", out="z")
    graph.op("Add", graph.conv("z", "a"), "z", out="y")
    network = graph.network("y")
    alpha = alpha_of(network, "A", State.S)
    model = build(network, alpha)
    assert is_proven(network, alpha, model)
    node_of(model, "z").input[1] = "p"
    assert not is_proven(network, alpha, model)


def test_new_weights_are_not_the_source() -> None:
    network = chain().network("y")
    alpha = alpha_of(network, "B", State.S)
    weights = {"y.w": 2 * numpy_helper.to_array(network.model.graph.initializer[-1])}
    assert not is_proven(network, alpha, build(network, alpha, weights))


@st.composite
def mutants(draw: st.DrawFn, model: onnx.ModelProto) -> onnx.ModelProto:
    """A model in which one thing is another: an operand, an operator, an attribute, or a constant's entries."""
    mutant = copy(model)
    nodes = mutant.graph.node
    i = draw(st.integers(0, len(nodes) - 1))
    node = nodes[i]
    kind = draw(st.sampled_from(["operand", "operator", "attribute", "constant", "none"]))
    if kind == "operand" and node.input:
        made = [name for other in nodes[:i] for name in other.output]
        names = ["x", *made, *(tensor.name for tensor in mutant.graph.initializer)]
        node.input[draw(st.integers(0, len(node.input) - 1))] = draw(st.sampled_from(names))
    elif kind == "operator":
        node.op_type = draw(st.sampled_from(["Identity", "Relu", "Add", "Sub", "Mul", "MaxPool", "AveragePool"]))
    elif kind == "attribute" and node.attribute:
        attribute = draw(st.sampled_from(list(node.attribute)))
        attribute.i += 1
        attribute.ints[:] = [draw(st.integers(0, 2)) for _ in attribute.ints]
    elif kind == "constant" and mutant.graph.initializer:
        tensor = draw(st.sampled_from(list(mutant.graph.initializer)))
        value = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(np.roll(value, 1, draw(st.integers(0, value.ndim - 1))), tensor.name))
    return mutant


@examples(FEW)
@given(st.data(), models(), SEEDS, RATES)
def test_what_is_proven_gives_what_the_replay_gives(
    data: st.DataObject, model: onnx.ModelProto, seed: int, rate: float
) -> None:
    network = parse(model)
    alpha = random_alpha(network.architecture, seed, rate)
    mutant = data.draw(mutants(build(network, alpha)))
    assume(is_proven(network, alpha, mutant))
    x = {"x": images(2, 4, 8)}
    try:
        found = run(session(mutant, optimise=False), x)
    except InputError:
        return  # which is for the run to find
    for name, value in Replay(network, alpha)(x).items():
        assert_close(value, found[name])


def test_a_proven_model_must_run_where_the_source_does() -> None:
    """Beside what the outputs are made of, here: a node that nothing reads, and that no tensor fits."""
    network = chain().network("y")
    alpha = alpha_of(network, "B", State.S)
    model = build(network, alpha)
    model.graph.initializer.append(numpy_helper.from_array(np.array([7, 7, 7]), "target"))
    model.graph.node.add(op_type="Reshape", input=["s", "target"], output=["unread"])
    assert is_proven(network, alpha, model)
    checks = verified(network, alpha, model)
    assert [name for name, check in checks.items() if not check.passed] == [RUNS]
    assert "cannot be reshaped" in checks[RUNS].detail
