"""How many samples are looked at besides training."""

import math
from dataclasses import replace

import pytest

from natonnx.architecture import Shape
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


@pytest.mark.parametrize("spare", [1 << 16, 1 << 19, 1 << 21, 1 << 23])
def test_samples_take_their_part_of_a_limit_whatever_is_free(
    spare: int, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter as the model takes them, and one as a refit runs on them, of what libraries leave."""
    options = LoadOptions(memory=f"{(512 << 20) + spare}B")
    many = replace(problem, train=tiny_split(3000, 1), validation=tiny_split(600, 2), loading=options)
    found = Samples().fitting(many)
    monkeypatch.setattr("natonnx.data.load_options.usable_memory", lambda: 0)
    monkeypatch.setattr("natonnx.data.load_options.resident_memory", lambda: 1 << 40)
    assert Samples().fitting(many) == found
    sizes = {name: _numbers(shape) for name, shape in problem.network.shapes.items()}
    (image,) = (sizes[name] for name in problem.network.inputs)
    held = 4 * image * (found.calibrated + found.refitted + found.held_out)
    assert held <= spare / 4
    assert 4 * 6 * max(sizes.values()) * max(found.calibrated, found.refitted) <= spare / 4


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


def _numbers(shape: Shape) -> int:
    return math.prod(size for size in shape[1:] if isinstance(size, int))
