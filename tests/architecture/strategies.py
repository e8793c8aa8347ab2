"""Random architectures, legal and not, for hypothesis.

Each is made from a size and a seed: a hundred times as fast as one choice of hypothesis' own for every detail, and a
failure still shrinks to the smallest size.
"""

from random import Random

from hypothesis import settings
from hypothesis import strategies as st

from natonnx.architecture import Architecture, Edge, FeatureMap, Join, Operation, Skip, State, Topology, Weight
from tests.architecture import naive

__all__ = ["Pair", "architectures", "legal_architectures", "property_test", "seeded", "transformations"]

Pair = tuple[Architecture, Architecture]
"""β, and an α that came from it."""

property_test = settings(deadline=None, max_examples=200, derandomize=True)
"""No deadline: a busy machine is no failure. The same examples on every run: nor is a new example somebody else's."""

_NO_SKIP = "8 channels cannot become fewer (4) without parameters"
_SHARED = tuple(Weight(f"weight{i}", 3 + 4 * i) for i in range(4))


def architectures(most: int = 7, *, known: bool = True) -> st.SearchStrategy[Architecture]:
    """Any architecture with up to that many maps, most of its edges not null; `known` ones have all MAdds."""
    return st.builds(_architecture, st.integers(2, most), _seeds(), st.just(known))


def legal_architectures(most: int = 7, *, known: bool = True) -> st.SearchStrategy[Architecture]:
    """Architectures that can run; null may have removed parts of them."""
    return architectures(most, known=known).filter(lambda architecture: not naive.broken(architecture))


def transformations(most: int = 7, *, known: bool = True, existing: bool = True) -> st.SearchStrategy[Pair]:
    """A legal β and an α, legal or not; `existing`: by transitions that exist, each by itself."""
    return st.builds(_transformation, legal_architectures(most, known=known), _seeds(), st.just(existing))


def seeded(seed: int) -> Random:
    """A source of choices."""
    return Random(seed)  # noqa: S311 - no secrets here


def _seeds() -> st.SearchStrategy[int]:
    return st.integers(0, 2**32 - 1)


def _architecture(size: int, seed: int, known: bool) -> Architecture:
    """Of every kind of join and of edge, parallel edges, dead ends, shared weights and several outputs included."""
    chance = seeded(seed)
    maps: list[FeatureMap] = []
    edges: list[Edge] = []
    for i in range(size):
        join = chance.choice([Join.SINGLE, Join.SUM, Join.SUM, Join.OPAQUE, Join.INPUT]) if i else Join.INPUT
        earlier = [fmap.name for fmap in maps]
        inputs = tuple(chance.choices(earlier, k=chance.randint(0, 3))) if join is Join.OPAQUE else ()
        shape = ("batch", chance.choice([4, 8]), 8, 8)
        maps.append(FeatureMap(f"map{i}", shape, join, inputs, _weights(chance, 1)))
        if join in (Join.SINGLE, Join.SUM):
            for source in chance.choices(earlier, k=chance.randint(1, 3)):
                operation = _operation(chance, known) if chance.random() < 0.6 else None
                skip = Skip(4) if chance.random() < 0.7 else None
                edges.append(Edge(f"edge{len(edges)}", source, f"map{i}", operation, skip, "" if skip else _NO_SKIP))
    chance.shuffle(edges)
    outputs = {f"map{size - 1}", f"map{chance.randrange(size)}"} if chance.random() < 0.5 else {f"map{size - 1}"}
    states = [chance.choice([*_carried(edge), *_carried(edge)[:1]]) for edge in edges]
    return Architecture(Topology(tuple(maps), tuple(edges), tuple(sorted(outputs))), tuple(states))


def _operation(chance: Random, known: bool) -> Operation:
    return Operation(
        kind=chance.choice(["Conv", "ConvTranspose", "Gemm", "MatMul", "MaxPool", "AveragePool", "Einsum"]),
        kernel=chance.choice([(), (1, 1), (3, 3), (5, 5)]),
        stride=chance.choice([(), (1, 1), (2, 2)]),
        groups=chance.choice([1, 1, 2, 4]),
        weights=_weights(chance, 3),
        madds=chance.randint(0, 50) if known or chance.random() < 0.7 else None,
    )


def _weights(chance: Random, most: int) -> tuple[Weight, ...]:
    return tuple(chance.choices(_SHARED, k=chance.randint(0, most)))


def _carried(edge: Edge) -> list[State]:
    content = {State.O: edge.operation, State.S: edge.skip, State.N: edge}
    return [state for state, carried in content.items() if carried is not None]


def _transformation(beta: Architecture, seed: int, existing: bool) -> Pair:
    chance = seeded(seed)
    rate = chance.random()
    states: list[State] = []
    for edge, before in zip(beta.topology.edges, beta.states, strict=True):
        options = [after for after in _carried(edge) if after in naive.TRANSITIONS[before] or not existing]
        states.append(chance.choice(options) if options and chance.random() < rate else before)
    return beta, beta.with_states(tuple(states))
