"""Names of one model's tensors in another that has the same graph, or the same beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import natonnx
from natonnx.frontend import parse
from natonnx.verbs.diff.alignment import align_parts, share_names
from tests.rewrite.helpers import Builder, copy, shipped_model, shipped_network
from tests.verbs.diff.test_digest import of, renamed

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
    before, after = shipped_model("resnet20"), shipped_model("vgg")
    assert parts(before, after) == {}
    assert not share_names(shipped_network("resnet20"), shipped_network("vgg"), {})


def test_names_that_mean_other_things_are_not_gone_by(tmp_path: Path) -> None:
    """The other exporter counts in another way: what it calls c is a here, and so on."""
    before, after = trunk("pool"), copy(trunk("mean"))
    swap = {"a": "c", "b": "d", "c": "a", "d": "b", "a.w": "c.w", "b.w": "d.w", "c.w": "a.w", "d.w": "b.w"}
    for node in after.graph.node:
        node.input[:], node.output[:] = ([swap.get(n, n) for n in names] for names in (node.input, node.output))
        node.name = swap.get(node.name.lower(), node.name.lower() + "0").upper()
    for tensor in after.graph.initializer:
        tensor.name = swap.get(tensor.name, tensor.name)
    networks = parse(before), parse(after)
    assert share_names(*networks, {})
    assert not share_names(*networks, parts(before, after))
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


def test_one_of_two_alike_is_not_said_to_be_the_only_one() -> None:
    def made(*, both: bool) -> onnx.ModelProto:
        graph = Builder()
        graph.conv("x", "a")
        graph.op("Relu", graph.conv("a", "c"), out="p")
        if both:
            graph.op("Neg", graph.conv("a", "d"), out="q")
            return graph.model("p", "q")
        return graph.model("p")

    two, one = made(both=True), renamed(made(both=False))
    assert parts(two, one) == {"x": "x", "new_a": "a", "new_a.w": "a.w", "new_c": "c", "new_c.w": "c.w", "p": "p"}
    two.graph.node[2].op_type = "Abs"  # now nothing tells which of c and d is the one
    assert parts(two, one) == {"x": "x", "new_a": "a", "new_a.w": "a.w"}
    assert parts(one, two) == {"x": "x", "a": "new_a", "a.w": "new_a.w"}


def test_dead_code_may_have_any_name(tmp_path: Path) -> None:
    """What no output depends on in the other model is called like something in the first one."""
    before = trunk("pool")
    after = renamed(before)
    after.graph.node.add(op_type="Neg", name="A", input=["new_a"], output=["a"])
    after.graph.initializer.add(name="a.w", data_type=1, dims=[1], float_data=[5.0])
    paths = tmp_path / "before.onnx", tmp_path / "after.onnx"
    for path, model in zip(paths, (before, after), strict=True):
        path.write_bytes(model.SerializeToString())
    found = natonnx.diff(*paths)
    assert found["differs_in"] == []
    assert [row["change"] for row in found["edges"]["changes"]] == []
    assert found["weights"]["added"] == [{"name": "a.w", "dtype": "float", "shape": [1]}]
    assert found["weights"]["changed"] == []
    assert found["nodes"]["added"] == ["A#2"]
    assert found["nodes"]["same"] == len(before.graph.node)
