"""Which edges the user lets change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from natonnx.architecture import Edge, Edit, State, TransitionError, apply_edits, legal_transitions, violation
from natonnx.errors import InputError
from natonnx.frontend import Network, parse
from natonnx.rewrite import build
from natonnx.supernet import Supernet
from tests.frontend.test_concat import inception, parts
from tests.frontend.test_cut_rules import capturing
from tests.frontend.test_granularity import attention, residual
from tests.rewrite.helpers import Builder, assert_close, images, runtime
from tools.conformance.wild.alphas import random_alpha

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx


def fixed(network: Network, *, shortcuts: bool = False) -> set[str]:
    """Names of the edges that the selection keeps as they are, those that do not exist yet left out."""
    pairs = zip(network.architecture.topology.edges, network.architecture.states, strict=True)
    return {edge.name for edge, state in pairs if edge.fixed and (state == State.N) == shortcuts}


def free(network: Network) -> set[str]:
    pairs = zip(network.architecture.topology.edges, network.architecture.states, strict=True)
    return {edge.name for edge, state in pairs if not edge.fixed and state != State.N}


def edge(network: Network, name: str) -> Edge:
    return network.architecture.topology.edges[network.architecture.topology.edge_index[name]]


ALL = {"A1", "A4", "x->o1", "B1", "B3", "DOWN", "Y"}
"""The edges of `residual`."""


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        pytest.param([], ALL, id="nothing means everything"),
        pytest.param(["*"], ALL, id="everything"),
        pytest.param(["A1"], {"A1"}, id="one node"),
        pytest.param(["A*"], {"A1", "A4"}, id="some nodes"),
        pytest.param(["A*", "Y"], {"A1", "A4", "Y"}, id="two patterns"),
        pytest.param(["A2"], {"A1"}, id="a normalisation stands for its convolution"),
        pytest.param(["S1"], {"A4", "x->o1"}, id="a sum stands for what enters it"),
        pytest.param(["x->o1"], {"x->o1"}, id="a skip by its own name"),
        pytest.param(["[AB]1"], {"A1", "B1"}, id="a set of letters"),
    ],
)
def test_include(include: list[str], expected: set[str]) -> None:
    assert free(parse(residual(), include=include)) == expected


@pytest.mark.parametrize(
    ("exclude", "expected"),
    [
        pytest.param([], set(), id="nothing"),
        pytest.param(["*"], ALL, id="everything"),
        pytest.param(["A?"], {"A1", "A4"}, id="some nodes"),
        pytest.param(["A5", "DOWN"], {"A4", "DOWN"}, id="two patterns"),
        pytest.param(["S1"], {"A4", "x->o1"}, id="a sum"),
    ],
)
def test_exclude(exclude: list[str], expected: set[str]) -> None:
    assert fixed(parse(residual(), exclude=exclude)) == expected


def test_what_is_excluded_stays_in_use() -> None:
    """Its neighbours may not go in such a way that it would be dead, or that nothing would read it."""
    free, bound = (parse(residual(), exclude=exclude).architecture for exclude in ([], ["A1"]))
    assert violation(apply_edits(free, [Edit("A4", State.O, State.N)]), free) is None
    with pytest.raises(TransitionError, match="edge 'A1' would carry nothing any more, and --exclude 'A1' keeps it"):
        apply_edits(bound, [Edit("A4", State.O, State.N)])
    verdict = legal_transitions(bound)[bound.topology.edge_index["A4"]]
    reason = "nothing else leads on from edge 'A1', and --exclude 'A1' keeps it as it is"
    assert verdict == {State.S: None, State.N: reason}


def test_exclude_wins_over_include() -> None:
    network = parse(residual(), include=["A*"], exclude=["A1"])
    assert free(network) == {"A4"}
    assert edge(network, "A1").fixed == "--exclude 'A1' keeps it as it is"
    assert edge(network, "B1").fixed == "--include does not name it"


@pytest.mark.parametrize(
    ("freeze", "expected"),
    [
        pytest.param("A1", {"A1"}, id="the first convolution"),
        pytest.param("A4", {"A1", "A4"}, id="and the next"),
        pytest.param("S1", {"A1", "A4", "x->o1"}, id="a sum, with all that enters it"),
        pytest.param("B3", {"A1", "A4", "x->o1", "B1", "B3"}, id="a branch, with what is before it"),
        pytest.param("Y", ALL, id="everything"),
    ],
)
def test_freeze_outputs_of(freeze: str, expected: set[str]) -> None:
    network = parse(residual(), freeze_outputs_of=[freeze])
    assert fixed(network) == expected
    assert all(edge(network, name).fixed == "--freeze-outputs-of keeps what it leads to as it is" for name in expected)


def test_shortcuts_are_meant_by_the_map_that_they_enter() -> None:
    network = parse(residual(), exclude=["B1"])
    assert fixed(network, shortcuts=True) == {edge.name for edge in _shortcuts(network) if edge.target == "b2"}
    network = parse(residual(), include=["Y"])
    assert not {edge.name for edge in _shortcuts(network) if edge.target != "y"} - fixed(network, shortcuts=True)
    network = parse(residual(), freeze_outputs_of=["S1"])
    assert fixed(network, shortcuts=True) == {one.name for one in _shortcuts(network) if one.target in ("a3", "o1")}


def _shortcuts(network: Network) -> list[Edge]:
    pairs = zip(network.architecture.topology.edges, network.architecture.states, strict=True)
    return [edge for edge, state in pairs if state == State.N]


def test_a_pattern_means_a_whole_branch() -> None:
    network = parse(attention(), granularity="branch", exclude=["P"])
    assert fixed(network) == {"Q..ATTENDED"}
    network = parse(attention(), granularity="branch", include=["Q..*"])
    assert free(network) == {"Q..ATTENDED"}


@pytest.mark.parametrize("option", ["include", "exclude", "freeze_outputs_of"])
def test_a_pattern_that_matches_nothing_is_an_error(option: str) -> None:
    flag = "--" + option.replace("_", "-")
    message = rf"^{flag} conv\*: matches no node of the model, whose names are such as .+"
    with pytest.raises(InputError, match=message):
        parse(residual(), **{option: ["A*", "conv*"]})  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["include", "exclude"])
def test_a_pattern_that_means_no_edge_is_an_error(option: str) -> None:
    """The node exists, but no edge has it: --exclude would exclude nothing."""
    graph = Builder(size=4)
    graph.op("Softmax", graph.conv("x", "a"), out="soft")
    graph.op("Softmax", "soft", out="y")
    message = rf"^--{option} Y: matches no edge; natonnx inspect lists their names$"
    with pytest.raises(InputError, match=message):
        parse(graph.model("y"), **{option: ["Y"]})  # type: ignore[arg-type]


def test_patterns_tell_capitals_from_small_letters() -> None:
    with pytest.raises(InputError, match="--include a1: matches no node"):
        parse(residual(), include=["a1"])


@pytest.mark.parametrize("option", ["include", "exclude", "freeze_outputs_of"])
def test_an_edge_that_is_fixed_may_not_change(option: str) -> None:
    network = parse(residual(), **{option: ["A1"]})  # type: ignore[arg-type]
    beta = network.architecture
    for i, verdict in enumerate(legal_transitions(beta)):
        own = beta.topology.edges[i]
        for after, reason in verdict.items():
            if own.fixed:
                assert reason == own.fixed
                if after != State.S or own.skip is not None:
                    alpha = beta.with_states((*beta.states[:i], after, *beta.states[i + 1 :]))
                    assert violation(alpha, beta) == f"edge {own.name!r} may not change: {own.fixed}"


# Frozen outputs


def preactivated() -> onnx.ModelProto:
    """Two convolutions share a pre-activation; both go into a concat."""
    graph = Builder(size=4)
    graph.op("Relu", graph.batchnorm(graph.conv("x", "stem", 4), "n"), out="r")
    graph.conv("r", "a", 3)
    graph.conv("r", "b", 3)
    graph.op("Add", "stem", "x", out="other")
    graph.op("Concat", "a", "b", "other", out="c", axis=1)
    graph.channels["c"] = 10
    graph.conv("c", "y", 3)
    return graph.model("y")


FROZEN: list[tuple[Callable[[], onnx.ModelProto], str, str]] = [
    (residual, "A4", "a4"),
    (residual, "S1", "s1"),
    (residual, "B1", "b1"),
    (lambda: inception().model("y"), "RBB1", "rbb1"),
    (lambda: inception().model("y"), "CAT1", "cat1"),
    (lambda: inception().model("y"), "P2", "p2"),
    (attention, "N2", "n2"),
    (attention, "QK", "qk"),
    (preactivated, "N", "n"),
    (preactivated, "A", "a"),
]
every_frozen = pytest.mark.parametrize(("make", "node", "tensor"), FROZEN, ids=[node for _, node, _ in FROZEN])
every_granularity = pytest.mark.parametrize("granularity", ["layer", "branch"])


@every_granularity
@every_frozen
def test_what_is_frozen_is_computed_as_before(
    make: Callable[[], onnx.ModelProto], node: str, tensor: str, granularity: str
) -> None:
    model, x = make(), {"x": images(2, 4, 4)}
    network = parse(model, freeze_outputs_of=[node], granularity=granularity)
    expected = runtime(capturing(model, tensor), x)[tensor]
    beta = network.architecture
    alphas = [random_alpha(beta, seed, rate=0.5) for seed in range(3)]
    for i, verdict in enumerate(legal_transitions(beta)):
        alphas += [
            beta.with_states((*beta.states[:i], after, *beta.states[i + 1 :]))
            for after, reason in verdict.items()
            if reason is None
        ]
    for alpha in alphas:
        result = build(network, alpha)
        if any(tensor in made.output for made in result.graph.node):  # or else nothing reads it any more
            assert_close(runtime(capturing(result, tensor), x)[tensor], expected)


@every_granularity
@every_frozen
def test_frozen_weights_are_not_trained(
    make: Callable[[], onnx.ModelProto], node: str, tensor: str, granularity: str
) -> None:
    """One step of training at all that can be trained leaves the tensor as it is, statistics included."""
    network = parse(make(), freeze_outputs_of=[node], granularity=granularity)
    supernet = Supernet(network)
    x = torch.from_numpy(images(2, 4, 4))
    with torch.inference_mode():
        before = supernet.eval().run({"x": x}, capture=[tensor])[tensor]
    supernet.train()
    supernet.run({"x": x})["y"].square().sum().backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(1)
        after = supernet.eval().run({"x": x}, capture=[tensor])[tensor]
    torch.testing.assert_close(after, before)


def test_weights_behind_what_is_frozen_are_trained() -> None:
    supernet = Supernet(parse(residual(), freeze_outputs_of=["S1"]))
    assert {name.replace("%2E", ".") for name, _ in supernet.named_parameters()} == {"b1.w", "b3.w", "down.w", "y.w"}


def test_a_fixed_edge_is_trained_all_the_same() -> None:
    """--exclude keeps an operation, not its weights."""
    assert len(list(Supernet(parse(residual(), exclude=["*"])).parameters())) == len(
        list(Supernet(parse(residual())).parameters())
    )


@pytest.mark.parametrize("options", [{"include": ["B*"]}, {"exclude": ["A*"]}, {"freeze_outputs_of": ["S1"]}])
def test_selected_networks_give_right_models(options: dict[str, Sequence[str]]) -> None:
    network = parse(residual(), **options)  # type: ignore[arg-type]
    alpha = random_alpha(network.architecture, 0, rate=0.5)
    assert alpha != network.architecture
    changed = zip(network.architecture.topology.edges, network.architecture.states, alpha.states, strict=True)
    assert not any(own.fixed for own, before, after in changed if before != after)
    model = parts(alpha, network)
    assert np.isfinite(runtime(model, {"x": images(2, 4, 4)})["y"]).all()
