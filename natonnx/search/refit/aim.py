"""What the output of a site should be: the original's value of its join, less what the join's other members give."""

from collections.abc import Iterable
from dataclasses import dataclass

from natonnx.architecture import Architecture, Join, State, find_liveness
from natonnx.architecture.liveness import Liveness
from natonnx.frontend import Network
from natonnx.supernet.plan import Plan

__all__ = ["Aim", "Aims"]

_JOINS = frozenset({Join.SUM, Join.SINGLE})
_PROJECTIONS = frozenset({"Relu", "Clip", "Dropout", "Identity"})
"""Activations that change nothing of what they made."""


@dataclass(frozen=True)
class Aim:
    """What a tensor should be.

    Attributes:
        tensor: The original's tensor that it should equal.
        others: Tensors of α that are added to it first.
        join: Position in the plan of the step that adds them; None where there is none.
    """

    tensor: str
    others: tuple[str, ...] = ()
    join: int | None = None


class Aims:
    """What the outputs of an architecture's operators should be.

    A map that α passes on unchanged (an O that became S, a block of which only its residual is left) should be what the
    last map that it is passed on to was, where no one else reads it who did before.

    Args:
        network: The network.
        alpha: The architecture.
        plan: What it runs.
    """

    def __init__(self, network: Network, alpha: Architecture, plan: Plan) -> None:
        self._network, self._alpha = network, alpha
        self._liveness = find_liveness(alpha)
        self._last = _passed_on(network, alpha, self._liveness)
        topology = alpha.topology
        self._edges = {
            network.edges[edge.name].nodes[-1]: e
            for e, edge in enumerate(topology.edges)
            if self._liveness.active[e] and network.edges[edge.name].nodes and alpha.states[e] is State.O
        }
        self._maker = {name: i for i, step in enumerate(plan.steps) for name in step.outputs}
        self._plan = plan

    def of(self, node: int, output: str) -> Aim:
        """Return what the output of a node of the file should be, which α keeps in a tensor of this name."""
        own = Aim(self._network.model.graph.node[node].output[0])
        e = self._edges.get(node)
        if e is None:
            return own
        target = self._alpha.topology.ends[e][1]
        if self._alpha.topology.maps[target].join not in _JOINS:
            return own
        tensor = self._join_tensor(self._last[target])
        joined = self._join_tensor(target)
        if output == joined:
            return Aim(tensor)
        join = self._maker.get(joined)
        if join is None or output not in self._plan.steps[join].inputs:
            return own
        others = list(self._plan.steps[join].inputs)
        others.remove(output)
        return Aim(tensor, tuple(others), join)

    def _join_tensor(self, position: int) -> str:
        return self._network.maps[self._alpha.topology.maps[position].name].join_tensor


def _passed_on(network: Network, alpha: Architecture, liveness: Liveness) -> list[int]:
    """Return for each map the last one that it is passed on to unchanged; itself where there is none."""
    topology = alpha.topology
    maps, last = topology.maps, list(range(len(topology.maps)))
    outputs = {topology.map_index[name] for name in topology.outputs}
    before = find_liveness(network.architecture).active
    entering = [[e for e in edges if liveness.active[e]] for edges in topology.incoming]
    for i in reversed(range(len(maps))):
        if maps[i].join not in _JOINS or i in outputs or not liveness.needed[i] or not _is_projection(network, i):
            continue
        leaving = [e for e in topology.outgoing[i] if liveness.active[e]]
        handed = {e for e in leaving if _hands_on(alpha, e, entering[topology.ends[e][1]])}
        readers = [*topology.fixed_readers[i], *topology.further_readers.get(i, ())]
        if handed and not readers and all(e in handed or not before[e] for e in leaving):
            last[i] = max(last[topology.ends[e][1]] for e in handed)
    return last


def _hands_on(alpha: Architecture, e: int, entering: Iterable[int]) -> bool:
    """Tell whether an edge is all that enters its target, and changes nothing."""
    edge, target = alpha.topology.edges[e], alpha.topology.ends[e][1]
    plain = alpha.states[e] is State.S and edge.skip is not None and edge.skip.is_identity
    return plain and alpha.topology.maps[target].join in _JOINS and list(entering) == [e]


def _is_projection(network: Network, position: int) -> bool:
    """Tell whether a map's activation changes nothing of what it made itself."""
    binding = network.maps[network.architecture.topology.maps[position].name]
    return all(network.model.graph.node[node].op_type in _PROJECTIONS for node in binding.chain)
