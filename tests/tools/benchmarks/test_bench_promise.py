"""What promises are measured with."""

import numpy as np
import pytest

from natonnx.search.paired import p_of_answers
from tools.benchmarks.bench_promise import SHAPES, choose, most_lost, networks, promised_answers, promised_scores
from tools.benchmarks.bench_search.row import Row, pack


def test_the_most_that_may_be_lost() -> None:
    for differ in (0, 3, 12):
        lost = most_lost(differ, 900)
        promised = [p_of_answers(each, differ - each, 900, 0.005, 0.05) <= 0.05 for each in range(differ + 1)]
        assert promised == [each <= lost for each in range(differ + 1)]


def test_the_probability_is_that_of_draws() -> None:
    generator, samples, loss, rate = np.random.default_rng(0), 600, 0.001, 0.01
    draws = generator.multinomial(samples, [(rate + loss) / 2, (rate - loss) / 2, 1 - rate], 4000)
    share = np.mean([lost <= most_lost(int(lost + won), samples) for lost, won, _ in draws])
    assert promised_answers(loss, rate, samples) == pytest.approx(share, abs=0.03)
    assert 0 < promised_answers(0.005, rate, samples) <= 0.05


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_loses_half_a_point(shape: str) -> None:
    losses = SHAPES[shape](np.random.default_rng(0), 400_000)
    assert losses.mean() == pytest.approx(0.005, rel=0.05)
    assert losses.max() <= 1
    ours, plain = promised_scores(shape, 40, 5, np.random.default_rng(0))
    assert 0 <= ours <= 5
    assert 0 <= plain <= 5


def test_choices_of_models_that_are_known() -> None:
    given = np.arange(4000) % 10 > 0
    worse, better = given.copy(), given.copy()
    worse[np.flatnonzero(given)[:200]] = False  # five points
    better[:2000] = True
    assert choose(given, [[worse]], 20, np.random.default_rng(0)) == [(0, 0)] * 3
    assert choose(given, [[better]], 20, np.random.default_rng(0)) == [(0, 20)] * 3
    assert choose(given, [[better], [worse]], 20, np.random.default_rng(0)) == [(0, 20)] * 3
    assert choose(given, [[worse], [better]], 20, np.random.default_rng(0)) == [(0, 0)] * 3  # the dearest first


def test_rows_by_cost() -> None:
    def row(method: str, target: float, right: list[int]) -> Row:
        bits = pack(np.array(right, bool))
        return Row("net", method, target, 0, 1.0, "set", target, 0.5, 4, bits, {}, 0.0, None, (), "0")

    rows = [row("given", 1.0, [1, 1, 0, 0]), row("a", 0.5, [1, 0, 0, 0]), row("a", 0.35, [0, 0, 0, 1])]
    ((name, given, rungs),) = networks([*rows, row("b", 0.5, [1, 1, 1, 0])])
    assert (name, given.tolist()) == ("net", [True, True, False, False])
    assert [[right.tolist() for right in rung] for rung in rungs] == [
        [[True, False, False, False], [True, True, True, False]],
        [[False, False, False, True]],
    ]
