"""A time budget, by a clock that stands still unless it is told."""

from types import SimpleNamespace

import pytest

from natonnx.search.clock import Clock


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr("natonnx.search.clock.time", SimpleNamespace(monotonic=made.monotonic))
    return made


def test_without_a_budget_everything_is_granted() -> None:
    clock = Clock(None)
    assert clock.left is None
    assert clock.search_share_used() == 0
    assert not clock.exhausted()
    assert clock.affordable_epochs(7, 100) == 7


def test_a_budget_divides_what_is_left() -> None:
    clock = Clock(1e-6)
    with clock.training_epoch():
        pass
    assert clock.exhausted()
    assert clock.affordable_epochs(7, 3) == 1
    assert clock.affordable_epochs(0, 3) == 0


def test_what_is_left_leaves_room_for_what_follows(time: Time) -> None:
    """It counts from when the command began, not from when the clock was made."""
    clock = Clock(100.0, begun=990.0, reserve=20.0)
    assert clock.left == 70
    time.now += 65
    assert clock.left == 5
    time.now += 65
    assert clock.left == 0


def test_epochs_are_as_many_as_there_is_time_for(time: Time) -> None:
    clock = Clock(100.0)
    with clock.training_epoch():
        time.now += 5
    assert clock.affordable_epochs(50, 2) == 9
    assert clock.affordable_epochs(3, 2) == 3
    assert clock.search_share_used() == pytest.approx(5 / 45)
