"""Concats that lose members: what is cut, what that costs, and which transitions are allowed to cause it."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natonnx.architecture import (
    Architecture,
    ChannelCutRule,
    Cost,
    Cut,
    Edge,
    FeatureMap,
    Join,
    Operation,
    Shape,
    Skip,
    State,
    Topology,
    Weight,
    cost,
    cuts,
    find_liveness,
    legal_transitions,
    violation,
)
from natonnx.architecture.concat_legality import ConcatLegality
from natonnx.architecture.fatal import fatal_maps
from tests.architecture import naive
from tests.architecture.examples import SHAPE
from tests.architecture.strategies import (
    Pair,
    architectures,
    legal_architectures,
    property_test,
    seeded,
    transformations,
)


def _loss(cut: Cut) -> naive.Loss:
    gone = [channel for channel, kept in enumerate(cut.kept.tolist()) if not kept]
    return naive.Loss(cut.axis, cut.kept.size, frozenset(gone))


# One architecture


@property_test
@given(architectures(9, concats=True))
def test_cuts_are_what_the_naive_rules_lose(architecture: Architecture) -> None:
    found = cuts(architecture, find_liveness(architecture))
    try:
        expected = naive.losses(architecture)
    except naive.StuckError:
        assert found.broken is not None
        return
    assert found.broken is None
    names = [fmap.name for fmap in architecture.topology.maps]
    assert {names[i]: _loss(cut) for i, cut in found.joins.items()} == expected.joins
    assert {names[i]: _loss(cut) for i, cut in found.values.items()} == expected.values


@property_test
@given(legal_architectures(9, known=False, concats=True))
def test_cost_leaves_out_what_is_cut(architecture: Architecture) -> None:
    assert tuple(cost(architecture)) == tuple(naive.cost(architecture))


@property_test
@given(legal_architectures(9, concats=True))
def test_a_map_that_is_not_fatal_may_die(architecture: Architecture) -> None:
    state = find_liveness(architecture)
    fatal = fatal_maps(architecture, state, ConcatLegality(architecture, state).verdicts)
    for fmap, reason in zip(architecture.topology.maps, fatal, strict=True):
        mortal = fmap.join not in (Join.OPAQUE, Join.INPUT) and fmap.name in naive.live(architecture)
        if mortal and reason is None:
            assert naive.runs(architecture, {fmap.name})


# α's


@property_test
@given(transformations(9, known=False, concats=True, cheaper=True))
def test_the_joint_check_equals_the_naive_rules(pair: Pair) -> None:
    beta, alpha = pair
    assert (violation(alpha, beta) is None) == (naive.illegal(alpha, beta) is None)


@settings(property_test, max_examples=100)
@given(legal_architectures(9, known=False, concats=True, cheaper=True))
def test_a_legal_single_transition_is_legal_as_a_whole(beta: Architecture) -> None:
    for edge, verdict in enumerate(legal_transitions(beta)):
        for after, reason in verdict.items():
            assert reason is not None or naive.illegal(naive.change(beta, edge, after), beta) is None


@settings(property_test, max_examples=100)
@given(legal_architectures(9, concats=True, cheaper=True), st.integers(0, 2**32 - 1))
def test_legal_transitions_one_after_the_other_stay_legal_and_cost_no_more(beta: Architecture, seed: int) -> None:
    architecture, chance = beta, seeded(seed)
    for _ in range(8):
        moves = [
            (e, after)
            for e, verdict in enumerate(legal_transitions(architecture, find_liveness(beta)))
            for after, reason in verdict.items()
            if reason is None
        ]
        if not moves:
            return
        architecture = naive.change(architecture, *chance.choice(moves))
        assert naive.illegal(architecture, beta) is None


@property_test
@given(legal_architectures(9, concats=True))
def test_a_refusal_that_names_no_concat_is_not_for_one(beta: Architecture) -> None:
    for edge, verdict in enumerate(legal_transitions(beta)):
        for after, reason in verdict.items():
            if reason is not None and "concat" not in reason:
                assert not naive.single_is_legal(beta, edge, after)


_OBSTACLE = (
    r"edge '\S+' has no rule for fewer channels"
    r"|the nodes of 'map\d+' have no rule for fewer channels"
    r"|it is a member of the sum 'map\d+'"
    r"|'map\d+' joins along another axis"
    r"|'map\d+' is an output of the model"
    r"|the node that makes 'map\d+' reads it with other tensors"
    r"|the node that makes 'map\d+' reads 'map\d+' too, which (may lose other|keeps all its) channels"
    r"|the sizes of the members of 'map\d+' are unknown"
    r"|no rule leads the cut further"
)


@property_test
@given(legal_architectures(9, concats=True))
def test_a_refusal_for_a_concat_names_it_and_the_obstacle(beta: Architecture) -> None:
    for verdict in legal_transitions(beta):
        reason = verdict.get(State.N)
        if reason is not None and "concat" in reason:
            fatal = r"nothing else feeds 'map\d+', a member of the concat 'map\d+', which cannot lose it"
            assert re.fullmatch(rf"(the concat 'map\d+' cannot lose it|{fatal}): ({_OBSTACLE})", reason)


# By hand


def _dense(name: str, channels: int) -> Operation:
    """A convolution that reads that many channels, 10 weights and 100 multiply-adds each."""
    absorbs = ChannelCutRule(1, None, 1, frozenset({f"{name}.weight"}), 100 * channels)
    weights = (Weight(f"{name}.weight", 10 * channels), Weight(f"{name}.bias", 8))
    return Operation("Conv", (1, 1), (1, 1), 1, weights, 100 * channels, (absorbs,))


def _depthwise(name: str, channels: int) -> Operation:
    """A convolution of each channel, 9 weights and 90 multiply-adds each."""
    passes_on = ChannelCutRule(1, 1, 1, frozenset({f"{name}.weight"}), 90 * channels)
    return Operation(
        "Conv", (3, 3), (1, 1), channels, (Weight(f"{name}.weight", 9 * channels),), 90 * channels, (passes_on,)
    )


def _wide(channels: int) -> Shape:
    return (SHAPE[0], channels, *SHAPE[2:])


def fork() -> Architecture:
    """x -a-> left, x -b-> right, both of 8 channels; joined -dw-> deep -out-> y."""
    maps = (
        FeatureMap("x", SHAPE, Join.INPUT),
        FeatureMap("left", SHAPE, Join.SINGLE),
        FeatureMap("right", SHAPE, Join.SINGLE),
        FeatureMap("joined", _wide(16), Join.CONCAT, axis=1, cut_rules=(ChannelCutRule(1, 1),)),
        FeatureMap("deep", _wide(16), Join.SINGLE, cut_rules=(ChannelCutRule(1, 1),)),
        FeatureMap("y", SHAPE, Join.SINGLE),
    )
    edges = (
        Edge("a", "x", "left", _dense("a", 8), Skip(4)),
        Edge("b", "x", "right", _dense("b", 8), Skip(4)),
        Edge("left->joined", "left", "joined", None, Skip(4)),
        Edge("right->joined", "right", "joined", None, Skip(4)),
        Edge("dw", "joined", "deep", _depthwise("dw", 16), Skip(4)),
        Edge("out", "deep", "y", _dense("out", 16), None, "16 channels cannot become fewer (8) without parameters"),
    )
    return Architecture(Topology(maps, edges, ("y",)), tuple(map(State, "OOSSOO")))


def _with(architecture: Architecture, **states: State) -> Architecture:
    index = {edge.name.replace("->", "_"): i for i, edge in enumerate(architecture.topology.edges)}
    for name, state in states.items():
        architecture = naive.change(architecture, index[name], state)
    return architecture


def _with_map(architecture: Architecture, name: str, **changes: object) -> Architecture:
    topology = architecture.topology
    maps = [replace(fmap, **changes) if fmap.name == name else fmap for fmap in topology.maps]  # type: ignore[arg-type]
    return replace(architecture, topology=replace(topology, maps=tuple(maps)))


def test_a_whole_concat_costs_the_whole() -> None:
    assert cost(fork()) == Cost(2 * (80 + 8) + 16 * 9 + 160 + 8, 2 * 800 + 16 * 90 + 1600)


@pytest.mark.parametrize("change", [{"b": State.N}, {"right_joined": State.N}])
def test_a_lost_member_costs_nothing_from_its_root_to_where_it_is_absorbed(change: dict[str, State]) -> None:
    assert cost(_with(fork(), **change)) == Cost(80 + 8 + 8 * 9 + 80 + 8, 800 + 8 * 90 + 800)


def test_lost_channels_stand_where_the_member_stood() -> None:
    beta = _with(fork(), a=State.N)
    found = cuts(beta, find_liveness(beta))
    lost = naive.Loss(1, 16, frozenset(range(8)))
    assert {i: _loss(cut) for i, cut in found.joins.items()} == {3: lost, 4: lost}
    assert {i: _loss(cut) for i, cut in found.values.items()} == {3: lost, 4: lost}


def test_all_of_a_concat_may_not_go() -> None:
    one_left = _with(fork(), a=State.N)
    reason = "nothing else feeds 'right', which the model's output depends on"
    assert legal_transitions(one_left)[1] == {State.S: None, State.N: reason}
    assert violation(_with(one_left, b=State.N), fork()) == "the model's output 'y' would no longer depend on its input"


def test_a_skip_hands_lost_channels_on() -> None:
    assert cost(_with(fork(), dw=State.S, b=State.N)) == Cost(80 + 8 + 80 + 8, 800 + 800)


@pytest.mark.parametrize(
    ("name", "changes", "obstacle"),
    [
        ("joined", {"axis": None}, "the sizes of the members of 'joined' are unknown"),
        ("deep", {"cut_rules": ()}, "the nodes of 'deep' have no rule for fewer channels"),
        ("joined", {"cut_rules": (ChannelCutRule(1, 2),)}, "edge 'dw' has no rule for fewer channels"),
        ("joined", {"axis": 2, "cut_rules": (ChannelCutRule(2, 2),)}, "edge 'dw' has no rule for fewer channels"),
        ("joined", {"axis": 2}, "the nodes of 'joined' have no rule for fewer channels"),
    ],
)
def test_what_stands_in_the_way_of_a_cut_is_said(name: str, changes: dict[str, object], obstacle: str) -> None:
    verdicts = legal_transitions(_with_map(fork(), name, **changes))
    assert verdicts[3][State.N] == f"the concat 'joined' cannot lose it: {obstacle}"
    fatal = "nothing else feeds 'right', a member of the concat 'joined', which cannot lose it"
    assert verdicts[1] == {State.S: None, State.N: f"{fatal}: {obstacle}"}


def test_what_has_lost_channels_cannot_be_bypassed() -> None:
    """A skip from a whole map would not fit a map that is smaller than it was, nor the other way round."""
    moment = _with(fork(), b=State.N)
    reason = "'joined' has lost channels, for a concat before it lost a member"
    assert legal_transitions(moment)[4] == {
        State.S: reason,
        State.N: "nothing else feeds 'deep', which the model's output depends on",
    }


def test_a_lost_member_may_come_back() -> None:
    moment = _with(fork(), right_joined=State.N)
    assert legal_transitions(moment, find_liveness(fork()))[3] == {
        State.S: "it would revive a feature map that null has removed"
    }
    moment = _with(fork(), b=State.N)
    assert legal_transitions(moment, find_liveness(fork()))[1] == {State.S: None}


def _beside() -> Architecture:
    """fork(), with x -wide-> whole of 16 channels beside joined, whole -e-> part, and deep = dw(joined) + part.

    whole has a reader of its own, a second output.
    """
    topology = fork().topology
    passes_on = (ChannelCutRule(1, 1),)
    more = (FeatureMap("whole", _wide(16), Join.SINGLE), FeatureMap("part", _wide(16), Join.SINGLE))
    deep = FeatureMap("deep", _wide(16), Join.SUM, cut_rules=passes_on)
    edges = (
        Edge("wide", "x", "whole", _dense("wide", 8), None, "no"),
        Edge("e", "whole", "part", _depthwise("e", 16), Skip(4)),
        Edge("part->deep", "part", "deep", None, Skip(4)),
        Edge("whole->deep", "whole", "deep", None, Skip(4)),
    )
    maps = (*topology.maps[:4], *more, deep, topology.maps[5])
    topology = Topology(maps, (*topology.edges, *edges), ("y", "whole"))
    return Architecture(topology, tuple(map(State, "OOSSOOOOSN")))


def test_a_sum_of_a_cut_member_and_a_whole_one_is_not_allowed_in_any_order() -> None:
    beta = _beside()
    index, origin = beta.topology.edge_index, find_liveness(beta)
    assert legal_transitions(beta)[index["b"]][State.N] == (
        "nothing else feeds 'right', a member of the concat 'joined', which cannot lose it: "
        "it is a member of the sum 'deep'"
    )
    moment = _with(beta, e=State.N, b=State.N)
    assert violation(moment, beta) is None
    verdicts = legal_transitions(moment, origin)
    assert verdicts[index["whole->deep"]][State.S] == ("'deep' has lost channels, for a concat before it lost a member")
    assert verdicts[index["e"]][State.S] == "the members of the sum 'deep' would have lost different channels"
    assert legal_transitions(_with(beta, e=State.N), origin)[index["e"]][State.S] is None


def _reaching() -> Architecture:
    """x -> hub -> member; near = [member, hub], far = [member, x], which may lose nothing; y = near + far + x."""
    maps = (
        FeatureMap("x", SHAPE, Join.INPUT),
        FeatureMap("hub", SHAPE, Join.SINGLE),
        FeatureMap("member", SHAPE, Join.SINGLE),
        FeatureMap("near", _wide(16), Join.CONCAT, axis=1, cut_rules=(ChannelCutRule(1, 1),)),
        FeatureMap("far", _wide(16), Join.CONCAT, axis=1, cut_rules=(ChannelCutRule(1, 1),)),
        FeatureMap("y", SHAPE, Join.SUM),
    )
    stubborn = Operation("Conv", groups=2)
    ends = [("member", "near"), ("hub", "near"), ("member", "far"), ("x", "far"), ("x", "y")]
    edges = (
        Edge("h", "x", "hub", _dense("h", 8), Skip(4)),
        Edge("m", "hub", "member", _dense("m", 8), Skip(4)),
        *(Edge(f"{source}->{target}", source, target, None, Skip(4)) for source, target in ends),
        Edge("n", "near", "y", stubborn, None, "no"),
        Edge("f", "far", "y", stubborn, None, "no"),
    )
    return Architecture(Topology(maps, edges, ("y",)), tuple(map(State, "OOSSSSSOO")))


def test_who_kills_a_concat_as_a_whole_need_not_care_for_its_members() -> None:
    """hub kills near as a whole; of far it kills a member only."""
    beta = _reaching()
    assert legal_transitions(beta)[0][State.N] == (
        "nothing else feeds 'hub', a member of the concat 'far', which cannot lose it: "
        "edge 'f' has no rule for fewer channels"
    )
    assert legal_transitions(_with(beta, f=State.N))[0] == {State.S: None, State.N: None}
    assert legal_transitions(_with(beta, f=State.N))[1][State.N] == (
        "nothing else feeds 'member', a member of the concat 'near', which cannot lose it: "
        "edge 'n' has no rule for fewer channels"
    )


def nested() -> Architecture:
    """x -a-> left; inner joins x and x along axis 2; joined joins left and inner along axis 1; joined -out-> y."""
    maps = (
        FeatureMap("x", SHAPE, Join.INPUT),
        FeatureMap("left", SHAPE, Join.SINGLE),
        FeatureMap("inner", (*SHAPE[:2], 2 * 16, 16), Join.CONCAT, axis=2, cut_rules=(ChannelCutRule(2, 2),)),
        FeatureMap("tall", SHAPE, Join.SINGLE, cut_rules=(ChannelCutRule(2, 2),)),
        FeatureMap("joined", _wide(16), Join.CONCAT, axis=1, cut_rules=(ChannelCutRule(1, 1),)),
        FeatureMap("y", SHAPE, Join.SINGLE),
    )
    absorbs = Operation("MaxPool", cut_rules=(ChannelCutRule(2, None),))
    edges = (
        Edge("a", "x", "left", _dense("a", 8), Skip(4)),
        Edge("x->inner", "x", "inner", None, Skip(4)),
        Edge("x->inner#2", "x", "inner", None, Skip(4)),
        Edge("pool", "inner", "tall", absorbs, None, "no"),
        Edge("left->joined", "left", "joined", None, Skip(4)),
        Edge("inner->joined", "inner", "joined", None, Skip(4)),
        Edge("out", "joined", "y", _dense("out", 16), None, "16 channels cannot become fewer (8) without parameters"),
    )
    return Architecture(Topology(maps, edges, ("y", "tall")), tuple(map(State, "OSSOSSO")))


def test_a_member_that_is_shorter_along_another_axis_may_not_come_back() -> None:
    """inner leaves joined; so it may lose a member of its own, which its pool absorbs; so it may not come back."""
    beta = nested()
    names = beta.topology.edge_index
    moment = naive.change(beta, names["inner->joined"], State.N)
    assert legal_transitions(moment, find_liveness(beta))[names["x->inner"]][State.N] is None
    moment = naive.change(moment, names["x->inner"], State.N)
    assert violation(moment, beta) is None
    assert violation(naive.change(moment, names["inner->joined"], State.S), beta) is not None
    assert legal_transitions(moment, find_liveness(beta))[names["inner->joined"]][State.S] is not None


def _unknown(size: int | str | None) -> Architecture:
    return _with_map(fork(), "right", shape=(SHAPE[0], size, *SHAPE[2:]))


@pytest.mark.parametrize("size", [None, "channels"])
@pytest.mark.parametrize("edge", ["right_joined", "b"])
def test_a_member_of_unknown_size_may_not_go(size: int | str | None, edge: str) -> None:
    """What single transitions allow, the joint check must allow."""
    beta = _unknown(size)
    alpha = _with(beta, **{edge: State.N})
    verdict = legal_transitions(beta)[1 if edge == "b" else 3][State.N]
    assert violation(alpha, beta) is not None
    assert verdict is not None


@pytest.mark.parametrize("edge", ["left_joined", "a"])
def test_a_member_beside_one_of_unknown_size_may_not_go(edge: str) -> None:
    """Nobody knows how many channels are behind those that go, so which entries of a weight belong to them."""
    beta = _unknown(None)
    assert violation(_with(beta, **{edge: State.N}), beta) is not None
