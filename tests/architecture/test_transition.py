"""Which transitions are legal, why the others are not, and edit lists."""

import re
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from natonnx.architecture import (
    LETTERS,
    Architecture,
    Edge,
    Edit,
    FeatureMap,
    Join,
    Operation,
    Skip,
    State,
    Topology,
    TransitionError,
    apply_edits,
    cost,
    edits_between,
    find_liveness,
    legal_transitions,
    transition_mask,
    violation,
    without_idle_edits,
)
from natonnx.errors import InputError
from tests.architecture import naive
from tests.architecture.examples import SHAPE, chain, conv, residual_network
from tests.architecture.strategies import Pair, legal_architectures, property_test, transformations


def test_the_papers_four_transitions() -> None:
    allowed = {before + after for before, options in chain(1).topology.edges[0].successors.items() for after in options}
    assert allowed == {"OS", "ON", "SN", "NS"}


# Single transitions


@property_test
@given(legal_architectures(known=False) | legal_architectures(known=False, cheaper=True))
def test_single_verdicts_equal_the_naive_rules(beta: Architecture) -> None:
    for edge, (before, verdict) in enumerate(zip(beta.states, legal_transitions(beta), strict=True)):
        options = naive.transitions(beta.topology.edges[edge], before)
        expected = {after: naive.single_is_legal(beta, edge, after) for after in options}
        assert {after: reason is None for after, reason in verdict.items()} == expected


@settings(property_test, max_examples=100)
@given(legal_architectures(known=False) | legal_architectures(known=False, cheaper=True))
def test_a_legal_single_transition_is_legal_as_a_whole(beta: Architecture) -> None:
    for edge, verdict in enumerate(legal_transitions(beta)):
        for after, reason in verdict.items():
            assert reason is not None or naive.illegal(naive.change(beta, edge, after), beta) is None


@property_test
@given(legal_architectures())
def test_an_illegal_removal_breaks_the_architecture(beta: Architecture) -> None:
    for edge, verdict in enumerate(legal_transitions(beta)):
        if verdict.get(State.N) is not None:
            assert naive.illegal(naive.change(beta, edge, State.N), beta) in {"broken", "transition"}


@property_test
@given(legal_architectures())
def test_every_refusal_has_a_reason_of_one_line(beta: Architecture) -> None:
    for verdict in legal_transitions(beta):
        for reason in verdict.values():
            assert reason is None or (reason.strip() == reason != "" and "\n" not in reason)


@property_test
@given(legal_architectures() | legal_architectures(cheaper=True))
def test_the_mask_holds_staying_and_what_is_legal(beta: Architecture) -> None:
    mask, edges = transition_mask(beta), beta.topology.edges
    assert mask.shape == (len(beta.states), 3 + max((len(edge.cheaper) for edge in edges), default=0))
    for row, edge, current, verdict in zip(mask, edges, beta.states, legal_transitions(beta), strict=True):
        open_to = {after for after, reason in verdict.items() if reason is None}
        states = [*LETTERS, *(choice.state for choice in edge.cheaper)]
        assert {state for state, free in zip(states, row, strict=False) if free} == {current} | open_to
        assert not row[len(states) :].any()


def test_the_only_input_of_an_output_may_not_go() -> None:
    assert legal_transitions(chain(1)) == (
        {State.S: None, State.N: "nothing else feeds 'map1', which the model's output depends on"},
    )


def test_a_missing_skip_is_refused_with_its_reason() -> None:
    maps = (FeatureMap("x", SHAPE, Join.INPUT), FeatureMap("y", SHAPE, Join.SUM))
    edges = (
        Edge("conv", "x", "y", conv("conv"), None, "8 channels cannot become fewer (4) without parameters"),
        Edge("x->y", "x", "y", None, Skip(4)),
    )
    verdict, _ = legal_transitions(Architecture(Topology(maps, edges, ("y",)), (State.O, State.S)))
    assert verdict == {State.S: "8 channels cannot become fewer (4) without parameters", State.N: None}


@pytest.mark.parametrize(
    ("states", "edge"),
    [
        pytest.param("NOSOOSN", "a1", id="into a dead map, which would revive b1"),
        pytest.param("ONSOOSN", "b1", id="out of a map that nobody reads, which would revive a1"),
        pytest.param("NOSOOSN", "a1", id="into a dead map"),
    ],
)
def test_nothing_that_null_removed_is_revived(states: str, edge: str) -> None:
    beta = residual_network(2).with_states(tuple(map(State, states)))
    verdict = legal_transitions(beta)[beta.topology.edge_index[edge]]
    assert verdict == {State.S: "it would revive a feature map that null has removed"}


def test_a_shortcut_may_enter_a_map_that_nobody_reads_yet() -> None:
    """By itself it carries nothing; a second one may read on."""
    beta = residual_network(2).with_states(tuple(map(State, "NNSOOSN")))
    assert legal_transitions(beta)[0] == {State.S: None}
    alpha = beta.with_states((State.S, *beta.states[1:]))
    assert cost(alpha) == cost(beta)
    assert legal_transitions(alpha)[1] == {State.S: None}


def test_an_idle_operation_may_become_a_skip_that_a_shortcut_then_uses() -> None:
    beta = _with_idle_input(conv("m"))
    assert legal_transitions(beta)[1] == {State.S: None, State.N: None}
    assert violation(beta.with_states((State.O, State.O, State.S)), beta) is not None
    assert violation(beta.with_states((State.O, State.S, State.S)), beta) is None


def test_edits_without_effect_are_undone() -> None:
    beta = _with_idle_input(conv("m"))
    idle = beta.with_states((State.O, State.S, State.N))
    assert without_idle_edits(idle, beta) == beta
    used = beta.with_states((State.O, State.S, State.S))
    assert without_idle_edits(used, beta) == used


@property_test
@given(transformations())
def test_undoing_edits_without_effect_equals_the_naive_rule(pair: Pair) -> None:
    beta, alpha = pair
    plain = without_idle_edits(alpha, beta)
    assert plain == naive.without_idle_edits(alpha, beta)
    assert naive.active(plain) == naive.active(alpha)


def test_a_shortcut_from_a_dead_map_is_refused() -> None:
    beta = residual_network(2).with_states(tuple(map(State, "NNSOOSN")))
    assert legal_transitions(beta)[1] == {State.S: "'mid1' has nothing to give, for null has removed it"}


def _with_idle_input(operation: Operation | None) -> Architecture:
    """x -conv-> y, and a second input z whose map m, made by an operation or a skip, nobody reads."""
    maps = (
        FeatureMap("x", SHAPE, Join.INPUT),
        FeatureMap("z", SHAPE, Join.INPUT),
        FeatureMap("m", SHAPE, Join.SINGLE),
        FeatureMap("y", SHAPE, Join.SUM),
    )
    edges = (
        Edge("conv", "x", "y", conv("conv"), Skip(4)),
        Edge("z->m", "z", "m", operation, Skip(4)),
        Edge("m->y", "m", "y", None, Skip(4)),
    )
    states = (State.O, State.O if operation else State.S, State.N)
    return Architecture(Topology(maps, edges, ("y",)), states)


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        pytest.param(None, None, id="skip"),
        pytest.param(Operation("MaxPool", (3, 3), (1, 1)), None, id="pooling"),
        pytest.param(conv("m"), "it would revive a feature map that null has removed", id="convolution"),
        pytest.param(
            Operation("Einsum", madds=None), "it would revive a feature map that null has removed", id="unknown cost"
        ),
    ],
)
def test_a_map_that_nobody_reads_may_be_read_if_it_comes_for_nothing(
    operation: Operation | None, reason: str | None
) -> None:
    beta = _with_idle_input(operation)
    assert legal_transitions(beta)[2] == {State.S: reason}
    alpha = beta.with_states((*beta.states[:2], State.S))
    assert (violation(alpha, beta) is None) == (reason is None)


def test_a_new_shortcut_between_used_maps_is_legal() -> None:
    beta = residual_network(2)
    assert legal_transitions(beta)[beta.topology.edge_index["out0->out2"]] == {State.S: None}


def test_a_map_that_only_this_transformation_emptied_may_be_fed_again() -> None:
    """The walk of a policy may null a1 and then feed mid1 anew: what is judged is β's life, not the moment's."""
    beta = residual_network(1)
    moment = beta.with_states((State.N, State.O, State.S))
    assert legal_transitions(moment)[0][State.S] is not None
    assert legal_transitions(moment, find_liveness(beta))[0][State.S] is None


def test_a_chain_of_5000_maps() -> None:
    beta = chain(5000)
    verdicts = legal_transitions(beta)
    assert all(verdict[State.S] is None and verdict[State.N] is not None for verdict in verdicts)
    assert cost(beta).madds == 500_000


# The whole


@property_test
@given(transformations(known=False) | transformations(known=False, cheaper=True))
def test_the_joint_check_equals_the_naive_rules(pair: Pair) -> None:
    beta, alpha = pair
    assert (violation(alpha, beta) is None) == (naive.illegal(alpha, beta) is None)


@property_test
@given(st.one_of(transformations(), transformations(existing=False)))
def test_the_joint_check_names_the_rule(pair: Pair) -> None:
    beta, alpha = pair
    words = {
        "transition": r"edge 'edge\d+' cannot go from ([ON] to [OS]|S to O)"
        r"|edge 'edge\d+' may not change: it carries nothing that an output depends on",
        "broken": r"the model's output 'map\d+' would no longer depend on its input"
        r"|the fixed node that makes 'map\d+' would lose an input",
        "cost": r"it would cost more: an added skip revives operations that null had removed",
        None: "None",
    }
    assert re.fullmatch(words[naive.illegal(alpha, beta)], str(violation(alpha, beta)))


@property_test
@given(legal_architectures())
def test_beta_itself_is_legal(beta: Architecture) -> None:
    assert violation(beta, beta) is None


def test_two_legal_transitions_can_be_illegal_together() -> None:
    beta = residual_network(1)
    branch, skip = beta.with_states((State.O, State.N, State.S)), beta.with_states((State.O, State.O, State.N))
    both = beta.with_states((State.O, State.N, State.N))
    assert (violation(branch, beta), violation(skip, beta)) == (None, None)
    assert violation(both, beta) == "the model's output 'out1' would no longer depend on its input"


def test_null_may_move_from_one_edge_to_another_at_once() -> None:
    """out2 loses all its inputs and gets a shortcut instead: legal in any order, since only the whole is judged."""
    beta = residual_network(2)
    edits = [
        Edit("b2", State.O, State.N),
        Edit("out1->out2", State.S, State.N),
        Edit("out0->out2", State.N, State.S),
    ]
    assert cost(apply_edits(beta, edits)).madds == 0


def test_an_unknown_count_that_disappears_is_no_growth() -> None:
    """A layer of unknown size is removed: what remains is known, and not more than what was."""
    beta = chain(2)
    edges = (Edge("conv1", "map0", "map1", conv("conv1", None), Skip(4)), beta.topology.edges[1])
    beta = Architecture(Topology(beta.topology.maps, edges, beta.topology.outputs), beta.states)
    assert violation(beta.with_states((State.S, State.O)), beta) is None


# Edit lists


@property_test
@given(transformations(), st.randoms())
def test_edits_round_trip_in_any_order(pair: Pair, order: Random) -> None:
    beta, alpha = pair
    assume(naive.illegal(alpha, beta) is None)
    edits = list(edits_between(beta, alpha))
    order.shuffle(edits)
    assert apply_edits(beta, edits) == alpha


@property_test
@given(transformations(existing=False))
def test_edits_are_the_edges_that_differ(pair: Pair) -> None:
    beta, alpha = pair
    expected = {
        (edge.name, before, after)
        for edge, before, after in zip(beta.topology.edges, beta.states, alpha.states, strict=True)
        if before != after
    }
    assert set(edits_between(beta, alpha)) == expected


@property_test
@given(transformations())
def test_edits_that_are_illegal_together_are_refused(pair: Pair) -> None:
    beta, alpha = pair
    assume(naive.illegal(alpha, beta))
    with pytest.raises(TransitionError, match=r"^these edits are illegal together: ."):
        apply_edits(beta, edits_between(beta, alpha))


def test_no_edits_change_nothing() -> None:
    assert apply_edits(chain(2), []) == chain(2)


def test_edits_may_come_from_an_iterator() -> None:
    assert apply_edits(chain(2), iter([Edit("conv1", State.O, State.S)])).state("conv1") == State.S


def test_beta_is_left_alone() -> None:
    beta = chain(2)
    apply_edits(beta, [Edit("conv1", State.O, State.S)])
    assert beta == chain(2)


O, S, N = LETTERS  # noqa: E741


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        pytest.param(
            [Edit("a11", O, S)],
            r"edit of edge 'a11': the model has no such edge \(did you mean 'a1'\?\); natonnx inspect lists them",
            id="misspelt",
        ),
        pytest.param(
            [Edit("€", O, S)],
            r"edit of edge '€': the model has no such edge; natonnx inspect lists them",
            id="nothing like it",
        ),
        pytest.param(
            [Edit("a1", O, S), Edit("b1", O, S), Edit("a1", O, S)],
            r"edit of edge 'a1': it is listed twice; list each edge once",
            id="twice",
        ),
        pytest.param(
            [Edit("a1", O, S), Edit("a1", S, N)],
            r"edit of edge 'a1': it is listed twice; list each edge once",
            id="in two steps",
        ),
        pytest.param([Edit("a1", N, S)], r"edit of edge 'a1': it is O, not N, in this model", id="wrong state"),
        pytest.param(
            [Edit("out0->out1", S, O)],
            r"edit of edge 'out0->out1': S->O does not exist; allowed: S->N",
            id="a skip cannot become an operation",
        ),
        pytest.param(
            [Edit("out0->out2", N, O)],
            r"edit of edge 'out0->out2': N->O does not exist; allowed: N->S",
            id="nothing cannot become an operation",
        ),
        pytest.param(
            [Edit("a1", O, O)],
            r"edit of edge 'a1': O->O does not exist; allowed: O->S or O->N",
            id="no change",
        ),
        pytest.param(
            [Edit("narrow", O, S)],
            r"edit of edge 'narrow': no skip, 8 channels cannot become fewer \(4\) without parameters",
            id="no skip",
        ),
        pytest.param(
            [Edit("narrow", O, N)],
            r"these edits are illegal together: the model's output 'y' would no longer depend on its input",
            id="output lost",
        ),
    ],
)
def test_what_is_wrong_with_an_edit_list_is_said(edits: list[Edit], message: str) -> None:
    inner = residual_network(2)
    maps = (*inner.topology.maps, FeatureMap("y", ("batch", 4, 16, 16), Join.SINGLE))
    reason = "8 channels cannot become fewer (4) without parameters"
    edges = (*inner.topology.edges, Edge("narrow", "out2", "y", conv("narrow"), None, reason))
    beta = Architecture(Topology(maps, edges, ("y",)), (*inner.states, O))
    with pytest.raises(TransitionError, match=f"^{message}$"):
        apply_edits(beta, edits)


def test_an_edit_that_revives_what_null_removed_is_refused() -> None:
    beta = residual_network(2).with_states((O, N, S, O, O, S, N))
    message = "^these edits are illegal together: it would cost more: an added skip revives operations that null had"
    with pytest.raises(TransitionError, match=message):
        apply_edits(beta, [Edit("b1", N, S)])


def test_a_bad_edit_list_is_the_users_to_mend() -> None:
    assert issubclass(TransitionError, InputError)
    assert TransitionError.exit_code == 2
