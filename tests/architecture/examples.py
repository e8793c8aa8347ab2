"""Hand-made architectures."""

from dataclasses import replace

from natonnx.architecture import Architecture, Choice, Edge, FeatureMap, Join, Operation, Skip, State, Topology, Weight

__all__ = ["SHAPE", "chain", "conv", "residual_network", "with_cheaper"]

SHAPE = ("batch", 8, 16, 16)


def conv(name: str, madds: int | None = 100, size: int = 10) -> Operation:
    """A 3×3 convolution with a weight of its own."""
    return Operation("Conv", (3, 3), (1, 1), 1, (Weight(f"{name}.weight", size),), madds)


def chain(length: int) -> Architecture:
    """A plain network: map0 -conv1-> map1 -conv2-> … -> map{length}."""
    maps = [FeatureMap(f"map{i}", SHAPE, Join.SINGLE if i else Join.INPUT) for i in range(length + 1)]
    edges = [Edge(f"conv{i}", f"map{i - 1}", f"map{i}", conv(f"conv{i}"), Skip(4)) for i in range(1, length + 1)]
    return Architecture(Topology(tuple(maps), tuple(edges), (f"map{length}",)), (State.O,) * length)


def with_cheaper(architecture: Architecture) -> Architecture:
    """The same, but each operation may become a 1×1 convolution of 0.4 of its MAdds, or a pooling, also after that."""

    def extended(edge: Edge) -> Edge:
        if edge.operation is None:
            return edge
        small = Operation(
            "Conv", (1, 1), (1, 1), 1, (Weight(f"{edge.name}.small", 4),), 4 * (edge.operation.madds or 0) // 10
        )
        pool = Operation("AveragePool", (3, 3), (1, 1))
        one, other = State("conv_1x1"), State("avg_pool_3x3")
        choices = Choice(one, small, (State.S, State.N, other)), Choice(other, pool, (State.S, State.N))
        return replace(edge, cheaper=choices)

    topology = architecture.topology
    return replace(architecture, topology=replace(topology, edges=tuple(map(extended, topology.edges))))


def residual_network(blocks: int) -> Architecture:
    """Residual blocks out{i-1} -a-> mid{i} -b-> out{i}, with a skip around each and null edges around each two.

    Convolutions cost 100, 110, 120 …
    """
    maps = [FeatureMap("out0", SHAPE, Join.INPUT)]
    edges: list[Edge] = []
    states: list[State] = []

    def add(name: str, source: str, target: str, operation: Operation | None, state: State) -> None:
        edges.append(Edge(name, source, target, operation, Skip(4)))
        states.append(state)

    for i in range(1, blocks + 1):
        before, mid, after = f"out{i - 1}", f"mid{i}", f"out{i}"
        maps += [FeatureMap(mid, SHAPE, Join.SINGLE), FeatureMap(after, SHAPE, Join.SUM)]
        add(f"a{i}", before, mid, conv(f"a{i}", 80 + 20 * i), State.O)
        add(f"b{i}", mid, after, conv(f"b{i}", 90 + 20 * i), State.O)
        add(f"{before}->{after}", before, after, None, State.S)
        if i > 1:
            add(f"out{i - 2}->{after}", f"out{i - 2}", after, None, State.N)
    return Architecture(Topology(tuple(maps), tuple(edges), (f"out{blocks}",)), tuple(states))
