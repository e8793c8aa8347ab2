"""What is noted in a file of how it was made."""

import json

import onnx
import pytest

from natonnx.architecture import Edit, State
from natonnx.rewrite import add_provenance
from natonnx.rewrite.provenance import KEY
from tests.rewrite.helpers import copy, shipped_model

EDITS = (Edit("a", State.O, State.S), Edit("b->c", State.N, State.S), Edit("ü", State.S, State.N))
ITEM = {"edge": "a", "from": "O", "to": "S"}


def provenance(model: onnx.ModelProto) -> list[object]:
    (value,) = [prop.value for prop in model.metadata_props if prop.key == KEY]
    entries: list[object] = json.loads(value)
    return entries


ENTRY = {"version": "1", "source_sha256": "f00", "edits": [ITEM]}


def test_provenance_is_added_beside_the_files_metadata() -> None:
    model = copy(shipped_model("vgg"))
    add_provenance(model, version="1", source_sha256="f00", edits=EDITS[:1])
    assert provenance(model) == [ENTRY]
    assert list(model.metadata_props)[:-1] == list(shipped_model("vgg").metadata_props)


def test_provenance_of_a_second_run_follows_the_first() -> None:
    model = copy(shipped_model("vgg"))
    add_provenance(model, version="1", source_sha256="f00", edits=EDITS[:1])
    add_provenance(model, version="2", source_sha256="f01", edits=())
    assert provenance(model) == [ENTRY, {"version": "2", "source_sha256": "f01", "edits": []}]


@pytest.mark.parametrize(("old", "kept"), [("by hand", "by hand"), ('{"a": 1}', {"a": 1}), ("[1, 2]", None)])
def test_foreign_provenance_is_kept(old: str, kept: object) -> None:
    model = copy(shipped_model("vgg"))
    model.metadata_props.add(key=KEY, value=old)
    add_provenance(model, version="1", source_sha256="f00", edits=EDITS[:1])
    assert provenance(model) == [*([1, 2] if kept is None else [kept]), ENTRY]
