"""A dominator tree under changes is that of the graph: judged by taking nodes away and looking what is reached."""

from hypothesis import given, settings
from hypothesis import strategies as st

from natonnx.architecture.dominance import Dominance
from tests.architecture.strategies import property_test, seeded

Edges = list[tuple[int, int]]


def _fed(count: int, edges: Edges, without: int) -> set[int]:
    """Nodes that are reached from those that nobody feeds, but for one that is taken away."""
    starts = set(range(count)) - {target for _, target in edges}
    found = starts - {without}
    for node in range(count):
        if node != without and any(source in found for source, target in edges if target == node):
            found.add(node)
    return found


@settings(property_test, max_examples=80)
@given(st.integers(2, 11), st.integers(0, 2**32 - 1))
def test_marks_and_frontiers_are_those_of_the_graph(count: int, seed: int) -> None:
    chance = seeded(seed)
    tree, edges, marks = Dominance(count), Edges(), [0] * count
    for _ in range(20):
        for _ in range(chance.choice([1, 1, 2, 5])):
            if edges and chance.random() < 0.45:
                edge = edges.pop(chance.randrange(len(edges)))
                tree.remove(*edge)
            else:
                target = chance.randrange(1, count)
                edge = chance.randrange(max(0, target - chance.choice([1, 2, 9])), target), target
                edges.append(edge)
                tree.add(*edge)
        marked = chance.randrange(count)
        change = -1 if marks[marked] and chance.random() < 0.5 else 1
        marks[marked] += change
        tree.mark(marked, change)
        tree.settle()
        for node in range(count):
            lost = set(range(count)) - _fed(count, edges, node)
            assert tree.has_marks(node) == any(marks[one] for one in lost)
            assert set(tree.frontier(node)) == {b for a, b in edges if a in lost and b not in lost}
