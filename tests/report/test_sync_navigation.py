"""The mapping file for Model Explorer."""

import json
from pathlib import Path

import onnx
import pytest

from natonnx import apply
from natonnx.architecture import Edit, State
from natonnx.errors import InputError
from natonnx.report.sync_navigation import check_sync_navigation, sync_navigation
from tests.cli import tiny


def test_a_model_maps_to_itself() -> None:
    made = sync_navigation(tiny.model(), tiny.model())
    assert made["type"] == "sync_navigation"
    assert made["mapping"] == {node.name: node.name for node in tiny.model().graph.node}


def test_what_went_is_missing_on_the_other_side(tmp_path: Path) -> None:
    tiny.fill(tmp_path)
    output, _ = apply(tmp_path / "model.onnx", [Edit("two", State.O, State.N)])
    after = onnx.load(output)
    there = {node.name for node in after.graph.node}
    mapping = sync_navigation(tiny.model(), after)["mapping"]
    assert mapping.keys() == {node.name for node in tiny.model().graph.node}
    assert mapping["two"] == "two"
    assert "two" not in there
    assert mapping["head"] in there


def test_a_renamed_node_is_found_by_its_tensor_and_a_nameless_one_left_out() -> None:
    after, before = tiny.model(), tiny.model()
    after.graph.node[0].name = "other"
    before.graph.node[1].name = ""
    mapping = sync_navigation(before, after)["mapping"]
    assert mapping["stem"] == "other"
    assert "" not in mapping


def test_only_its_own_kind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps(sync_navigation(tiny.model(), tiny.model()), indent=1), encoding="utf-8")
    check_sync_navigation(path)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="natonnx did not write it"):
        check_sync_navigation(path)
    with pytest.raises(InputError, match="another output"):
        check_sync_navigation(tmp_path / "r.html", tmp_path / "r.html")
