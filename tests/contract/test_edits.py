"""Edit lists as JSON."""

import json

import pytest

from natonnx.architecture import Edit, State
from natonnx.contract.edits import edit_rows, parse_edits
from natonnx.errors import InputError

EDITS = (Edit("a", State.O, State.S), Edit("b->c", State.N, State.S), Edit("ü", State.S, State.N))
ITEM = {"edge": "a", "from": "O", "to": "S"}


def test_edits_round_trip() -> None:
    assert parse_edits(json.dumps(edit_rows(EDITS)), "here") == EDITS


def test_empty_list_is_legal() -> None:
    assert parse_edits("[]", "here") == ()


def test_report_of_optimize_is_accepted() -> None:
    report = {"status": "improved", "edits": edit_rows(EDITS), "seed": 0}
    assert parse_edits(json.dumps(report), "here") == EDITS


def test_a_model_of_the_front_is_picked_by_its_number() -> None:
    report = {
        "status": "unchanged",
        "edits": [],
        "front": [{"edits": edit_rows(EDITS[:1])}, {"edits": edit_rows(EDITS)}],
    }
    assert parse_edits(json.dumps(report), "here", 1) == EDITS[:1]
    assert parse_edits(json.dumps(report), "here", 2) == EDITS
    assert parse_edits(json.dumps(report), "here") == ()


@pytest.mark.parametrize(
    ("data", "pick", "message"),
    [
        ({"edits": [], "front": [{"edits": []}] * 2}, 0, "has 2 models; pick one from 1 on"),
        ({"edits": [], "front": [{"edits": []}] * 2}, 3, "has 2 models; pick one from 1 on"),
        ({"edits": [], "front": [{"edits": []}] * 2}, -1, "has 2 models; pick one from 1 on"),
        ({"edits": [], "front": []}, 1, "has 0 models; pick one from 1 on"),
        ({"edits": []}, 1, "has no models to pick from; give the report of natonnx optimize --json"),
        ([ITEM], 1, "has no models to pick from; give the report of natonnx optimize --json"),
        ({"front": 3}, 1, "has no models to pick from; give the report of natonnx optimize --json"),
        ({"front": [7]}, 1, "an edit list is a JSON list of .*, not null"),
        ({"front": [{"edits": [{}]}]}, 1, "edit 1: has no edge, from, to; write .*"),
    ],
)
def test_what_cannot_be_picked_is_refused_in_one_line(data: object, pick: int, message: str) -> None:
    with pytest.raises(InputError, match=f"^here: {message}$"):
        parse_edits(json.dumps(data), "here", pick)


def test_other_keys_are_ignored() -> None:
    assert parse_edits(json.dumps([ITEM | {"why": "test"}]), "here") == EDITS[:1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"not JSON \(line 1: Expecting value\); write .*"),
        ("[\n{]", r"not JSON \(line 2: .*\); write .*"),
        ("{}", r"an edit list is a JSON list of .*, not an object"),
        ('"O"', r"an edit list is .*, not a string"),
        ("null", r"an edit list is .*, not null"),
        ("7", r"an edit list is .*, not a number"),
        ('{"edits": null}', r"an edit list is .*, not null"),
        ("[[]]", r"edit 1: should be .*, not a list"),
        ('["a"]', r"edit 1: should be .*, not a string"),
        ("[{}]", r"edit 1: has no edge, from, to; write .*"),
        (json.dumps([ITEM, {"edge": "a", "from": "O"}]), r"edit 2: has no to; write .*"),
        (json.dumps([ITEM | {"to": ""}]), r"edit 1: 'to' should be O, S, N or the name of an operation, not ''"),
        (json.dumps([ITEM | {"from": ["O"]}]), r"edit 1: 'from' should be O, S, N or .*, not \['O'\]"),
        (json.dumps([ITEM | {"to": None}]), r"edit 1: 'to' should be O, S, N or .*, not None"),
    ],
)
def test_bad_edits_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^here: {message}$"):
        parse_edits(text, "here")
