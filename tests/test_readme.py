"""The pages' commands do what the pages say: completeness, the text, and the checks that take no minutes."""

import pytest

from tests.cli import warm
from tools.upkeep.check_readme.__main__ import TABLE
from tools.upkeep.check_readme.check import Check, unmatched
from tools.upkeep.check_readme.checks import CHECKS
from tools.upkeep.check_readme.page import read
from tools.upkeep.check_readme.place import ROOT, Place
from tools.upkeep.check_readme.prose import differences
from tools.upkeep.check_readme.sample import consistent

SHOWN = read(ROOT)
FAST, FAST_TOOL, SLOW = 10, 4, 180
"""Seconds up to which a check of natonnx, and of a tool, is a fast test, and up to which it is a slow one.

The others run by `python -m tools.upkeep.check_readme` alone.
"""


def marked(check: Check) -> object:
    limit = FAST if check.command.startswith("natonnx") else FAST_TOOL
    return pytest.param(check, id=check.command, marks=[pytest.mark.slow] if check.seconds > limit else [])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = Place(tmp_path_factory.mktemp("readme"), TABLE if TABLE.exists() else None)
    program = made.folder / "bin" / "natonnx"
    program.unlink()
    program.symlink_to(warm.folder() / "natonnx")
    return made


def test_every_command_has_a_check_and_every_check_a_command() -> None:
    assert unmatched(SHOWN, CHECKS) == []


def test_the_text_names_only_what_there_is() -> None:
    assert differences(ROOT, SHOWN) == []


def test_the_sample_run_agrees_with_itself(place: Place) -> None:
    assert consistent(SHOWN[0], place) == []


@pytest.mark.parametrize("check", [marked(check) for check in CHECKS if check.seconds <= SLOW])
def test_command(check: Check, place: Place) -> None:
    outcome = check.run([each for each in SHOWN if each.command == check.command], place, full=False)
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.problems == ()
