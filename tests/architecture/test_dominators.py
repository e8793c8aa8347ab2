"""The dominator tree against its definition: whoever hides a node from the root when taken away."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natonnx.architecture.dominators import dominators
from tests.architecture.strategies import property_test, seeded

Graph = Sequence[Sequence[int]]
"""Per node: the nodes that feed it, all of them before it."""


def _graph(size: int, seed: int) -> Graph:
    chance = seeded(seed)
    return [chance.choices(range(node), k=chance.randint(0, 3)) if node else [] for node in range(size)]


def graphs() -> st.SearchStrategy[Graph]:
    return st.builds(_graph, st.integers(0, 12), st.integers(0, 2**32 - 1))


def _reachable(graph: Graph, without: int | None = None) -> set[int]:
    """Nodes that something reaches which nothing feeds, with one node taken away."""
    found: set[int] = set()
    for node, feeding in enumerate(graph):
        if node != without and (not feeding or found.intersection(feeding)):
            found.add(node)
    return found


def _dominators(graph: Graph, node: int) -> set[int]:
    return {other for other in range(len(graph)) if other != node and node not in _reachable(graph, other)}


def _above(graph: Graph, node: int) -> list[int]:
    """What the tree says, from the root's child down to the node's parent."""
    tree = dominators(graph)
    path: list[int] = []
    while (node := tree.parent[node]) != len(graph):
        path.insert(0, node)
    return path


@property_test
@given(graphs())
def test_what_stands_above_a_node_are_its_dominators(graph: Graph) -> None:
    for node in range(len(graph)):
        assert set(_above(graph, node)) == _dominators(graph, node)


@property_test
@given(graphs())
def test_depth_counts_the_dominators(graph: Graph) -> None:
    assert list(dominators(graph).depth) == [len(_dominators(graph, node)) for node in range(len(graph))] + [-1]


@pytest.mark.parametrize(
    ("graph", "parent"),
    [
        pytest.param([], [0], id="nothing"),
        pytest.param([[], [0], [1]], [3, 0, 1, 3], id="a chain"),
        pytest.param([[], [0], [0], [1, 2]], [4, 0, 0, 0, 4], id="a diamond"),
        pytest.param([[], [0, 0]], [2, 0, 2], id="parallel edges"),
        pytest.param([[], [], [0, 1]], [3, 3, 3, 3], id="two inputs meet in the root"),
        pytest.param([[], [0], [0, 1], [2]], [4, 0, 0, 2, 4], id="a shortcut"),
    ],
)
def test_parents(graph: Graph, parent: list[int]) -> None:
    assert list(dominators(graph).parent) == parent
