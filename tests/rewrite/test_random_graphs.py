"""Random small networks and random legal α's of them: the supernet, onnxruntime and the cost agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from natonnx.architecture import cost, violation
from natonnx.frontend import parse
from natonnx.rewrite import build
from natonnx.supernet import Supernet, fold, unfold
from tests.rewrite.helpers import Builder, assert_close, images, random_alpha, runtime

if TYPE_CHECKING:
    from collections.abc import Callable

FEW, MANY = 60, 500
ACTIVATIONS = ("Relu", "Sigmoid", "LeakyRelu", "HardSwish")


@st.composite
def models(draw: st.DrawFn) -> onnx.ModelProto:
    """Four to ten nodes over 4 or 6 channels of 8, 4 or 2 a side, each reading any tensor before it."""
    graph = Builder(opset=draw(st.sampled_from([14, 17])))
    sizes = {"x": 8}

    def put(kind: str, i: int) -> None:
        out, source = f"t{i}", draw(st.sampled_from(list(sizes)))
        stride = 1
        if kind == "conv":
            kernel, stride = draw(st.sampled_from([(1, 1), (3, 1), (3, 2), (1, 2)]))
            stride = stride if sizes[source] > 2 else 1
            depthwise = draw(st.booleans())
            channels = graph.channels[source] if depthwise else draw(st.sampled_from([4, 6]))
            group = channels if depthwise else 1
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
        else:
            graph.op(kind, source, out=out)
        sizes[out] = sizes[source] // stride

    kinds = ["conv"] * 5 + ["norm", "MaxPool", "AveragePool", "Identity", "Abs"] + ["Add"] * 4 + ["Sum", *ACTIVATIONS]
    count = draw(st.integers(4, 10))
    for i in range(count):
        put(draw(st.sampled_from(kinds)), i)
    read = {name for node in graph.nodes for name in node.input}
    dangling = [name for name in sizes if name not in read]
    extra = draw(st.lists(st.sampled_from([name for name in sizes if name != "x"]), max_size=1))
    kept = draw(st.lists(st.sampled_from(dangling), min_size=1, unique=True))  # the others are dead code
    return graph.model(*dict.fromkeys([*kept, *extra]))


def check(model: onnx.ModelProto, seed: int, rate: float) -> None:
    before = model.SerializeToString(deterministic=True)
    network = parse(model)
    beta = network.architecture
    alpha = random_alpha(beta, seed, rate)
    assert alpha == beta or violation(alpha, beta) is None
    supernet = Supernet(network)
    for architecture in (beta, alpha):
        result = build(network, architecture)
        onnx.checker.check_model(result, full_check=True)
        assert cost(parse(result).architecture) == cost(architecture)
        for batch in (1, 3):
            x = {"x": images(batch, 4, 8)}
            expected = supernet.as_reference(architecture)(x)
            found = runtime(result, x)
            assert found.keys() == expected.keys()
            for name, value in found.items():
                assert_close(expected[name], value)
    assert model.SerializeToString(deterministic=True) == before


def check_unfolding(model: onnx.ModelProto, seed: int) -> None:
    network = parse(model)
    x = {"x": images(8, 4, 8)}
    unfolded = unfold(network, torch.from_numpy(x["x"]))
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


@examples(FEW)
@given(models(), SEEDS, RATES)
def test_supernet_onnxruntime_and_cost_agree(model: onnx.ModelProto, seed: int, rate: float) -> None:
    check(model, seed, rate)


@examples(FEW // 3)
@given(models(), SEEDS)
def test_unfolding_and_folding_agree(model: onnx.ModelProto, seed: int) -> None:
    check_unfolding(model, seed)


@pytest.mark.slow
def test_supernet_onnxruntime_and_cost_agree_on_many(capsys: pytest.CaptureFixture[str]) -> None:
    ran = 0

    @examples(MANY)
    @given(models(), SEEDS, RATES)
    def many(model: onnx.ModelProto, seed: int, rate: float) -> None:
        nonlocal ran
        check(model, seed, rate)
        ran += 1

    many()
    with capsys.disabled():
        print(f"\n{ran} random networks")  # noqa: T201
    assert ran >= MANY
