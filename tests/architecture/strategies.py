"""Random architectures, legal and not, for hypothesis.

Each is made from a size and a seed: a hundred times as fast as one choice of hypothesis' own for every detail, and a
failure still shrinks to the smallest size.
"""

from dataclasses import replace
from random import Random

from hypothesis import settings
from hypothesis import strategies as st

from natonnx.architecture import (
    Architecture,
    ChannelCutRule,
    Choice,
    Edge,
    FeatureMap,
    Join,
    Operation,
    Shape,
    Skip,
    State,
    Topology,
    Weight,
)
from tests.architecture import naive

__all__ = ["Pair", "architectures", "legal_architectures", "property_test", "seeded", "transformations"]

Pair = tuple[Architecture, Architecture]
"""β, and an α that came from it."""

property_test = settings(deadline=None, max_examples=200, derandomize=True)
"""No deadline: a busy machine is no failure. The same examples on every run: nor is a new example somebody else's."""

_NO_SKIP = "8 channels cannot become fewer (4) without parameters"
_SHARED = tuple(Weight(f"weight{i}", 3 + 4 * i) for i in range(4))


def architectures(
    most: int = 7, *, known: bool = True, concats: bool = False, cheaper: bool = False
) -> st.SearchStrategy[Architecture]:
    """Any architecture with up to that many maps, most of its edges not null.

    Args:
        most: Maps.
        known: Whether all MAdds are known.
        concats: Whether there are concats.
        cheaper: Whether operations may become cheaper ones.
    """
    make = _with_concats if concats else _architecture
    found = st.builds(make, st.integers(2, most), _seeds(), st.just(known))
    return st.builds(_with_cheaper, found, _seeds()) if cheaper else found


def legal_architectures(
    most: int = 7, *, known: bool = True, concats: bool = False, cheaper: bool = False
) -> st.SearchStrategy[Architecture]:
    """Architectures that can run; null may have removed parts of them."""
    return architectures(most, known=known, concats=concats, cheaper=cheaper).filter(naive.runs)


def transformations(
    most: int = 7, *, known: bool = True, existing: bool = True, concats: bool = False, cheaper: bool = False
) -> st.SearchStrategy[Pair]:
    """A legal β and an α, legal or not; `existing`: by transitions that exist, each by itself."""
    beta = legal_architectures(most, known=known, concats=concats, cheaper=cheaper)
    return st.builds(_transformation, beta, _seeds(), st.just(existing))


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
                if operation and chance.random() < 0.2:
                    operation = replace(operation, inputs=tuple(chance.choices(earlier, k=chance.randint(1, 2))))
                skip = Skip(4) if chance.random() < 0.7 else None
                edges.append(Edge(f"edge{len(edges)}", source, f"map{i}", operation, skip, "" if skip else _NO_SKIP))
    chance.shuffle(edges)
    outputs = {f"map{size - 1}", f"map{chance.randrange(size)}"} if chance.random() < 0.5 else {f"map{size - 1}"}
    states = [chance.choice([*_carried(edge), *_carried(edge)[:1]]) for edge in edges]
    return Architecture(Topology(tuple(maps), tuple(edges), tuple(sorted(outputs))), tuple(states))


def _with_concats(size: int, seed: int, known: bool) -> Architecture:
    """A third of the maps are concats, of members of known sizes; rules for fewer channels are there or missing.

    A member may be dead, but its edge is never null: a file has no such edges.
    """
    chance = seeded(seed)
    maps = [FeatureMap("map0", _SHAPE, Join.INPUT)]
    edges: list[Edge] = []
    read: set[str] = set()
    for i in range(1, size):
        join = chance.choice([Join.SINGLE, Join.SINGLE, Join.SUM, Join.CONCAT, Join.CONCAT, Join.OPAQUE])
        sources = chance.choices(maps[-4:], k=1 if join is Join.SINGLE else chance.randint(1, 3))
        unread = [fmap for fmap in maps if fmap.name not in read]
        sources = [*unread[: len(sources)], *sources][: len(sources)]  # or else few would be needed
        read.update(source.name for source in sources)
        axis = chance.choice([1, 1, 1, 1, 2, None]) if join is Join.CONCAT else None
        inputs = tuple(source.name for source in sources) if join is Join.OPAQUE else ()
        shape = _SHAPE if axis is None else _joined([source.shape for source in sources], axis)
        weights = _own_weights(chance, f"map{i}")
        cut_rules = _cut_rules(chance, weights, () if axis is None else (axis,))
        cut_rules = tuple(_of_several(chance, rule, inputs) for rule in cut_rules)
        maps.append(FeatureMap(f"map{i}", shape, join, inputs, weights, axis, cut_rules))
        for source in [] if join is Join.OPAQUE else sources:
            name = f"edge{len(edges)}"
            edges.append(_edge(chance, name, source.name, maps[-1], known))
            operation = edges[-1].operation
            if operation and chance.random() < 0.15:
                further = chance.choice(maps[-5:-1]).name
                edges[-1] = replace(edges[-1], operation=replace(operation, inputs=(further,)))
    edges += _shortcuts(chance, maps)
    outputs = {f"map{size - 1}", f"map{chance.randrange(size)}"} if chance.random() < 0.2 else {f"map{size - 1}"}
    joined = {fmap.name for fmap in maps if fmap.join is Join.CONCAT}
    states = [chance.choice([*_carried(edge)[:1] * 9, State.N][: 9 + (edge.target not in joined)]) for edge in edges]
    return Architecture(Topology(tuple(maps), tuple(edges), tuple(sorted(outputs))), tuple(states))


_SHAPE: Shape = ("batch", 4, 6, 6)


def _joined(shapes: list[Shape], axis: int) -> Shape:
    sizes = [shape[axis] for shape in shapes]
    return (*shapes[0][:axis], sum(size for size in sizes if isinstance(size, int)), *shapes[0][axis + 1 :])


def _edge(chance: Random, name: str, source: str, target: FeatureMap, known: bool) -> Edge:
    if target.join is Join.CONCAT or (target.join is Join.SUM and chance.random() < 0.4):
        return Edge(name, source, target.name, None, Skip(4))
    weights = _own_weights(chance, name)
    madds = chance.randint(0, 50) if known or chance.random() < 0.7 else None
    operation = Operation("Conv", weights=weights, madds=madds, cut_rules=_cut_rules(chance, weights, (), madds or 0))
    skip = chance.choice([Skip(4), Skip(4), Skip(4, (2, 2)), Skip(4, pad_channels=4), None])
    return Edge(name, source, target.name, operation, skip, "" if skip else _NO_SKIP)


def _with_cheaper(architecture: Architecture, seed: int) -> Architecture:
    """Most operations may become one or two others that take no more, each by itself; some have."""
    chance = seeded(seed)
    edges, states = list(architecture.topology.edges), list(architecture.states)
    for e, edge in enumerate(edges):
        if edge.operation is None or chance.random() < 0.3:
            continue
        one, other = State("conv_1x1"), State("avg_pool_3x3")
        small = _less(chance, edge.operation, f"{edge.name}.one")
        less = Choice(other, _less(chance, small, f"{edge.name}.other"), (State.S, State.N))
        more = Choice(one, small, chance.choice([(State.S, State.N), (State.S, State.N, other)]))
        edges[e] = replace(edge, cheaper=(more, less) if chance.random() < 0.7 else (more._replace(successors=()),))
        if states[e] == State.O and chance.random() < 0.2:
            states[e] = one
    topology = Topology(architecture.topology.maps, tuple(edges), architecture.topology.outputs)
    return Architecture(topology, tuple(states))


def _less(chance: Random, operation: Operation, name: str) -> Operation:
    """An operation of the same maps with fewer weights and MAdds; some weights are those of the other."""
    kept = [weight for weight in operation.weights if chance.random() < 0.5]
    left = operation.params - sum(size for _, size in dict(kept).items())
    own = [Weight(name, chance.randint(1, left))] if left and chance.random() < 0.7 else []
    madds = None if operation.madds is None else chance.randint(0, operation.madds)
    rules = [rule for rule in operation.cut_rules if chance.random() < 0.8]
    return Operation(
        kind=chance.choice(["Conv", "AveragePool"]),
        kernel=chance.choice([(1, 1), (3, 3)]),
        weights=(*kept, *own),
        madds=madds,
        cut_rules=tuple(replace(rule, madds=min(rule.madds, madds or 0)) for rule in rules),
        inputs=operation.inputs,
    )


def _shortcuts(chance: Random, maps: list[FeatureMap]) -> list[Edge]:
    """Null edges, as a parser adds them."""
    targets = [i for i, fmap in enumerate(maps) if fmap.join in (Join.SINGLE, Join.SUM)]
    pairs = [(chance.randrange(i), i) for i in targets if chance.random() < 0.5]
    return [Edge(f"map{a}->map{b}", f"map{a}", f"map{b}", None, Skip(4)) for a, b in pairs]


def _cut_rules(
    chance: Random, weights: tuple[Weight, ...], likely: tuple[int, ...], madds: int = 0
) -> tuple[ChannelCutRule, ...]:
    """For some of two axes, and all likely ones: absorbing, passing on, or passing on to another axis."""
    cut_rules: list[ChannelCutRule] = []
    for axis in (1, 2):
        cut = frozenset(weight.name for weight in weights if chance.random() < 0.6)
        out, repeat = chance.choice([(None, 1), (None, 1), (axis, 1), (axis, 1), (3 - axis, chance.randint(1, 3))])
        if axis in likely:
            out, repeat = axis, 1
        if axis in likely or chance.random() < 0.8:
            cut_rules.append(ChannelCutRule(axis, out, repeat, cut, chance.randint(0, madds)))
    return tuple(cut_rules)


def _of_several(chance: Random, rule: ChannelCutRule, inputs: tuple[str, ...]) -> ChannelCutRule:
    """Of the maps that a fixed node reads, most must be cut alike, and some of these may be whole."""
    alike = frozenset(name for name in dict.fromkeys(inputs) if chance.random() < 0.9)
    whole = frozenset(name for name in sorted(alike) if chance.random() < 0.6)
    return replace(rule, alike=alike, whole=whole)


def _own_weights(chance: Random, owner: str) -> tuple[Weight, ...]:
    return tuple(Weight(f"{owner}.weight{i}", chance.randint(2, 60)) for i in range(chance.randint(0, 2)))


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
    own = [state for state, carried in content.items() if carried is not None]
    return [*own, *(choice.state for choice in edge.cheaper)]


def _transformation(beta: Architecture, seed: int, existing: bool) -> Pair:
    chance = seeded(seed)
    rate = chance.random()
    states: list[State] = []
    for edge, before in zip(beta.topology.edges, beta.states, strict=True):
        options = [after for after in _carried(edge) if after in naive.transitions(edge, before) or not existing]
        states.append(chance.choice(options) if options and chance.random() < rate else before)
    return beta, beta.with_states(tuple(states))
