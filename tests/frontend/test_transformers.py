"""Transformers at granularity `branch`: attention and the two linear layers are one edge each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest

from natonnx import Edit, ParseOptions, State, apply
from natonnx.architecture import Edge, Join, legal_transitions
from natonnx.frontend import Granularity, Network, parse
from natonnx.rewrite import build
from natonnx.session import run, session
from natonnx.supernet import Supernet
from tests.frontend.transformers import SUBJECTS, Builtin, blocks_of, example, exported, replaced
from tests.rewrite.helpers import assert_close

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

SLOW = {
    "fused-before-dynamo"
}  # of "vit-fused-dynamo" and "bert-fused-before-dynamo", one has its attention, one its parts

every_subject = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in SUBJECTS]
)


def network(name: str, granularity: Granularity = Granularity.BRANCH) -> Network:
    return parse(exported(name), granularity=granularity)


def blocks(parsed: Network) -> list[Edge]:
    """The branches that enter a residual sum, in the order of the forward pass."""
    topology = parsed.architecture.topology
    joins = {fmap.name: fmap.join for fmap in topology.maps}
    rank = {fmap.name: i for i, fmap in enumerate(topology.maps)}
    found = [edge for edge in topology.edges if edge.operation and joins[edge.target] is Join.SUM]
    pairs = zip(topology.edges, parsed.architecture.states, strict=True)
    residual = {edge.target: edge.source for edge, state in pairs if state == State.S}
    return sorted((e for e in found if residual.get(e.target) == e.source), key=lambda edge: rank[edge.target])


def feeds(name: str) -> dict[str, np.ndarray]:
    return {f"x{i}": tensor.numpy() for i, tensor in enumerate(example(name)[1])}


def expected_blocks(name: str) -> int:
    model = example(name)[0]
    return 2 * len(model.layers.layers) if isinstance(model, Builtin) else len(blocks_of(model))


@every_subject
def test_each_block_is_one_edge_that_may_go(name: str) -> None:
    parsed = network(name)
    verdicts = dict(zip(parsed.architecture.topology.edge_index, legal_transitions(parsed.architecture), strict=True))
    found = blocks(parsed)
    assert len(found) == expected_blocks(name)
    assert [verdicts[edge.name] for edge in found] == [{State.S: None, State.N: None}] * len(found)


@every_subject
def test_auto_takes_attention_as_a_whole(name: str) -> None:
    parsed = network(name, Granularity.AUTO)
    nodes = parsed.model.graph.node
    holding = [
        edge for edge in blocks(parsed) if any(nodes[i].op_type == "Softmax" for i in parsed.edges[edge.name].nodes)
    ]
    assert len(holding) == sum(node.op_type == "Softmax" for node in nodes)


@every_subject
def test_the_supernet_equals_onnxruntime(name: str) -> None:
    parsed, inputs = network(name), feeds(name)
    assert_close(Supernet(parsed).as_reference()(inputs)["y"], run(session(parsed.model), inputs)["y"])


@every_subject
def test_a_block_that_goes_leaves_the_residual(name: str) -> None:
    parsed, inputs = network(name), feeds(name)
    beta = parsed.architecture
    states = [State.N] if isinstance(example(name)[0], Builtin) else [State.N, State.S]
    for block, edge in enumerate(blocks(parsed)):
        for state in states:
            alpha = beta.with_states(
                tuple(state if own == edge else s for own, s in zip(beta.topology.edges, beta.states, strict=True))
            )
            assert_close(run(session(build(parsed, alpha)), inputs)["y"], replaced(name, (block, state)).numpy())


@every_subject
def test_apply_takes_all_blocks_out(name: str, tmp_path: Path) -> None:
    onnx.save(exported(name), tmp_path / "model.onnx")
    shapes = {f"x{i}": (1, *tensor.shape[1:]) for i, tensor in enumerate(example(name)[1])}
    reading = ParseOptions(granularity=Granularity.BRANCH, input_shapes=shapes if SUBJECTS[name].is_open else {})
    found = blocks(network(name))
    edits = [Edit(edge.name, State.O, State.N) for edge in found]
    path, _ = apply(tmp_path / "model.onnx", edits, tmp_path / "edited.onnx", reading=reading)
    expected = replaced(name, *((block, State.N) for block in range(len(found))))
    model = onnx.load(path)
    assert_close(run(session(model), feeds(name))["y"], expected.numpy())
    assert not any(node.op_type == "Softmax" for node in model.graph.node)
