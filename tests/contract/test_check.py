"""What a gate of `natonnx check` says of a value and its interval."""

from typing import get_args

import pytest

from natonnx.contract.check import GateName, gate_row, status_of


@pytest.mark.parametrize(
    ("name", "limit", "value", "interval", "state"),
    [
        ("madds_ratio", 0.5, 0.5, None, "met"),
        ("madds_ratio", 0.5, 0.6, None, "failed"),
        ("agreement", 0.9, 0.9, None, "met"),
        ("agreement", 0.9, 0.8, None, "failed"),
        ("drop", -1.0, -0.5, None, "failed"),
        ("latency_ratio", 0.9, 0.8, (0.7, 0.9), "met"),
        ("latency_ratio", 0.9, 0.8, (0.7, 0.91), "undecided"),
        ("latency_ratio", 0.9, 0.95, (0.91, 1.0), "failed"),
    ],
)
def test_state(name: GateName, limit: float, value: float, interval: tuple[float, float] | None, state: str) -> None:
    gate = gate_row(name, limit, value, "detail", interval=interval)
    assert gate["state"] == state
    assert (gate["name"], gate["limit"], gate["value"]) == (name, limit, value)
    assert (gate["low"], gate["high"]) == (interval or (None, None))


def test_a_value_that_cannot_be_told_is_undecided() -> None:
    gate = gate_row("latency_ratio", 1.0, None, "why")
    assert (gate["state"], gate["value"], gate["low"], gate["detail"]) == ("undecided", None, None, "why")


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ([0.5, 0.5], "passed"),
        ([0.5, None], "undecided"),
        ([1.5, None], "failed"),
        ([], "passed"),
    ],
)
def test_status(values: list[float | None], status: str) -> None:
    assert status_of(gate_row("madds_ratio", 1.0, value, "") for value in values) == status


def test_only_what_is_lost_has_a_unit() -> None:
    names: tuple[GateName, ...] = get_args(GateName)
    gates = {name: gate_row(name, 1.0, 1.0, "") for name in names}
    assert [name for name, gate in gates.items() if gate["unit"] is not None] == ["drop"]
    assert [name for name, gate in gates.items() if gate["at_least"]] == ["accuracy", "agreement"]
    assert len({gate["label"] for gate in gates.values()}) == len(names)
