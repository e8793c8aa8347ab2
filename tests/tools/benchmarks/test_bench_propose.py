"""The made-up scores of large spaces, and the table."""

import numpy as np
import pytest
from click.testing import CliRunner

from natonnx.architecture import State
from natonnx.search.price import Madds
from tests.architecture.examples import residual_network
from tools.benchmarks.bench_propose import SyntheticScore, main, propose, space


@pytest.mark.parametrize("heavy", [False, True])
def test_nothing_is_lost_where_nothing_changes_and_more_where_more_does(heavy: bool) -> None:
    beta = residual_network(8)
    score = SyntheticScore(beta, 0, heavy)
    some = beta.with_states(
        tuple(State.S if state == State.O and e < 8 else state for e, state in enumerate(beta.states))
    )
    most = beta.with_states(tuple(State.S if state == State.O else state for state in beta.states))
    assert score(beta) == 0
    assert score(most) < score(some) < 0


def test_the_curve_is_of_what_meets_the_target() -> None:
    beta = residual_network(8)
    found = propose(beta, SyntheticScore(beta, 1), "evolution", 0.5, 30, 0)
    assert found.used == len(found.curve) == 30
    assert found.curve[-1] == found.loss
    assert (np.diff(found.curve) <= 0).all()
    single = propose(beta, SyntheticScore(beta, 1), "greedy", 0.5, 5, 0)
    assert single.loss == np.inf


def test_the_table_has_a_row_a_method() -> None:
    options = [
        "--spaces",
        "resnet20",
        "--limits",
        "20,40",
        "--targets",
        "0.7",
        "--seeds",
        "2",
        "--methods",
        "greedy,random",
    ]
    done = CliRunner().invoke(main, options)
    assert done.exit_code == 0, done.output
    rows = [line for line in done.output.splitlines() if line.startswith(("| greedy", "| random"))]
    assert len(rows) == 2
    best = [float(cell) for row in rows for cell in row.split("|")[2:4] if cell.strip() != "none"]
    assert min(best) >= 1


def test_unknown_methods_are_refused() -> None:
    assert "unknown method 'best'" in CliRunner().invoke(main, ["--methods", "best"]).output


def test_spaces_are_those_of_networks() -> None:
    beta = space("resnet50")
    assert len(beta.states) > 100
    assert Madds(beta).full > 1e9
