"""Costs of the models that come with the project, against a count on the ONNX file and the table in their README."""

from __future__ import annotations

from math import prod

import onnx
import pytest

from natonnx.architecture import cost
from tests.rewrite.helpers import MODELS, SHIPPED, arrays, shipped_model, shipped_network
from tests.tools.upkeep.test_train_models import table


def count(model: onnx.ModelProto) -> tuple[int, int]:
    """Parameters and multiply-adds of Conv, Gemm and BatchNormalization, from the nodes and the inferred shapes."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim]
        for info in [*graph.value_info, *graph.output]
    }
    weights = {name: value.shape for name, value in arrays(model).items()}
    params: dict[str, int] = {}
    madds = 0
    for node in graph.node:
        if node.op_type in {"Conv", "Gemm", "BatchNormalization"}:
            params |= {name: prod(weights[name]) for name in node.input[1:3]}
        if node.op_type == "Conv":
            madds += prod(weights[node.input[1]]) * prod(shapes[node.output[0]][2:])
        elif node.op_type == "Gemm":
            madds += prod(weights[node.input[1]])
    return sum(params.values()), madds


@pytest.mark.parametrize("name", SHIPPED)
def test_cost_equals_the_count_on_the_file(name: str) -> None:
    assert cost(shipped_network(name).architecture) == count(shipped_model(name))


@pytest.mark.parametrize("name", SHIPPED)
def test_cost_equals_the_table_in_the_readme(name: str) -> None:
    _, _, _, params, madds, *_ = table(MODELS / "README.md")[f"{name}-fashion.onnx"]
    found = cost(shipped_network(name).architecture)
    assert found.madds is not None
    assert (f"{found.params:,}", f"{found.madds / 1e6:.2f}M") == (params, madds)


@pytest.mark.parametrize(
    ("name", "operations", "skips"),
    [("resnet20", 19 + 2 + 1, 7), ("vgg", 9 + 2 + 1, 0), ("mobilenetv2", 1 + 2 + 10 * 3 + 1 + 1, 8)],
)
def test_every_layer_and_every_residual_is_an_edge(name: str, operations: int, skips: int) -> None:
    states = shipped_network(name).architecture.states
    assert (states.count(states[0]), sum(state == "S" for state in states)) == (operations, skips)


@pytest.mark.parametrize("name", SHIPPED)
def test_only_the_global_pooling_is_opaque(name: str) -> None:
    assert [node.op_type for node in shipped_network(name).opaque] == ["ReduceMean", "Reshape"]
