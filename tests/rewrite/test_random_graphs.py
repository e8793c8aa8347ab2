"""Random small networks and random legal α's of them: supernet, onnxruntime, a replay by values and cost agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from natonnx.architecture import Architecture, State, cost, find_liveness, legal_transitions, violation
from natonnx.frontend import Granularity, Transitions, lower, parse
from natonnx.rewrite import build
from natonnx.rewrite.replay import Replay
from natonnx.supernet import Supernet, fold, unfold
from tests.rewrite.helpers import Builder, assert_close, images, runtime
from tools.conformance.wild.alphas import random_alpha

if TYPE_CHECKING:
    from collections.abc import Callable

FEW, MANY = 60, 2000
ACTIVATIONS = ("Relu", "Sigmoid", "LeakyRelu", "HardSwish")


@st.composite
def models(draw: st.DrawFn) -> onnx.ModelProto:
    """Four to twelve nodes over images of 8, 4 or 2 a side, each reading any tensor before it; a head at times."""
    graph = Builder(opset=draw(st.sampled_from([14, 17])))
    sizes = {"x": 8}

    def put(kind: str, i: int) -> None:
        out, source = f"t{i}", draw(st.sampled_from(list(sizes)))
        stride = 1
        if kind == "conv":
            kernel, stride = draw(st.sampled_from([(1, 1), (3, 1), (3, 2), (1, 2)]))
            stride = stride if sizes[source] > 2 else 1
            shape = draw(st.sampled_from(["dense", "dense", "depthwise", "grouped"]))
            channels = graph.channels[source] if shape == "depthwise" else draw(st.sampled_from([4, 6]))
            group = {"dense": 1, "depthwise": channels, "grouped": 2 - graph.channels[source] % 2}[shape]
            graph.conv(source, out, channels, kernel=kernel, stride=stride, group=group, bias=draw(st.booleans()))
        elif kind == "norm":
            graph.batchnorm(source, out)
        elif kind in {"MaxPool", "AveragePool"}:
            stride = 2 if sizes[source] > 2 else 1
            graph.op(kind, source, out=out, kernel_shape=[stride] * 2, strides=[stride] * 2)
        elif kind in {"Add", "Sum"}:
            like = [t for t in sizes if (sizes[t], graph.channels[t]) == (sizes[source], graph.channels[source])]
            count = 2 if kind == "Add" else draw(st.integers(2, 3))
            graph.op(kind, source, *(draw(st.sampled_from(like)) for _ in range(count - 1)), out=out)
        elif kind == "Concat":
            like = [t for t in sizes if sizes[t] == sizes[source] and graph.channels[t] <= 12]
            members = [source, *(draw(st.sampled_from(like or [source])) for _ in range(draw(st.integers(1, 2))))]
            graph.op(kind, *members, out=out, axis=draw(st.sampled_from([1, -3])))
            graph.channels[out] = sum(graph.channels[member] for member in members)
        elif kind in {"scale", "PRelu"}:
            factors = graph.weight(f"{out}.f", graph.channels[source], 1, 1)
            graph.op("Mul" if kind == "scale" else kind, source, factors, out=out)
        elif kind == "gate":
            like = [t for t in sizes if (sizes[t], graph.channels[t]) == (sizes[source], graph.channels[source])]
            gate = draw(st.sampled_from(like))
            gate = graph.op("GlobalAveragePool", gate, out=f"{out}.p") if draw(st.booleans()) else gate
            graph.op("Mul", source, graph.op("Sigmoid", gate, out=f"{out}.g"), out=out)
        elif kind == "view":
            shape = graph.op("Shape", source, out=f"{out}.s")
            bounds = [graph.constant(f"{out}.{name}", np.array([value])) for name, value in [("from", 0), ("to", 2)]]
            leading = graph.op("Slice", shape, *bounds, out=f"{out}.l")
            places = graph.constant(f"{out}.hw", np.array([sizes[source]] * 2))
            graph.op("Reshape", source, graph.op("Concat", leading, places, out=f"{out}.t", axis=0), out=out)
            graph.channels[out] = graph.channels[source]
        elif kind == "shuffle":
            channels, side = graph.channels[source], sizes[source]
            groups = 2 - channels % 2
            parted = graph.constant(f"{out}.in", np.array([-1, groups, channels // groups, side, side]))
            graph.op("Reshape", source, parted, out=f"{out}.r")
            graph.op("Transpose", f"{out}.r", out=f"{out}.t", perm=[0, 2, 1, 3, 4])
            graph.op("Reshape", f"{out}.t", graph.constant(f"{out}.out", np.array([-1, channels, side, side])), out=out)
            graph.channels[out] = channels
        else:
            graph.op(kind, source, out=out)
        sizes[out] = sizes[source] // stride

    def put_head(source: str) -> str:
        """A classifier in one of the forms that exporters write."""
        channels, side = graph.channels[source], sizes[source]
        features, form = channels, draw(st.sampled_from(["flat", "pool", "mean", "reshape"]))
        if form == "flat":
            graph.op("Flatten", source, out="h")
            features *= side * side
        elif form == "pool":
            graph.op("Flatten", graph.op("GlobalAveragePool", source, out="pooled"), out="h")
        elif form == "reshape":
            target = graph.constant("target", np.array([draw(st.sampled_from([0, -1])), channels * side * side]))
            graph.op("Reshape", source, target, out="h")
            features *= side * side
        else:
            axes: dict[str, Any] = {"axes": [2, 3]} if graph.opset < 18 else {}
            graph.op("ReduceMean", source, out="h", keepdims=0, **axes)
        if draw(st.booleans()):
            return graph.op("MatMul", "h", graph.weight("head.w", features, 3), out="scores")
        weight, bias = graph.weight("head.w", 3, features), graph.weight("head.b", 3)
        return graph.op("Gemm", "h", weight, bias, out="scores", transB=1)

    kinds = ["conv"] * 5 + ["norm", "MaxPool", "AveragePool", "Identity", "Abs"] + ["Add"] * 3 + ["Sum", *ACTIVATIONS]
    kinds += ["Concat"] * 4 + ["scale", "PRelu", "gate", "view", "shuffle"]
    count = draw(st.integers(4, 12))
    for i in range(count):
        put(draw(st.sampled_from(kinds)), i)
    if draw(st.booleans()):
        return graph.model(put_head(draw(st.sampled_from([name for name in sizes if name != "x"]))))
    read = {name for node in graph.nodes for name in node.input}
    dangling = [name for name in sizes if name not in read]
    extra = draw(st.lists(st.sampled_from([name for name in sizes if name != "x"]), max_size=1))
    kept = draw(st.lists(st.sampled_from(dangling), min_size=1, unique=True))  # the others are dead code
    return graph.model(*dict.fromkeys([*kept, *extra]))


def check(
    model: onnx.ModelProto,
    seed: int,
    rate: float,
    granularity: Granularity = Granularity.LAYER,
    transitions: Transitions = Transitions.NAT,
) -> bool:
    """Check a random α; return whether channels were cut in it."""
    before = model.SerializeToString(deterministic=True)
    network = parse(model, granularity=granularity, transitions=transitions)
    beta = network.architecture
    for verdict in legal_transitions(beta):
        assert all(reason is None or reason.strip() for reason in verdict.values())
    alpha = random_alpha(beta, seed, rate)
    assert alpha == beta or violation(alpha, beta) is None
    supernet = Supernet(network)
    for architecture in (beta, alpha):
        result = build(network, architecture)
        replay = Replay(network, architecture)
        onnx.checker.check_model(result, full_check=True)
        shown = parse(result, granularity=granularity).architecture
        assert cost(shown) == cost(architecture)
        if granularity is Granularity.LAYER:  # branches regroup where a join has come or gone
            assert_states_are_shown(architecture, shown)
        for batch in (1, 3):
            x = {"x": images(batch, 4, 8)}
            expected = supernet.as_reference(architecture)(x)
            found = runtime(result, x)
            replayed = replay(x)
            assert found.keys() == expected.keys() == replayed.keys()
            for name, value in found.items():
                assert_close(expected[name], value)
                assert_close(replayed[name], value)
    assert not cost(alpha).exceeds(cost(beta))
    assert model.SerializeToString(deterministic=True) == before
    return bool(lower(network, alpha).cut)


def assert_states_are_shown(alpha: Architecture, shown: Architecture) -> None:
    """What is parsed again has each edge that it has by a name of α's in α's state.

    Parallel members of one join are numbered, so their names move up where one goes.
    """
    states = dict(zip(shown.topology.edge_index, shown.states, strict=True))
    numbered = {name.partition("#")[0] for name in alpha.topology.edge_index if "#" in name}
    for edge, state, used in zip(alpha.topology.edge_index, alpha.states, find_liveness(alpha).active, strict=True):
        if (used or state == State.N) and edge.partition("#")[0] not in numbered:
            assert states.get(edge, state) is state


def check_unfolding(model: onnx.ModelProto, seed: int, transitions: Transitions = Transitions.NAT) -> None:
    network = parse(model, transitions=transitions)
    x = {"x": images(8, 4, 8)}
    unfolded = unfold(network, [{"x": torch.from_numpy(x["x"])}])
    alpha = random_alpha(network.architecture, seed)
    weights = fold(unfolded, Supernet(unfolded.network).weights())
    result = runtime(build(network, alpha, weights), x)
    states = unfolded.network.architecture.with_states(alpha.states)
    expected = Supernet(unfolded.network).as_reference(states)(x)
    for name, value in result.items():
        assert_close(expected[name], value)


def examples(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count, deadline=None, suppress_health_check=quiet, database=None, derandomize=True)


SEEDS, RATES = st.integers(0, 2**16), st.sampled_from([0.1, 0.3, 0.7])
GRANULARITIES = st.sampled_from([Granularity.LAYER, *Granularity])


@examples(FEW)
@given(models(), SEEDS, RATES, GRANULARITIES)
def test_supernet_onnxruntime_and_cost_agree(
    model: onnx.ModelProto, seed: int, rate: float, granularity: Granularity
) -> None:
    check(model, seed, rate, granularity)


@examples(FEW)
@given(models(), SEEDS, RATES)
def test_they_agree_on_cheaper_operations(model: onnx.ModelProto, seed: int, rate: float) -> None:
    check(model, seed, rate, transitions=Transitions.NATPP)


@examples(FEW // 3)
@given(models(), SEEDS, st.sampled_from(Transitions))
def test_unfolding_and_folding_agree(model: onnx.ModelProto, seed: int, transitions: Transitions) -> None:
    check_unfolding(model, seed, transitions)


@pytest.mark.slow
def test_supernet_onnxruntime_and_cost_agree_on_many(capsys: pytest.CaptureFixture[str]) -> None:
    ran = cut = 0

    @examples(MANY)
    @given(models(), SEEDS, RATES, GRANULARITIES, st.sampled_from(Transitions))
    def many(
        model: onnx.ModelProto, seed: int, rate: float, granularity: Granularity, transitions: Transitions
    ) -> None:
        nonlocal ran, cut
        cut += check(model, seed, rate, granularity, transitions)
        ran += 1

    many()
    with capsys.disabled():
        print(f"\n{ran} random networks, channels cut in {cut} of them")  # noqa: T201
    assert ran >= MANY
    assert cut >= MANY / 50
