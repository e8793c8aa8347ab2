"""What a topology and an architecture refuse to be."""

import pytest

from natonnx.architecture import LETTERS, Architecture, Edge, FeatureMap, Join, Skip, State, Topology
from tests.architecture.examples import SHAPE, chain, conv

X, Y = FeatureMap("x", SHAPE, Join.INPUT), FeatureMap("y", SHAPE, Join.SINGLE)
EDGE = Edge("conv", "x", "y", conv("conv"), Skip(4))


def test_map_names_are_unique() -> None:
    with pytest.raises(ValueError, match=r"^names of feature maps and of edges must be unique$"):
        Topology((X, X), (), ("x",))


def test_edge_names_are_unique() -> None:
    with pytest.raises(ValueError, match=r"^names of feature maps and of edges must be unique$"):
        Topology((X, Y), (EDGE, EDGE), ("y",))


@pytest.mark.parametrize(("source", "target"), [("y", "x"), ("x", "x"), ("ghost", "y"), ("x", "ghost")])
def test_edges_run_forwards_between_known_maps(source: str, target: str) -> None:
    message = f"^'{source}' -> '{target}' does not run forwards between known feature maps$"
    with pytest.raises(ValueError, match=message):
        Topology((X, Y), (Edge("e", source, target, None, Skip(4)),), ("y",))


@pytest.mark.parametrize("source", ["y", "later", "ghost"])
def test_fixed_inputs_run_forwards_between_known_maps(source: str) -> None:
    maps = (X, FeatureMap("y", SHAPE, Join.OPAQUE, (source,)), FeatureMap("later", SHAPE, Join.SINGLE))
    with pytest.raises(ValueError, match=f"^'{source}' -> 'y' does not run forwards"):
        Topology(maps, (), ("y",))


def test_parallel_edges_are_allowed() -> None:
    topology = Topology((X, Y), (EDGE, Edge("x->y", "x", "y", None, Skip(4))), ("y",))
    assert topology.incoming == ((), (0, 1))


@pytest.mark.parametrize("states", [(), (State.O, State.O)])
def test_every_edge_has_one_state(states: tuple[State, ...]) -> None:
    with pytest.raises(ValueError, match=rf"^{len(states)} states for 1 edges$"):
        Architecture(Topology((X, Y), (EDGE,), ("y",)), states)


def test_no_operation_no_o() -> None:
    with pytest.raises(ValueError, match=r"^edge 'x->y' has no operation to carry$"):
        Architecture(Topology((X, Y), (Edge("x->y", "x", "y", None, Skip(4)),), ("y",)), (State.O,))


def test_no_skip_no_s() -> None:
    edge = Edge("conv", "x", "y", conv("conv"), None, "8 channels cannot become 4")
    with pytest.raises(ValueError, match=r"^edge 'conv' has no skip to carry: 8 channels cannot become 4$"):
        Architecture(Topology((X, Y), (edge,), ("y",)), (State.S,))


def test_with_states_checks_too() -> None:
    with pytest.raises(ValueError, match="2 states for 3 edges"):
        chain(3).with_states((State.O, State.O))


def test_state_by_name() -> None:
    assert chain(2).with_states((State.O, State.S)).state("conv2") == State.S


def test_states_are_written_as_letters() -> None:
    assert "".join(LETTERS) == "OSN"
