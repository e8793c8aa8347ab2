"""What a plan says of how far a cost can be brought down."""

from typing import TYPE_CHECKING

import pytest

from natonnx.report import plan

if TYPE_CHECKING:
    from natonnx.contract.plan import Plan


@pytest.mark.parametrize(
    ("least", "told"),
    [(0.25, "12,500,000 (0.250)"), (0.2, "12,500,000 (0.250, none below 0.200)"), (None, "12,500,000 (0.250)")],
)
def test_a_bound_is_told_where_it_is_not_what_was_found(least: float | None, told: str) -> None:
    price = {"name": "madds", "label": "MAdds", "input": 5e7, "smallest": 0.25, "least": least, "targets": [0.5]}
    found: Plan = {"prices": [price]}  # type: ignore[typeddict-item]
    ((label, _, smallest, target),) = plan.rows(found)
    assert (label, smallest, target) == ("MAdds", told, "0.5")
