"""Random legal α's of random graphs and of families that users export: a refit holds its promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natonnx.frontend import Granularity, Network, Transitions, parse
from natonnx.rewrite import build
from natonnx.supernet import Supernet, unfold
from natonnx.supernet.ops.operands import as_tensor
from tests.frontend import nets, transformers
from tests.frontend.test_concat import dense, inception, shuffle
from tests.rewrite.helpers import Builder, assert_close, images, runtime
from tests.rewrite.test_random_graphs import GRANULARITIES, RATES, SEEDS, examples, models
from tests.search.refit.helpers import refitted
from tools.conformance.wild.alphas import random_alpha

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FEW, MANY = 40, 1500
TRANSITIONS = st.sampled_from(Transitions)
LOOSE = 1e-3
"""Of the largest magnitude, between two programs on models that no training has kept in bounds."""


def check(network: Network, x: Mapping[str, np.ndarray], seed: int, rate: float) -> int:
    """Refit a random α, repeatably; its file computes what the supernet does. Return how many operators were fitted."""
    alpha = random_alpha(network.architecture, seed, rate)
    weights, fits = refitted(network, alpha, x, rows=300)
    again, _ = refitted(network, alpha, x, rows=300)
    assert all(np.array_equal(weights[name], again[name]) for name in weights.keys() | again.keys())
    supernet = Supernet(network)
    supernet.load_weights(weights)
    expected = supernet.as_reference(alpha)(x)
    model = build(network, alpha, weights)
    onnx.checker.check_model(model)
    for name, value in runtime(model, x).items():
        if name in expected and np.isfinite(expected[name]).all():
            assert_close(value, expected[name], LOOSE)
    return len(fits)


@examples(FEW)
@given(models(), SEEDS, RATES, GRANULARITIES, TRANSITIONS)
def test_random_graphs(
    model: onnx.ModelProto, seed: int, rate: float, granularity: Granularity, transitions: Transitions
) -> None:
    check(parse(model, granularity=granularity, transitions=transitions), {"x": images(6, 4, 8)}, seed, rate)


@examples(FEW // 4)
@given(models(), SEEDS)
def test_random_graphs_unfolded(model: onnx.ModelProto, seed: int) -> None:
    x = {"x": images(6, 4, 8)}
    network = unfold(parse(model), [{name: as_tensor(value) for name, value in x.items()}]).network
    check(network, x, seed, 0.3)


@pytest.mark.slow
def test_many_random_graphs(capsys: pytest.CaptureFixture[str]) -> None:
    fits = 0

    @examples(MANY)
    @given(models(), SEEDS, RATES, GRANULARITIES, TRANSITIONS)
    def many(
        model: onnx.ModelProto, seed: int, rate: float, granularity: Granularity, transitions: Transitions
    ) -> None:
        nonlocal fits
        network = parse(model, granularity=granularity, transitions=transitions)
        fits += check(network, {"x": images(6, 4, 8)}, seed, rate)

    many()
    with capsys.disabled():
        print(f"\n{MANY} random networks, {fits} operators refitted")  # noqa: T201
    assert fits > MANY / 3


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("make", [dense, inception, shuffle])
def test_concats_that_lose_members(make: Callable[[], Builder], seed: int) -> None:
    model = make().model("y")
    check(parse(model), {"x": images(8, 4, 4)}, seed, 0.2)


@pytest.mark.parametrize("granularity", [Granularity.LAYER, Granularity.BRANCH])
@pytest.mark.parametrize("name", ["face", "mobile", "lstm"])
def test_nets(name: str, granularity: Granularity) -> None:
    _, inputs = nets.example(name)
    network = parse(nets.exported(name), granularity=granularity)
    x = {f"x{i}": value.numpy() for i, value in enumerate(inputs)}
    check_net(network, x, range(2))


@pytest.mark.slow
@pytest.mark.parametrize("granularity", list(Granularity))
@pytest.mark.parametrize("name", nets.NETS)
def test_all_nets(name: str, granularity: Granularity) -> None:
    _, inputs = nets.example(name)
    network = parse(nets.exported(name), granularity=granularity)
    check_net(network, {f"x{i}": value.numpy() for i, value in enumerate(inputs)}, range(6))


@pytest.mark.slow
@pytest.mark.parametrize("granularity", list(Granularity))
@pytest.mark.parametrize("name", transformers.SUBJECTS)
def test_transformers(name: str, granularity: Granularity) -> None:
    _, inputs = transformers.example(name)
    model = transformers.exported(name)
    x = {info.name: value.numpy() for info, value in zip(model.graph.input, inputs, strict=True)}
    check_net(parse(model, granularity=granularity), x, range(6))


def check_net(network: Network, x: Mapping[str, np.ndarray], seeds: range) -> None:
    """Weights of several seeds; recurrent nets have states whose batch is not the first axis, so nothing is split."""
    assert sum(check(network, x, seed, 0.2) for seed in seeds)
