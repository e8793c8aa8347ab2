"""An architecture in the making: what the parser found, and what further passes add to it or merge in it."""

from collections.abc import Container

from natonnx.architecture import Architecture, Edge, FeatureMap, State, Topology
from natonnx.frontend.network import EdgeBinding, MapBinding, OpaqueNode

__all__ = ["Draft", "fresh"]


def fresh(name: str, taken: Container[str]) -> str:
    """A name that is not taken: this one, or with a number behind it."""
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}#{count}"
    return candidate


class Draft:
    """Feature maps in topological order, and edges with their states, by name.

    Attributes:
        maps: By name.
        map_bindings: By name of the map.
        edges: By name.
        states: By name of the edge.
        edge_bindings: By name of the edge.
        opaque: Nodes outside the rules, by position.
        outputs: Names of the maps that the model's outputs read.
    """

    def __init__(self) -> None:
        self.maps: dict[str, FeatureMap] = {}
        self.map_bindings: dict[str, MapBinding] = {}
        self.edges: dict[str, Edge] = {}
        self.states: dict[str, State] = {}
        self.edge_bindings: dict[str, EdgeBinding] = {}
        self.opaque: dict[int, OpaqueNode] = {}
        self.outputs: tuple[str, ...] = ()
        self._names: set[str] = set()

    def add_map(self, fmap: FeatureMap, binding: MapBinding) -> None:
        """Append a feature map."""
        self.maps[fmap.name] = fmap
        self.map_bindings[fmap.name] = binding

    def add_edge(self, edge: Edge, state: State, binding: EdgeBinding) -> None:
        """Append an edge."""
        self.edges[edge.name] = edge
        self.states[edge.name] = state
        self.edge_bindings[edge.name] = binding

    def unique(self, name: str) -> str:
        """Reserve a name for an edge: this one, or with a number behind it if it is taken."""
        candidate = fresh(name, self._names)
        self._names.add(candidate)
        return candidate

    def architecture(self) -> Architecture:
        """β."""
        topology = Topology(tuple(self.maps.values()), tuple(self.edges.values()), self.outputs)
        return Architecture(topology, tuple(self.states.values()))
