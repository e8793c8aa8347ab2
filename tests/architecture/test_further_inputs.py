"""Operations that read further feature maps besides their edge's source, as attention reads a mask."""

from dataclasses import replace

import pytest

from natonnx.architecture import (
    Architecture,
    ChannelCutRule,
    Edge,
    FeatureMap,
    Join,
    Operation,
    Skip,
    State,
    Topology,
    cost,
    find_liveness,
    legal_transitions,
    violation,
)
from tests.architecture.examples import SHAPE, conv

_BRANCH = replace(conv("branch"), kind="Branch")


def masked() -> Architecture:
    """y = x + branch(x, mask), where mask = conv(prompt)."""
    maps = (
        FeatureMap("x", SHAPE, Join.INPUT),
        FeatureMap("prompt", SHAPE, Join.INPUT),
        FeatureMap("mask", SHAPE, Join.SINGLE),
        FeatureMap("y", SHAPE, Join.SUM),
    )
    edges = (
        Edge("mask", "prompt", "mask", conv("mask"), Skip(4)),
        Edge("x->y", "x", "y", None, Skip(4)),
        Edge("branch", "x", "y", replace(_BRANCH, inputs=("mask",)), Skip(4)),
    )
    return Architecture(Topology(maps, edges, ("y",)), (State.O, State.S, State.O))


def _with(architecture: Architecture, **states: State) -> Architecture:
    names = [edge.name for edge in architecture.topology.edges]
    return architecture.with_states(
        tuple(states.get(name, state) for name, state in zip(names, architecture.states, strict=True))
    )


def test_what_an_operation_reads_is_needed() -> None:
    beta = masked()
    assert find_liveness(beta).needed.all()
    assert cost(beta).params == conv("mask").params + conv("branch").params


@pytest.mark.parametrize("after", [State.N, State.S])
def test_what_only_the_operation_read_goes_with_it(after: State) -> None:
    alpha = _with(masked(), branch=after)
    assert find_liveness(alpha).needed.tolist() == [True, False, False, True]
    assert cost(alpha) == (0, 0)
    assert violation(alpha, masked()) is None


def test_what_an_operation_reads_may_not_die() -> None:
    beta = masked()
    assert legal_transitions(beta)[0] == {
        State.S: None,
        State.N: "nothing else feeds 'mask', which the operation 'branch' reads with other tensors",
    }
    assert violation(_with(beta, mask=State.N), beta) == "the operation 'branch' would lose an input"
    assert violation(_with(beta, mask=State.N, branch=State.N), beta) is None


def test_further_inputs_run_forwards() -> None:
    beta = masked()
    edges = (*beta.topology.edges[:2], replace(beta.topology.edges[2], operation=replace(_BRANCH, inputs=("y",))))
    with pytest.raises(ValueError, match="'y' -> 'y' does not run forwards"):
        Topology(beta.topology.maps, edges, ("y",))


def test_what_an_operation_reads_besides_its_source_keeps_all_its_channels() -> None:
    through = (ChannelCutRule(1, 1),)
    half = ("batch", 4, 8, 8)
    maps = (
        FeatureMap("x", half, Join.INPUT),
        FeatureMap("a", half, Join.SINGLE),
        FeatureMap("b", half, Join.SINGLE),
        FeatureMap("c", ("batch", 8, 8, 8), Join.CONCAT, axis=1, cut_rules=through),
        FeatureMap("y", half, Join.SUM, cut_rules=through),
    )
    edges = (
        Edge("a", "x", "a", conv("a"), Skip(4)),
        Edge("b", "x", "b", conv("b"), Skip(4)),
        Edge("a->c", "a", "c", None, Skip(4)),
        Edge("b->c", "b", "c", None, Skip(4)),
        Edge("x->y", "x", "y", None, Skip(4)),
        Edge("branch", "x", "y", replace(_BRANCH, inputs=("c",)), Skip(4)),
    )
    beta = Architecture(Topology(maps, edges, ("y",)), (State.O, State.O, State.S, State.S, State.S, State.O))
    reason = "edge 'branch' has no rule for fewer channels"
    assert legal_transitions(beta)[3] == {State.N: f"the concat 'c' cannot lose it: {reason}"}
    alpha = _with(beta, **{"b->c": State.N})
    assert violation(alpha, beta) == reason
    assert violation(_with(alpha, branch=State.N), beta) is None


def test_no_shortcut_reads_what_lacks_an_input() -> None:
    """Nothing needs u, which costs nothing, but it cannot be made: of its two inputs one is dead."""
    maps = (
        FeatureMap("x", SHAPE, Join.INPUT),
        FeatureMap("dead", SHAPE, Join.SINGLE),
        FeatureMap("u", SHAPE, Join.SINGLE),
        FeatureMap("y", SHAPE, Join.SUM),
    )
    edges = (
        Edge("x->dead", "x", "dead", None, Skip(4)),
        Edge("u", "x", "u", Operation("Branch", inputs=("dead",)), Skip(4)),
        Edge("x->y", "x", "y", None, Skip(4)),
        Edge("u->y", "u", "y", None, Skip(4)),
    )
    topology = Topology(maps, edges, ("y",))
    beta = Architecture(topology, (State.N, State.O, State.S, State.N))
    assert legal_transitions(beta)[3] == {State.S: "it would revive a feature map that null has removed"}
    fed = Architecture(topology, (State.S, State.O, State.S, State.N))
    assert legal_transitions(fed)[3] == {State.S: None}
