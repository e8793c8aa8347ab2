"""Every parameter that takes a path is found, and refuses in one line what is no file to read or write."""

from itertools import islice
from pathlib import Path

import click
import pytest

from natonnx.cli import cli
from tools.conformance.paths import Attempt, Place, attempt, is_output, places, preload, tried

PLACES = places()
PREPARED = ("a pipe", "/dev/zero", "a long name", "a link to itself", "within a link to itself", "a zero byte")


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    preload()


def test_every_path_of_click_is_found() -> None:
    found = {(place.command, place.name) for place in PLACES}
    declared = {
        (name, one.opts[-1])
        for name, made in cli.commands.items()
        for one in made.params
        if isinstance(one.type, click.Path)
    }
    assert declared | {("optimize", "--data"), ("optimize", "--policy"), ("bench", "--data")} <= found


@pytest.mark.parametrize("number", range(len(PLACES)), ids=lambda i: f"{PLACES[i].command} {PLACES[i].name}")
def test_no_path_ends_a_command_but_in_one_line(number: int, tmp_path: Path) -> None:
    place, kinds = PLACES[number], (PREPARED[0], PREPARED[1 + number % 5], PREPARED[1 + (number + 2) % 5])
    for kind, path, folder in tried(place, tmp_path, writes=False):
        if kind in kinds:
            found = attempt(place.command_line(path), folder)
            assert (kind, found.code, found.problem, found.wrote) == (kind, 2, "", frozenset()), found.said


def test_odd_names_are_names(tmp_path: Path) -> None:
    place = Place("inspect", "model", 0)
    assert not is_output(place, tmp_path)
    for kind, path, folder in tried(place, tmp_path, writes=False):
        if kind.startswith("a name with"):
            assert attempt(place.command_line(path), folder)[::2] == (0, ""), kind


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    place = Place("apply", "--output", None)
    ((_, path, folder),) = islice(tried(place, tmp_path, writes=True), 1)
    assert (
        attempt(["apply", "model.onnx", "none.json", "--force", "-o", "data.npz"], folder).problem == "changes data.npz"
    )
    assert attempt(place.command_line(path), folder, seconds=0).problem == "hangs"
    assert attempt(["inspect", "model.onnx"], folder) == Attempt(0, "", "", frozenset())
