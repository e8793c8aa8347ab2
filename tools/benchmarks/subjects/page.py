"""docs/subjects.md: the rows as a table in Markdown."""

from collections.abc import Mapping, Sequence

from tools.benchmarks.subjects.row import Row
from tools.benchmarks.subjects.subject import Subject

__all__ = ["page", "table_row"]

_COLUMNS = (
    *("subject", "objective", "measure", "MAdds of β", "of α", "validation", "test, β → α", "check says"),
    *("points allowed", "edits", "s", "exit"),
)


def page(rows: Sequence[Row], subjects: Mapping[str, Subject], options: str) -> str:
    """Render the page.

    Args:
        rows: In the order of the table.
        subjects: By name.
        options: Of `natonnx optimize`, that all subjects were given.
    """
    bad = [row for row in rows if not row.is_good]
    lines = [
        "# Real subjects",
        "",
        "Made by `python -m tools.benchmarks.subjects --markdown docs/subjects.md`: it fetches or trains each model,",
        f"makes its data, runs `natonnx optimize {options}`",
        "and, on the result, `natonnx check --baseline`. Seconds are those of optimize. Models and data are made by",
        "fixed seeds, and nothing was selected on the test part. Where the objective is agreement, the original scores",
        "100 % by definition. With several outputs the figures are their mean.",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        "|" + "---|" * len(_COLUMNS),
        *map(table_row, rows),
        "",
        "Exit code 0: a verified model that meets the target was written. 1: none was found within `--max-drop`, so",
        "the original stands. Any loss is allowed where nothing was found within 5 points of agreement (10 of the",
        "detectors): those rows show what the search reaches, not what one would take.",
        "",
    ]
    lines += [f"- **{row.name}**: {subjects[row.name].about}." for row in rows]
    if bad:
        lines += ["", "## What went wrong", ""]
        lines += [f"- **{row.name}**: {_wrong(row)}" for row in bad]
    return "\n".join([*lines, ""])


def table_row(row: Row) -> str:
    """Render a row of the table."""
    before, after = row.madds
    share = f" ({after / before:.0%})" if before and after is not None else ""
    tested = _percent(row.test)
    if row.objective == "labels" and row.test_before is not None:
        tested = f"{_percent(row.test_before)} → {tested}"
    cells = (
        row.name,
        row.objective or "–",
        row.measure or "–",
        _count(before),
        f"{_count(after)}{share}",
        _percent(row.validation),
        tested,
        _percent(row.checked) + ("" if row.is_same else " (differs)"),
        _allowed(row),
        str(row.edits) if row.exit_code == 0 else "–",
        "–" if row.seconds is None else f"{row.seconds:.0f}",
        str(row.exit_code),
    )
    return f"| {' | '.join(cells)} |"


def _allowed(row: Row) -> str:
    """Return --max-drop of the command; "any" for 100 points."""
    after = dict(zip(row.command, row.command[1:], strict=False)).get("--max-drop", "–")
    return "any" if after == "100" else after


def _wrong(row: Row) -> str:
    if row.exit_code not in (0, 1):
        return f"optimize ended with {row.exit_code}: {row.problem}"
    if row.objective is None:
        return f"optimize printed no JSON: {row.problem}"
    if row.check_exit_code != 0:
        return f"check ended with {row.check_exit_code}: {row.problem}"
    return f"check says {_percent(row.checked)}, optimize {_percent(row.test)}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value / 1e6:,.1f} M" if value >= 1e5 else f"{value:,}"
