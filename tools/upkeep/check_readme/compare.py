"""How what a command did is compared with what its page says: each function returns the differences, one line each."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import unified_diff
from xml.etree import ElementTree as ET

from tools.upkeep.check_readme.page import Shown, tables
from tools.upkeep.check_readme.place import ROOT, Ran

__all__ = [
    "Compare",
    "everything",
    "junit",
    "nothing",
    "report",
    "rows",
    "same_tables",
    "says",
    "shows",
    "unchanged",
    "writes",
]

Compare = Callable[[Shown, Ran], list[str]]


def nothing(_shown: Shown, _ran: Ran) -> list[str]:
    """The exit code says it all."""
    return []


def everything(*parts: Compare) -> Compare:
    """Several comparisons."""
    return lambda shown, ran: [problem for part in parts for problem in part(shown, ran)]


def says(*patterns: str) -> Compare:
    """Every pattern stands somewhere on stdout or stderr."""

    def compare(_shown: Shown, ran: Ran) -> list[str]:
        text = ran.stdout + ran.stderr
        return [f"prints nothing like {each!r}" for each in patterns if not re.search(each, text, re.MULTILINE)]

    return compare


def shows(measured: str) -> Compare:
    """It prints the block below it, line for line, but for what matches the pattern."""

    def compare(shown: Shown, ran: Ran) -> list[str]:
        texts = (shown.below.partition("```")[0], ran.stdout)
        page, real = ([re.sub(measured, "#", line.rstrip()) for line in text.strip().splitlines()] for text in texts)
        return [] if page == real else [*unified_diff(page, real, "the page", "printed", lineterm="")]

    return compare


def writes(*names: str) -> Compare:
    """Files, or patterns of files, that are there afterwards."""
    return lambda _shown, ran: [f"{name} is not written" for name in names if not [*ran.place.folder.glob(name)]]


def unchanged(name: str) -> Compare:
    """A file that the command writes anew holds what it holds in the repository."""

    def compare(_shown: Shown, ran: Ran) -> list[str]:
        same = (ran.place.folder / name).read_bytes() == (ROOT / name).read_bytes()
        return [] if same else [f"{name} is not what the repository has"]

    return compare


def report(name: str, **expected: object) -> Compare:
    """A JSON file has these values at the top, and a status of `optimize` that fits the exit code."""

    def compare(_shown: Shown, ran: Ran) -> list[str]:
        payload = json.loads((ran.place.folder / name).read_text(encoding="utf-8"))
        problems = [
            f"{name}: {key} is {payload.get(key)!r}, not {value!r}"
            for key, value in expected.items()
            if payload.get(key) != value
        ]
        if "status" in payload and (payload["status"] == "improved") != (ran.code == 0):
            problems.append(f"{name}: status {payload['status']!r} with exit code {ran.code}")
        return problems

    return compare


def junit(name: str, tests: int) -> Compare:
    """A JUnit file with so many tests, of which one is failed or undecided if the exit code says so."""

    def compare(_shown: Shown, ran: Ran) -> list[str]:
        suite = ET.parse(ran.place.folder / name).getroot()  # noqa: S314 # natonnx wrote it a moment ago
        found = len(list(suite.iter("testcase")))
        failed = any(list(suite.iter(kind)) for kind in ("failure", "error"))
        problems = [] if found == tests else [f"{name}: {found} tests, not {tests}"]
        return problems if failed == (ran.code in (1, 4)) else [*problems, f"{name}: failed {failed}, code {ran.code}"]

    return compare


def same_tables(shown: Shown, ran: Ran) -> list[str]:
    """Every row that the command printed stands on the page to the letter; in full, so does every one of the page."""
    page, real = (
        {(table.header, row) for table in tables(text) for row in table.rows} for text in (shown.below, ran.stdout)
    )
    problems = [f"prints a row that the page lacks: {' | '.join(row)}" for _, row in sorted(real - page)]
    if ran.full:
        problems += [f"the page has a row that it does not print: {' | '.join(row)}" for _, row in sorted(page - real)]
    return problems if real else ["prints no table"]


def rows(
    key: Sequence[str],
    *,
    exact: Mapping[str, Callable[[Mapping[str, str]], str]] | None = None,
    header: bool = False,
    measured: Mapping[str, str] | None = None,
) -> Compare:
    """The first table of the page against the first one printed, row by row.

    Args:
        key: Columns that name a row. Rows that only one of them has are a difference if the command ran in full; else
            it is one if the command printed none that the page has.
        exact: Columns of the page whose values must be what the function makes of the printed row.
        header: Whether both tables must have the same columns in the same order.
        measured: Columns of the page, and the pattern that a value of theirs must have there and, where the printed
            table has the column too, as printed.
    """

    def compare(shown: Shown, ran: Ran) -> list[str]:
        tabled = [tables(text) for text in (shown.below, ran.stdout)]
        if not all(tabled):
            return ["prints no table" if tabled[0] else "no table on the page"]
        page, real = (each[0] for each in tabled)
        if header and page.header != real.header:
            return [f"columns {', '.join(real.header)}; on the page {', '.join(page.header)}"]
        printed = {tuple(row.get(name, "") for name in key): row for row in real.records()}
        problems, met = [], 0
        for row in page.records():
            name = tuple(row[column] for column in key)
            match = printed.pop(name, None)
            if match is None:
                problems += [f"does not print the page's row {' '.join(name)}"] if ran.full else []
                continue
            met += 1
            for column, value in (exact or {}).items():
                if row[column] != value(match):
                    problems.append(f"{' '.join(name)}: {column} is {value(match)}, on the page {row[column]}")
            for column, pattern in (measured or {}).items():
                wrong = [each for each in (row[column], match.get(column)) if each and not re.fullmatch(pattern, each)]
                problems += [f"{' '.join(name)}: {column} {each!r} is no {pattern}" for each in wrong]
        problems += [f"the page lacks {' '.join(name)}" for name in printed]
        return problems if met else [*problems, "prints no row of the page"]

    return compare
