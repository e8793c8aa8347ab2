"""What the search's own cost is measured on."""

import pytest

from natonnx.architecture import find_liveness
from tools.benchmarks.bench_search_cost import exponent, generated, tasks


@pytest.mark.parametrize("kind", ["residual", "global", "concat", "dense"])
def test_a_network_has_about_so_many_edges_and_each_task_runs(kind: str) -> None:
    beta = generated(kind, 60)
    assert 40 <= len(beta.states) <= 150
    assert find_liveness(beta).broken is None
    work = tasks(beta)
    assert {"mask", "encode", "GCN", "draw", "Moves", "variation", "removal"} <= work.keys()
    for task in work.values():
        task()


def test_the_exponent_is_that_of_the_growth() -> None:
    assert exponent([10, 100, 1000], [0.1, 10.0, 1000.0]) == pytest.approx(2.0)
    assert exponent([10, 100, 1000], [1.0, 10.0, 100.0]) == pytest.approx(1.0)
