"""Names of one model's tensors in another that has the same graph, or the same beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import natonnx
from natonnx.differences.alignment import align_parts, share_names
from natonnx.frontend import parse
from tests.differences.test_digest import of, renamed
from tests.rewrite.helpers import Builder, copy, zoo_model, zoo_network

if TYPE_CHECKING:
    from pathlib import Path

    import onnx


def trunk(head: str, prefix: str = "") -> onnx.ModelProto:
    """Two convolutions in a row, and two alike side by side, with a head that exporters write in several ways."""
    graph = Builder()
    graph.conv(graph.op("Relu", graph.conv("x", "a"), out="r"), "b")
    graph.op("Add", graph.conv("b", "c"), graph.conv("b", "d"), out="s")
    if head == "pool":
        graph.op("Flatten", graph.op("GlobalAveragePool", "s", out="p"), out="y")
    else:
        graph.op("ReduceMean", "s", out="y", axes=[2, 3], keepdims=0)
    model = graph.model("y")
    return renamed(model, prefix) if prefix else model


def parts(before: onnx.ModelProto, after: onnx.ModelProto) -> dict[str, str]:
    return align_parts(before, after, (of(before).shape, of(after).shape))


def test_the_beginning_that_two_graphs_share_is_paired() -> None:
    found = parts(trunk("pool"), trunk("mean", "new_"))
    names = ["a", "a.w", "r", "b", "b.w", "s", "c", "c.w", "d", "d.w"]
    assert found == {"x": "x", **{f"new_{name}": name for name in names}}


def test_a_tensor_that_has_a_twin_is_not_paired_by_itself() -> None:
    """Which of c and d is which cannot be told, where nothing that both lead to is the same."""
    before, after = trunk("pool"), renamed(trunk("pool"))
    next(node for node in after.graph.node if node.op_type == "Add").op_type = "Mul"
    assert {"new_c", "new_d", "new_s", "y"}.isdisjoint(parts(before, after))
    assert parts(before, after)["new_b"] == "b"


def test_models_without_anything_in_common() -> None:
    before, after = zoo_model("resnet20"), zoo_model("vgg")
    assert parts(before, after) == {}
    assert not share_names(zoo_network("resnet20"), zoo_network("vgg"))


def test_names_that_mean_other_things_are_not_gone_by(tmp_path: Path) -> None:
    """The other exporter counts in another way: what it calls c is a here, and so on."""
    before, after = trunk("pool"), copy(trunk("mean"))
    swap = {"a": "c", "b": "d", "c": "a", "d": "b", "a.w": "c.w", "b.w": "d.w", "c.w": "a.w", "d.w": "b.w"}
    for node in after.graph.node:
        node.input[:], node.output[:] = ([swap.get(n, n) for n in names] for names in (node.input, node.output))
        node.name = swap.get(node.name.lower(), node.name.lower() + "0").upper()
    for tensor in after.graph.initializer:
        tensor.name = swap.get(tensor.name, tensor.name)
    assert not share_names(parse(before), parse(after))
    paths = tmp_path / "before.onnx", tmp_path / "after.onnx"
    for path, model in zip(paths, (before, after), strict=True):
        path.write_bytes(model.SerializeToString())
    found = natonnx.diff(*paths)
    assert found["edges"]["changes"] == []
    assert found["weights"]["changed"] == []
    assert found["weights"]["same"] == 4
    assert {"before": "a.w", "after": "c.w"} in found["weights"]["renamed"]
    assert {row["op_type"] for row in found["operators"]} == {"Flatten", "GlobalAveragePool", "ReduceMean"}
    assert len(found["nodes"]["added"]) == 1
    assert len(found["nodes"]["removed"]) == 2
