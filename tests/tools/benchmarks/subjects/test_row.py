"""The row of a subject, out of the payloads of optimize and check, and the page."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tools.benchmarks.subjects.page import page, table_row
from tools.benchmarks.subjects.row import Row, row_of
from tools.benchmarks.subjects.run import stored_row
from tools.benchmarks.subjects.subject import Subject

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = ("--target-madds", "0.8")


def report(*, labels: bool = False, improved: bool = True) -> dict[str, Any]:
    measures = ["accuracy"] if labels else ["top-1 agreement", "cosine"]
    before = 0.9 if labels else 1.0
    errors = {"validation": 0.02, "test": 0.01}
    row = {"madds": 800_000, "score": {"validation": 0.88, "test": 0.86}, "standard_error": errors}
    return {
        "objective": {
            "name": "labels" if labels else "agreement",
            "measure": "accuracy" if labels else "agreement",
            "outputs": [{"name": f"y{i}", "measure": measure} for i, measure in enumerate(measures)],
        },
        "input": {"madds": 1_000_000, "score": {"validation": 0.91, "test": before}, "outputs": {}},
        "output": {**row, "outputs": {"test": {"y0": 0.80, "y1": 0.92}}} if improved else None,
        "edits": [{}] * 3 if improved else [],
        "data": {"samples": {"train": 800, "validation": 200, "test": 500}},
        "seconds": 61.7,
    }


def check(*agreements: float, accuracy: float | None = None, samples: int = 500) -> dict[str, Any]:
    gates = [{"name": "accuracy", "value": accuracy}] if accuracy is not None else []
    gates += [{"name": "agreement", "value": value} for value in agreements]
    return {"gates": gates, "data": {"split": "test", "samples": samples}}


def test_agreement_of_several_outputs() -> None:
    row = row_of("one", COMMAND, 0, report(), 0, check(0.80, 0.92))
    assert row.madds == (1_000_000, 800_000)
    assert (row.validation, row.test) == (0.88, 0.86)
    assert row.checked == pytest.approx(0.86)
    assert row.is_good
    figures = "1.0 M | 0.8 M (80%) | 88.0 % | 86.0 % | 86.0 % | – | 3 | 62 | 0"
    assert table_row(row) == f"| one | agreement | top-1 agreement, cosine | {figures} |"


@pytest.mark.parametrize(("allowed", "shown"), [("5", "5"), ("100", "any")])
def test_what_may_be_lost_is_shown(allowed: str, shown: str) -> None:
    row = row_of("one", (*COMMAND, "--max-drop", allowed), 0, report(), 0, check(0.80, 0.92))
    assert f"| 86.0 % | {shown} | 3 |" in table_row(row)


def test_labels_show_what_the_input_has() -> None:
    row = row_of("one", COMMAND, 0, report(labels=True), 0, check(0.93, accuracy=0.86))
    assert (row.checked, row.agreement) == (0.86, 0.93)
    assert row.is_good
    assert "| 90.0 % → 86.0 % | 86.0 % |" in table_row(row)


def test_input_that_stands_is_good() -> None:
    row = row_of("one", COMMAND, 1, report(improved=False))
    assert row.is_good
    assert table_row(row) == ("| one | agreement | top-1 agreement, cosine | 1.0 M | – | – | – | – | – | – | 62 | 1 |")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (row_of("one", COMMAND, 2, None, problem="bad model"), "optimize ended with 2: bad model"),
        (row_of("one", COMMAND, 0, None, problem="no JSON"), "optimize printed no JSON"),
        (row_of("one", COMMAND, 0, report(), 3, None, "internal"), "check ended with 3: internal"),
        (row_of("one", COMMAND, 0, report(), 0, check(0.81)), "check says 81.0 %, optimize 86.0 %"),
        (row_of("one", COMMAND, 0, report(), 0, check()), "check says –, optimize 86.0 %"),
    ],
)
def test_what_went_wrong(row: Row, said: str) -> None:
    assert not row.is_good
    assert f"- **one**: {said}" in page([row], {"one": subject()}, "--target-madds 0.8")


def test_a_difference_below_what_is_printed_is_none() -> None:
    row = row_of("one", COMMAND, 0, report(), 0, check(0.8604))
    assert row.is_same
    assert not replace(row, checked=0.861).is_same
    assert "(differs)" in table_row(replace(row, checked=0.861))


def test_samples_that_a_time_budget_left_out_may_make_a_difference() -> None:
    """Of three standard errors, not of more."""
    assert row_of("one", COMMAND, 0, report(), 0, check(0.885, samples=2000)).is_same
    assert not row_of("one", COMMAND, 0, report(), 0, check(0.895, samples=2000)).is_same


def test_page_without_a_fault_names_none() -> None:
    text = page([row_of("one", COMMAND, 0, report(), 0, check(0.86))], {"one": subject()}, "--seed 0")
    assert "went wrong" not in text
    assert "`natonnx optimize --seed 0`" in text
    assert "- **one**: a small model." in text


# What is kept


def subject() -> Subject:
    return Subject("one", "a small model", lambda _folder, _cache, _effort: None, "agreement", 5, ("--window", "2"))


def keep(folder: Path, row: Row) -> None:
    (folder / "one").mkdir()
    (folder / "one" / "row.json").write_text(json.dumps(row.to_json()))


def test_a_row_is_kept_for_its_command(tmp_path: Path) -> None:
    command = (*COMMAND, "--objective", "agreement", "--max-drop", "5", "--window", "2")
    row = row_of("one", command, 0, report(), 0, check(0.86))
    assert stored_row(subject(), tmp_path, COMMAND) is None
    keep(tmp_path, row)
    assert stored_row(subject(), tmp_path, COMMAND) == row
    assert stored_row(subject(), tmp_path, ("--target-madds", "0.7")) is None
    assert stored_row(replace(subject(), max_drop=6), tmp_path, COMMAND) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "one"}'])
def test_a_row_that_cannot_be_read_is_made_again(tmp_path: Path, content: str) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "row.json").write_text(content)
    assert stored_row(subject(), tmp_path, COMMAND) is None
