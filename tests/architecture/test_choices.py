"""What an edge may carry besides the paper's three states."""

import copy
import pickle

import pytest

from natonnx.architecture import (
    LETTERS,
    Architecture,
    Choice,
    Edge,
    Edit,
    FeatureMap,
    Join,
    Operation,
    Skip,
    State,
    Topology,
    TransitionError,
    Weight,
    activity,
    apply_edits,
    cost,
    legal_transitions,
    transition_mask,
    workloads,
)
from tests.architecture.examples import SHAPE, chain, conv

SMALL, POOL = State("conv_1x1"), State("avg_pool_3x3")


def with_choices(*, shared: bool = False) -> Architecture:
    """x -conv-> y -conv-> z; the first may become a small convolution or a pooling, and the small one a pooling."""
    weight = Weight("second.weight" if shared else "first.weight", 10)
    own = Operation("Conv", (3, 3), (1, 1), 1, (weight,), 100)
    small = Operation("Conv", (1, 1), (1, 1), 1, (Weight("small.weight", 4),), 40)
    pool = Operation("AveragePool", (3, 3), (1, 1))
    cheaper = (Choice(SMALL, small, (State.S, State.N, POOL)), Choice(POOL, pool, (State.S, State.N)))
    edges = (
        Edge("first", "x", "y", own, Skip(4), cheaper=cheaper),
        Edge("second", "y", "z", conv("second"), Skip(4)),
    )
    maps = (FeatureMap("x", SHAPE, Join.INPUT), *(FeatureMap(name, SHAPE, Join.SINGLE) for name in "yz"))
    return Architecture(Topology(maps, edges, ("z",)), (State.O, State.O))


def test_a_state_is_text_and_keeps_what_it_is() -> None:
    for state in (*LETTERS, SMALL):
        for one in (state, State(str(state)), pickle.loads(pickle.dumps(state)), copy.deepcopy(state)):  # noqa: S301
            assert one == state == state.value
            assert type(one.value) is str
            assert type(one) is State
            assert one.is_operation == (state not in ("S", "N"))
    assert {SMALL: 1}[State("conv_1x1")] == 1


def test_the_papers_states_come_first() -> None:
    edge, plain = with_choices().topology.edges
    assert [choice.state for choice in plain.choices] == ["O", "S", "N"]
    assert [choice.state for choice in edge.choices] == ["O", "S", "N", "conv_1x1", "avg_pool_3x3"]
    assert list(edge.columns.values()) == [0, 1, 2, 3, 4]
    assert edge.successors == {
        "O": ("S", "N", SMALL, POOL),
        "S": ("N",),
        "N": ("S",),
        SMALL: ("S", "N", POOL),
        POOL: ("S", "N"),
    }


def test_what_each_state_costs_and_may_become() -> None:
    beta = with_choices()
    assert [tuple(cost(beta.with_states((state, State.O)))) for state in (State.O, SMALL, POOL, State.S)] == [
        (20, 200),
        (14, 140),
        (10, 100),
        (10, 100),
    ]
    mask = transition_mask(beta)
    assert mask.tolist() == [[True, True, False, True, True], [True, True, False, False, False]]
    assert transition_mask(beta.with_states((POOL, State.O)))[0].tolist() == [False, True, False, False, True]
    assert transition_mask(beta.with_states((State.S, State.O)))[0].tolist() == [False, True, False, False, False]


def test_an_exchange_that_costs_more_is_refused() -> None:
    """What it takes itself is stored besides the weight that the other edge still needs."""
    verdict, _ = legal_transitions(with_choices(shared=True))
    assert "it would cost more" in str(verdict[SMALL])
    assert verdict[POOL] is None


def test_edits_name_what_an_edge_becomes() -> None:
    beta = with_choices()
    assert apply_edits(beta, [Edit("first", State.O, SMALL)]).states == (SMALL, "O")
    small = apply_edits(beta, [Edit("first", State.O, SMALL)])
    assert apply_edits(small, [Edit("first", SMALL, POOL)]).states == (POOL, "O")
    with pytest.raises(TransitionError, match=r"O->conv_1x1 does not exist; allowed: O->S or O->N$"):
        apply_edits(beta, [Edit("second", State.O, SMALL)])
    with pytest.raises(TransitionError, match="avg_pool_3x3->conv_1x1 does not exist; allowed: avg_pool_3x3->S or"):
        apply_edits(beta.with_states((POOL, State.O)), [Edit("first", POOL, SMALL)])


def test_a_state_that_an_edge_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^edge 'second' has no state conv_1x1$"):
        with_choices().with_states((State.O, SMALL))


@pytest.mark.parametrize(
    ("cheaper", "message"),
    [
        ((Choice(State.S, conv("a"), ()),), "its states must be unique"),
        ((Choice(SMALL, conv("a"), ()), Choice(SMALL, conv("b"), ())), "its states must be unique"),
        ((Choice(SMALL, Skip(4), ()),), "conv_1x1 must be an operation of the maps that its own reads"),
        ((Choice(SMALL, Operation("Conv", inputs=("x",)), ()),), "conv_1x1 must be an operation of the maps"),
    ],
)
def test_what_is_no_choice_is_refused(cheaper: tuple[Choice, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^edge 'a': {message}"):
        Edge("a", "x", "y", conv("a"), Skip(4), cheaper=cheaper)
    with pytest.raises(ValueError, match=r"^edge 'a': "):
        Edge("a", "x", "y", None, Skip(4), cheaper=cheaper)


def test_work_is_told_by_operation() -> None:
    beta = with_choices()
    parts, plain = workloads(beta.topology), workloads(chain(2).topology)
    assert [part.kind for part in parts[: len(plain)]] == [part.kind for part in plain]
    assert [(part.kind, part.madds) for part in parts[len(plain) :]] == [("Conv", 40), ("AveragePool", 0)]
    assert activity(beta)[len(plain) :].tolist() == [0, 0]
    found = activity(beta.with_states((SMALL, State.O)))
    assert found[len(plain) :].tolist() == [1, 0]
    assert found[:2].tolist() == [0, 1]
    assert len(found) == len(parts)
