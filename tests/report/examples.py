"""Payloads for reports, made without a search."""

from typing import Any

from natonnx.frontend import parse
from natonnx.report.payload import inspection
from tests.cli import tiny

__all__ = ["ENVIRONMENT", "HOSTILE", "found", "inspected", "stack"]

HOSTILE = "</script><script>alert(1)</script><!--\"'&\u2028"
"""A name that tries to end whatever element or attribute it stands in."""
ENVIRONMENT: dict[str, Any] = {
    "command": "natonnx optimize 'a b.onnx' --html r.html",
    "versions": {"natonnx": "0.1.0", "onnx": "1.2.3", "dgl": None},
}


def inspected(rename: dict[str, str] | None = None) -> dict[str, Any]:
    """The inspection of the tiny model, some nodes and tensors renamed."""
    model, names = tiny.model(), rename or {}
    for node in model.graph.node:
        node.name = names.get(node.name, node.name)
        for tensors in (node.input, node.output):
            tensors[:] = [names.get(tensor, tensor) for tensor in tensors]
    return inspection(parse(model), "some folder/model.onnx")


def found(edge: str = "one", **changed: Any) -> dict[str, Any]:
    """The payload of a search on the tiny model: an edge became null, and another carries nothing any more."""
    edits = [{"edge": edge, "from": "O", "to": "N"}]

    def row(validation: float, madds: int = 78360, params: int = 1275, **more: Any) -> dict[str, Any]:
        return {
            "params": params,
            "madds": madds,
            "accuracy": {"validation": validation, "test": None},
            **more,
        }

    file = {"path": "model.onnx", "size_bytes": 9000, "latency_ms": 2.0}
    return {
        "status": "improved",
        "input": {**row(0.9), **file},
        "output": {**row(0.91, 41496, 691), **file},
        "edits": edits,
        "idle_edges": ["two"],
        "constraints": [{"name": "madds", "limit": 50000.0, "value": 41496.0, "met": True}],
        "checks": [{"name": "cost does not grow", "passed": True, "detail": "less"}],
        "without_gradient": [],
        "learner": "gcn-directed",
        "seed": 3,
        "seconds": 12.3,
        "history": [
            {"epoch": 1, "loss": 0.5, "reward": -0.1, "entropy": 3.0, "madds": 0.9, "limit": 1.0},
            {"epoch": 2, "loss": 0.4, "reward": float("nan"), "entropy": 2.0, "madds": 0.6, "limit": 0.7},
        ],
        "finetuned_input": {"accuracy": {"validation": 0.905, "test": None}},
        "candidates": [row(0.91, 41496, 691, edits=edits)],
        "scored": [row(0.85, 41496, 691, edits=edits), row(0.2, 4632, 100, edits=edits * 2)],
        **changed,
    }


def stack(blocks: int) -> dict[str, Any]:
    """The inspection of a residual network: three edges a block that carry something, and a possible shortcut."""
    maps = [{"name": "map0", "shape": ["batch", 8, 8, 8], "join": "input", "inputs": []}]
    edges: list[dict[str, Any]] = []

    def edge(source: int, target: int, state: str) -> None:
        kind = "Conv" if state == "O" else None
        name = f"edge{source}-{target}{state}"
        ends = {"source": f"map{source}", "target": f"map{target}"}
        madds = 9 * len(edges) if kind else 0
        legal, illegal = ["N"] if state != "N" else [], {"S": "a reason"} if state != "S" else {}
        row = {"name": name, **ends, "state": state, "operation": kind, "params": madds, "madds": madds}
        edges.append({**row, "legal": legal, "illegal": illegal})

    for block in range(blocks):
        first = 2 * block
        for step, join in ((1, "single"), (2, "sum")):
            maps.append({"name": f"map{first + step}", "shape": ["batch", 8, 8, 8], "join": join, "inputs": []})
        edge(first, first + 1, "O")
        edge(first + 1, first + 2, "O")
        edge(first, first + 2, "S")
        if block:
            edge(first - 1, first + 1, "N")
    model = {"path": "stack.onnx", "opset": 17, "ir_version": 8, "inputs": [], "outputs": []}
    total = sum(row["madds"] for row in edges)
    return {
        "model": model,
        "cost": {"params": total, "madds": total},
        "feature_maps": maps,
        "edges": edges,
        "opaque": [],
    }
