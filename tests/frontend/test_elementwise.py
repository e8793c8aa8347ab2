"""Activations that are spelled out in several nodes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from natonnx.architecture import State, legal_transitions
from natonnx.frontend import parse
from natonnx.rewrite import build
from tests.frontend.test_concat import parts
from tests.frontend.test_cut_rules import without
from tests.rewrite.helpers import Builder, assert_close, edges, images, joins, runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from natonnx.architecture import Architecture
    from natonnx.frontend import Network


def scalar(graph: Builder, value: float) -> str:
    return graph.constant(f"c{len(graph.initializers)}", np.array(value, np.float32))


def silu(graph: Builder, t: str, out: str) -> None:
    graph.op("Mul", t, graph.op("Sigmoid", t, out=f"{out}.s"), out=out)


def quick_gelu(graph: Builder, t: str, out: str) -> None:
    scaled = graph.op("Mul", t, scalar(graph, 1.702), out=f"{out}.m")
    graph.op("Mul", graph.op("Sigmoid", scaled, out=f"{out}.s"), t, out=out)


def hard_swish(graph: Builder, t: str, out: str) -> None:
    shifted = graph.op("Add", t, scalar(graph, 3), out=f"{out}.a")
    clipped = graph.op("Clip", shifted, scalar(graph, 0), scalar(graph, 6), out=f"{out}.c")
    graph.op("Div", graph.op("Mul", t, clipped, out=f"{out}.m"), scalar(graph, 6), out=out)


def gated_hard_sigmoid(graph: Builder, t: str, out: str) -> None:
    graph.op("Mul", t, graph.op("HardSigmoid", t, out=f"{out}.h", alpha=1 / 6), out=out)


def erf_gelu(graph: Builder, t: str, out: str) -> None:
    """As TorchScript writes it below opset 20: x·(1 + erf(x/√2))·0.5."""
    scaled = graph.op("Div", t, scalar(graph, math.sqrt(2)), out=f"{out}.d")
    shifted = graph.op("Add", graph.op("Erf", scaled, out=f"{out}.e"), scalar(graph, 1), out=f"{out}.a")
    graph.op("Mul", graph.op("Mul", t, shifted, out=f"{out}.m"), scalar(graph, 0.5), out=out)


def half_first_gelu(graph: Builder, t: str, out: str) -> None:
    """(x·0.5)·(1 + erf(x/√2))."""
    scaled = graph.op("Div", t, scalar(graph, math.sqrt(2)), out=f"{out}.d")
    shifted = graph.op("Add", scalar(graph, 1), graph.op("Erf", scaled, out=f"{out}.e"), out=f"{out}.a")
    graph.op("Mul", graph.op("Mul", t, scalar(graph, 0.5), out=f"{out}.h"), shifted, out=out)


def tanh_gelu(graph: Builder, t: str, out: str) -> None:
    cubed = graph.op(
        "Mul", graph.op("Pow", t, scalar(graph, 3), out=f"{out}.p"), scalar(graph, 0.044715), out=f"{out}.k"
    )
    summed = graph.op(
        "Mul", graph.op("Add", t, cubed, out=f"{out}.a"), scalar(graph, math.sqrt(2 / math.pi)), out=f"{out}.r"
    )
    shifted = graph.op("Add", graph.op("Tanh", summed, out=f"{out}.t"), scalar(graph, 1), out=f"{out}.b")
    graph.op("Mul", graph.op("Mul", t, scalar(graph, 0.5), out=f"{out}.h"), shifted, out=out)


def mish(graph: Builder, t: str, out: str) -> None:
    soft = graph.op("Softplus", t, out=f"{out}.s")
    graph.op("Mul", t, graph.op("Tanh", soft, out=f"{out}.t"), out=out)


def squared_relu(graph: Builder, t: str, out: str) -> None:
    rectified = graph.op("Relu", t, out=f"{out}.r")
    graph.op("Mul", rectified, rectified, out=out)


ACTIVATIONS: dict[str, tuple[Callable[[Builder, str, str], None], Callable[[Tensor], Tensor]]] = {
    "silu": (silu, F.silu),
    "quick-gelu": (quick_gelu, lambda x: x * torch.sigmoid(1.702 * x)),
    "hard-swish": (hard_swish, F.hardswish),
    "gated-hard-sigmoid": (gated_hard_sigmoid, F.hardswish),
    "erf-gelu": (erf_gelu, F.gelu),
    "half-first-gelu": (half_first_gelu, F.gelu),
    "tanh-gelu": (tanh_gelu, lambda x: F.gelu(x, approximate="tanh")),
    "mish": (mish, F.mish),
    "squared-relu": (squared_relu, lambda x: F.relu(x) ** 2),
}
every_activation = pytest.mark.parametrize("name", ACTIVATIONS)


def changed(network: Network, edge: str, state: State) -> Architecture:
    beta = network.architecture
    i = beta.topology.edge_index[edge]
    return beta.with_states((*beta.states[:i], state, *beta.states[i + 1 :]))


@every_activation
def test_an_activation_belongs_to_its_map_and_survives_a_skip(name: str) -> None:
    spell, function = ACTIVATIONS[name]
    graph = Builder(size=4)
    spell(graph, graph.conv("x", "a"), "act")
    graph.conv("act", "y", 3)
    network = parse(graph.model("y"))
    assert joins(network) == {"x": "input", "act": "single", "y": "single"}
    assert not network.opaque
    x = images(2, 4, 4)
    skipped = runtime(parts(changed(network, "A", State.S), network), {"x": x})["y"]
    weight = next(tensor for tensor in graph.initializers if tensor.name == "y.w")
    kernel = torch.frombuffer(bytearray(weight.raw_data), dtype=torch.float32).reshape(3, 4, 1, 1)
    assert_close(skipped, F.conv2d(function(torch.from_numpy(x)), kernel).numpy())


@every_activation
def test_an_activation_after_a_sum_survives_what_leaves_the_sum(name: str) -> None:
    spell, function = ACTIVATIONS[name]
    graph = Builder(size=4)
    graph.op("Add", graph.conv("x", "a"), "x", out="s")
    spell(graph, "s", "y")
    network = parse(graph.model("y"))
    assert joins(network) == {"x": "input", "y": "sum"}
    x = images(2, 4, 4)
    assert_close(runtime(parts(without(network, "A"), network), {"x": x})["y"], function(torch.from_numpy(x)).numpy())


@every_activation
def test_an_activation_that_only_operations_read_belongs_to_them(name: str) -> None:
    """As in a residual block that begins with its normalisation: where the branch goes, the activation goes."""
    spell, _ = ACTIVATIONS[name]
    graph = Builder(size=4)
    graph.conv("x", "stem")
    spell(graph, graph.batchnorm("stem", "n"), "act")
    graph.op("Add", graph.conv("act", "a"), "stem", out="s")
    graph.conv("s", "y")
    network = parse(graph.model("y"))
    assert joins(network) == {"x": "input", "stem": "single", "s": "sum", "y": "single"}
    assert edges(network)["A"] == ("stem", "s", "O")
    result = parts(without(network, "A"), network)
    assert {node.op_type for node in result.graph.node} <= {"Conv", "Identity"}


@every_activation
def test_an_activation_passes_on_what_a_concat_loses(name: str) -> None:
    spell, _ = ACTIVATIONS[name]
    graph = Builder(size=4)
    graph.op("Concat", graph.conv("x", "a", 3), graph.conv("x", "b", 2), out="c", axis=1)
    graph.channels["c"] = 5
    spell(graph, graph.batchnorm("c", "n"), "act")
    graph.channels["act"] = 5
    graph.conv("act", "y", 3)
    network = parse(graph.model("y"))
    beta = network.architecture
    assert legal_transitions(beta)[beta.topology.edge_index["b->act"]] == {State.N: None}
    parts(without(network, "b->act"), network)


@every_activation
def test_nothing_changes_without_edits(name: str) -> None:
    graph = Builder(size=4)
    ACTIVATIONS[name][0](graph, graph.conv("x", "a"), "y")
    network = parse(graph.model("y"))
    assert build(network, network.architecture) == network.model


# What is no activation


def test_a_tensor_that_others_read_as_well_is_gated() -> None:
    graph = Builder(size=4)
    silu(graph, graph.conv("x", "a"), "act")
    graph.op("Add", graph.conv("act", "b"), "a", out="y")
    network = parse(graph.model("y"))
    assert joins(network)["a"] == "single"
    assert edges(network)["ACT"] == ("a", "act", "O")


def test_a_gate_by_another_tensor_is_none() -> None:
    graph = Builder(size=4)
    graph.conv("x", "a")
    graph.op("Mul", "a", graph.op("Sigmoid", graph.conv("x", "b"), out="g"), out="m")
    graph.conv("m", "y")
    assert edges(parse(graph.model("y")))["M"] == ("a", "m", "O")


def test_a_gate_by_the_mean_of_the_channel_is_none() -> None:
    graph = Builder(size=4)
    graph.conv("x", "a")
    graph.op("Mul", "a", graph.op("Sigmoid", graph.op("GlobalAveragePool", "a", out="p"), out="g"), out="m")
    graph.conv("m", "y")
    assert edges(parse(graph.model("y")))["M"] == ("a", "m", "O")


def test_a_sum_of_a_tensor_and_what_is_made_of_it_stays_a_sum() -> None:
    graph = Builder(size=4)
    graph.conv("x", "a")
    graph.op("Add", graph.op("Tanh", "a", out="t"), "a", out="s")
    graph.conv("s", "y")
    assert joins(parse(graph.model("y")))["s"] == "sum"


@pytest.mark.parametrize("output", ["a", "act.s"])
def test_what_the_model_puts_out_is_not_hidden(output: str) -> None:
    graph = Builder(size=4)
    silu(graph, graph.conv("x", "a"), "act")
    graph.conv("act", "y")
    network = parse(graph.model("y", output))
    assert output in network.architecture.topology.map_index


def test_a_group_has_a_limit() -> None:
    """What is longer is no activation, so that the search takes linear time."""
    graph = Builder(size=4)
    tensor = graph.conv("x", "a")
    for i in range(40):
        tensor = graph.op("Tanh", tensor, out=f"t{i}")
    graph.op("Mul", "a", tensor, out="m")
    graph.conv("m", "y")
    network = parse(graph.model("y"))
    assert edges(network)["M"] == ("a", "m", "O")
