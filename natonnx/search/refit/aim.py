"""What a linear operator should help to make: which tensor of α, and which tensor of the original that should equal."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from natonnx.architecture import Architecture, Join, State, find_liveness
from natonnx.architecture.liveness import Flags
from natonnx.frontend import Network
from natonnx.search.refit.site import Site
from natonnx.supernet.plan import Plan

__all__ = ["Aim", "find_aims"]

_JOINS = frozenset({Join.SUM, Join.SINGLE})
_PROJECTIONS = frozenset({"Relu", "Clip", "Dropout", "Identity"})
"""Activations f for which f(x) is nearest to a target f(y) where x is y: f∘f = f, and f moves no two values apart."""


@dataclass(frozen=True)
class Aim:
    """What the operator should come near to.

    Attributes:
        end: Position in the plan of the step that makes what is compared: the join of the operator's map, or the
            operator itself.
        tensor: The original's tensor that it should equal.
        is_passed_on: Whether that is another map's than its own, to which α passes it on unchanged, and no operator
            behind that could make up for it.
    """

    end: int
    tensor: str
    is_passed_on: bool = False


def find_aims(network: Network, alpha: Architecture, plan: Plan, sites: Sequence[Site]) -> list[tuple[Site, Aim]]:
    """Return what each site of an architecture should come near to.

    Where several feed one join, each is first to make what it made itself, and then to help with what the join lacks.

    Args:
        network: The network.
        alpha: The architecture.
        plan: What it runs.
        sites: Its linear operators.
    """
    topology = alpha.topology
    last, bare = _last_maps(network, alpha), _bare(network, plan, sites)
    maker = {name: i for i, step in enumerate(plan.steps) for name in step.outputs}
    active = find_liveness(alpha).active
    edges: dict[int, int] = {}  # by the last node of an operation
    for e, state in enumerate(alpha.states):
        carrier = network.carrier(e, state) if active[e] and state.is_operation else None
        if carrier is not None:
            edges[carrier.nodes[-1]] = e

    def join_tensor(position: int) -> str:
        return network.maps[topology.maps[position].name].join_tensor

    def own(site: Site) -> Aim:
        edge = edges.get(site.node)
        if edge is not None:  # whose own operation makes that tensor in the original
            return Aim(site.steps[-1], network.edges[topology.edges[edge].name].tensor)
        return Aim(site.steps[-1], network.extended.graph.node[site.node].output[0])

    def aim(site: Site) -> Aim:
        edge = edges.get(site.node)
        target = None if edge is None else topology.ends[edge][1]
        if target is not None and topology.maps[target].join in _JOINS:
            joined, passed = join_tensor(target), join_tensor(last[target])
            end = maker.get(joined)  # none where another member cannot be computed
            if end is not None and (site.output == joined or plan.steps[end].inputs.count(site.output) == 1):
                return Aim(end, passed, passed != joined) if passed in bare else Aim(end, joined)
        return own(site)

    aims = [(site, aim(site)) for site in sites]
    sharing = Counter(one.end for _, one in aims)
    return [
        pair for site, one in aims for pair in ([(site, own(site))] if sharing[one.end] > 1 else []) + [(site, one)]
    ]


def _bare(network: Network, plan: Plan, sites: Sequence[Site]) -> set[str]:
    """Return the tensors between which and an output of the model no site makes up for what they lack."""
    own, outputs = {site.steps[0] for site in sites}, {site.output for site in sites}
    bare = set(network.outputs)
    for i, step in reversed([*enumerate(plan.steps)]):
        if i not in own and not bare.isdisjoint(step.outputs) and outputs.isdisjoint(step.inputs):
            bare.update(step.inputs)
    return bare


def _last_maps(network: Network, alpha: Architecture) -> list[int]:
    """Return for each map the last one that α newly passes it on to unchanged; itself where there is none.

    What others read who read it before stays what they knew, and so does an output of the model. Where a map is passed
    on to several others, those that come later must do with what the first of them should be.
    """
    topology, beta = alpha.topology, network.architecture
    maps, last = topology.maps, list(range(len(topology.maps)))
    now, before = find_liveness(alpha), find_liveness(beta)
    outputs = {topology.map_index[name] for name in topology.outputs}

    def hands_on(architecture: Architecture, active: Flags, e: int) -> bool:
        """Tell whether an edge is all that enters its target, and changes nothing."""
        skip, target = topology.edges[e].skip, topology.ends[e][1]
        alone = [other for other in topology.incoming[target] if active[other]] == [e]
        plain = architecture.states[e] == State.S and skip is not None and skip.is_identity
        return alone and plain and maps[target].join in _JOINS

    for i in reversed(range(len(maps))):
        binding = network.maps[maps[i].name]
        projects = all(network.extended.graph.node[node].op_type in _PROJECTIONS for node in binding.chain)
        if maps[i].join not in _JOINS or i in outputs or not now.needed[i] or not projects:
            continue
        leaving = [e for e in topology.outgoing[i] if now.active[e]]
        handed = [e for e in leaving if hands_on(alpha, now.active, e) and not hands_on(beta, before.active, e)]
        others = [e for e in leaving if e not in handed and before.active[e]]
        others += [e for e in topology.further_readers.get(i, ()) if now.active[e] and alpha.states[e].is_operation]
        if handed and not others and not any(now.needed[reader] for reader in topology.fixed_readers[i]):
            last[i] = min(last[topology.ends[e][1]] for e in handed)
    return last
