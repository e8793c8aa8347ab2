"""How many samples are looked at besides training."""

from dataclasses import replace

import pytest

from natonnx.data import LoadOptions
from natonnx.search import Problem
from natonnx.search.samples import Samples
from tests.search.conftest import tiny_split


def test_there_are_no_more_than_the_data_has(problem: Problem) -> None:
    small = replace(problem, train=tiny_split(70, 1), validation=tiny_split(30, 2))
    assert Samples().fitting(small) == Samples(70, 30, 70, 70)
    assert Samples(10, 5, 20, 40).fitting(small) == Samples(10, 5, 20, 40)


def test_large_maps_leave_fewer_to_a_refit_alone(problem: Problem) -> None:
    large = replace(problem, network=replace(problem.network, shapes={"map": (1, 64, 1024, 1024)}))
    many = replace(large, train=tiny_split(3000, 1), validation=tiny_split(600, 2))
    assert Samples().fitting(many) == Samples(1, 500, 1, 2000)


def test_samples_that_memory_has_no_room_for_are_left_out(problem: Problem) -> None:
    """Those of look-ups and refits alike; nothing is held of what statistics are estimated from at last."""
    many = replace(problem, train=tiny_split(3000, 1), validation=tiny_split(600, 2))
    assert Samples().fitting(many) == Samples()
    full = replace(many, loading=LoadOptions(memory="1B"))
    assert Samples().fitting(full) == Samples(1, 1, 1, 2000)


@pytest.mark.parametrize("each", [1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("finalists", [1, 2, 4])
def test_they_keep_to_the_time_where_that_is_possible(each: float, finalists: int) -> None:
    usual = Samples()
    enough = each * usual.target(finalists)
    assert usual.within(enough, each, finalists) == usual
    for part in (0.9, 0.5, 0.26):
        cut = usual.within(part * enough, each, finalists)
        assert cut.target(finalists) * each <= part * enough + each * 4 * finalists * 20
        assert cut.refitted < usual.refitted
    least = usual.within(0.0, each, finalists)
    assert least == Samples(10, 100, 40, 125)
