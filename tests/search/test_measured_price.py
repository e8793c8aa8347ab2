"""A price that is measured: what was measured counts, by its upper end; the rest is predicted."""

from collections.abc import Sequence

import numpy as np
import pytest

from natonnx.architecture import Architecture, State, activity, workloads
from natonnx.search.latency_model import LatencyModel, LatencyPredictor, Measured
from natonnx.search.measured_price import Measure, MeasuredPrice
from natonnx.search.memory import MemoryPredictor, peak_numbers
from natonnx.search.price import Estimate, Madds
from natonnx.search.propose.sample import sample_architectures
from natonnx.search.reach import cheapest
from tests.architecture.examples import residual_network

BETA = residual_network(6)
MADDS = Madds(BETA)


def clock(alpha: Architecture) -> float:
    """Seconds of a machine that is no function of multiply-adds: some parts are slow, some all but free."""
    rates = np.random.default_rng(5).gamma(1.0, size=len(workloads(BETA.topology)))
    return (
        1.0 + float(activity(alpha) @ (rates * np.array([1 + part.madds for part in workloads(BETA.topology)]))) / 1e3
    )


def ratio(alpha: Architecture) -> float:
    return clock(alpha) / clock(BETA)


def alphas(count: int, seed: int = 0) -> list[Architecture]:
    return sample_architectures(BETA, MADDS, count, lowest=0.2, seed=seed)


def price(seen: list[Architecture], found: Sequence[Measured] = ()) -> MeasuredPrice:
    def compare(asked: Sequence[Architecture]) -> list[Estimate]:
        seen.extend(asked)
        return [Estimate(ratio(alpha), 0.98 * ratio(alpha), 1.02 * ratio(alpha)) for alpha in asked]

    return MeasuredPrice(BETA, Measure("latency_ms", "latency (ms)", 4.0, compare), LatencyPredictor(BETA, found))


def test_what_was_measured_costs_its_upper_end() -> None:
    seen: list[Architecture] = []
    found, (one, *_) = price(seen), alphas(3)
    assert found.cost(BETA) == found.full == 4.0
    assert found.estimate(one) is None
    assert found.settle([one, one])
    assert seen == [one]
    assert found.cost(one) == pytest.approx(4 * 1.02 * ratio(one))
    assert found.estimate(one) == pytest.approx([4 * ratio(one), 4 * 0.98 * ratio(one), 4 * 1.02 * ratio(one)])
    assert not found.settle([one])
    assert len(seen) == 1


def test_a_later_measurement_replaces_an_earlier_one() -> None:
    found, (one, *_) = price([]), alphas(3)
    found.settle([one])
    found.take(one, Estimate(0.5, 0.4, 0.6))
    assert found.cost(one) == pytest.approx(4 * 0.6)


def test_the_model_predicts_what_it_was_not_shown() -> None:
    """Far better than multiply-adds do, from fewer measurements than there are parts."""
    shown, hidden = alphas(40), alphas(30, seed=1)
    model = LatencyModel(BETA, [Measured(alpha, ratio(alpha), 0.0) for alpha in shown])
    errors = [abs(model.predict(alpha)[0] / ratio(alpha) - 1) for alpha in hidden]
    by_madds = [abs(MADDS.cost(alpha) / MADDS.full / ratio(alpha) - 1) for alpha in hidden]
    assert len(shown) < len(workloads(BETA.topology))
    assert np.median(errors) < 0.02
    assert np.median(errors) < np.median(by_madds) / 3


def test_noise_is_averaged_and_not_believed() -> None:
    chance = np.random.default_rng(0)
    shown, hidden = alphas(40), alphas(30, seed=1)
    noisy = [Measured(alpha, ratio(alpha) * (1 + 0.02 * chance.standard_normal()), 0.0) for alpha in shown]
    model = LatencyModel(BETA, noisy)
    assert np.median([abs(model.predict(alpha)[0] / ratio(alpha) - 1) for alpha in hidden]) < 0.03


def test_without_a_measurement_there_is_a_guess_and_doubt() -> None:
    value, deviation = LatencyModel(BETA).predict(cheapest(BETA, MADDS))
    assert 0 < value < 1
    assert deviation > 0.05
    assert LatencyModel(BETA).predict(BETA) == (1.0, 0.0)


def test_activity_is_one_for_each_part_of_a_whole_network_and_nothing_for_what_is_gone() -> None:
    full, gone = activity(BETA), activity(BETA.with_states(tuple(State.N for _ in BETA.states)))
    operations = [edge.operation is not None for edge in BETA.topology.edges]
    assert full[: len(operations)].tolist() == [float(has) for has in operations]
    assert gone[: 2 * len(operations)].sum() == 0


def test_maps_are_held_until_they_were_read_for_the_last_time() -> None:
    """A residual block holds its input, what it makes of it, and the sum: three maps at once, whatever the depth."""
    sizes = {int(np.prod([size for size in fmap.shape if isinstance(size, int)])) for fmap in BETA.topology.maps}
    assert peak_numbers(BETA) <= 4 * max(sizes)
    assert peak_numbers(residual_network(3)) == peak_numbers(BETA)


def test_memory_is_corrected_by_what_was_measured() -> None:
    predictor, alpha = MemoryPredictor(BETA, 1e4, 1), cheapest(BETA, MADDS)
    saved = 1 - predictor.predict(alpha)
    assert predictor.predict(BETA) == 1.0
    assert saved > 0
    predictor.learn(alpha, Estimate(1 - saved / 2, 1 - saved / 2, 1 - saved / 2))
    assert predictor.predict(alpha) == pytest.approx(1 - saved / 2)
