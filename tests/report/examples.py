"""Payloads for reports, made without a search."""

from typing import Any, cast

from natonnx.contract.edits import EditRow
from natonnx.contract.inspect import FeatureMapRow, InspectedEdge, Inspection, inspection
from natonnx.contract.objective import Objective, Unit
from natonnx.contract.optimize import CandidateRow, FrontRow, ModelRow, OptimizeReport, QualityRow
from natonnx.contract.schema import SCHEMA_VERSION
from natonnx.frontend import parse
from natonnx.report.environment import Environment
from tests.cli import tiny

__all__ = [
    "ACCURACY",
    "AGREEMENT",
    "ENVIRONMENT",
    "HOSTILE",
    "POINTS",
    "REWARD",
    "SHOWN",
    "found",
    "inspected",
    "made",
    "model",
    "quality",
    "stack",
]

HOSTILE = "</script><script>alert(1)</script><!--\"'&\u2028"
SHOWN = HOSTILE.replace("\u2028", "\\u2028")
"""A name that tries to end whatever element or attribute it stands in."""
ENVIRONMENT: Environment = {
    "command": "natonnx optimize 'a b.onnx' --html r.html",
    "versions": {"natonnx": "0.1.0", "onnx": "1.2.3", "dgl": None},
}
PERCENT: Unit = {"symbol": "%", "scale": 100.0, "difference": "points"}
POINTS: Unit = {"symbol": "points", "scale": 1.0, "difference": "points"}
ACCURACY: Objective = {
    "name": "labels",
    "measure": "accuracy",
    "unit": PERCENT,
    "outputs": [{"name": "scores", "measure": "accuracy"}],
}
AGREEMENT: Objective = {
    "name": "agreement",
    "measure": "agreement",
    "unit": PERCENT,
    "outputs": [{"name": "logits", "measure": "top-1 agreement"}, {"name": HOSTILE, "measure": "cosine"}],
}
REWARD: Objective = {
    "name": "mine.reward",
    "measure": "reward",
    "unit": {"symbol": "", "scale": 1.0, "difference": ""},
    "outputs": [],
}


def inspected(rename: dict[str, str] | None = None) -> Inspection:
    """The inspection of the tiny model, some nodes and tensors renamed."""
    model, names = tiny.model(), rename or {}
    for node in model.graph.node:
        node.name = names.get(node.name, node.name)
        for tensors in (node.input, node.output):
            tensors[:] = [names.get(tensor, tensor) for tensor in tensors]
    return inspection(parse(model), "some folder/model.onnx")


def quality(validation: float, test: float | None = None) -> QualityRow:
    """How good a model is, its standard errors not known."""
    return {
        "score": {"validation": validation, "test": test},
        "standard_error": {"validation": None, "test": None},
        "outputs": {"validation": {"scores": validation}, "test": None if test is None else {"scores": test}},
    }


def model(validation: float, test: float | None = None, **changed: Any) -> ModelRow:
    """A model as `optimize` reports it."""
    row: ModelRow = {
        "path": "model.onnx",
        "params": 1275,
        "madds": 78360,
        "size_bytes": 9000,
        "latency_ms": 2.0,
        **quality(validation, test),
    }
    return cast("ModelRow", {**row, **changed})


def made(validation: float = 0.91, **changed: Any) -> FrontRow:
    """A model of the front."""
    row: FrontRow = {
        "params": 691,
        "madds": 41496,
        "score": {"validation": validation, "test": None},
        "edits": [{"edge": "one", "from": "O", "to": "N"}],
        "target": 0.6,
        "share": 0.53,
        "lost": 0.9 - validation,
        "interval": (0.9 - validation - 0.02, 0.9 - validation + 0.02),
        "met": True,
        "images": 1920,
        "path": None,
    }
    return cast("FrontRow", {**row, **changed})


def found(edge: str = "one", **changed: Any) -> OptimizeReport:
    """The payload of a search on the tiny model: an edge became null, and another carries nothing any more."""
    edits: list[EditRow] = [{"edge": edge, "from": "O", "to": "N"}]

    def candidate(validation: float, madds: int, params: int, edits: list[EditRow]) -> CandidateRow:
        return {"params": params, "madds": madds, "score": {"validation": validation, "test": None}, "edits": edits}

    report: OptimizeReport = {
        "schema": SCHEMA_VERSION,
        "status": "improved",
        "objective": ACCURACY,
        "input": model(0.9),
        "output": model(0.91, madds=41496, params=691),
        "edits": edits,
        "idle_edges": ["two"],
        "constraints": [
            {
                "name": "madds",
                "label": "MAdds",
                "unit": None,
                "limit": 50000.0,
                "value": 41496.0,
                "met": True,
                "interval": None,
            }
        ],
        "checks": [{"name": "cost does not grow", "passed": True, "detail": "less"}],
        "without_gradient": [],
        "algorithm": "refit",
        "learner": "gcn-directed",
        "protocol": "fine-tuned",
        "seed": 3,
        "seconds": 12.3,
        "data": {"name": "set.npz", "samples": {"train": 800, "validation": 200, "test": None}, "notes": []},
        "history": [
            {"epoch": 1, "loss": 0.5, "reward": -0.1, "entropy": 3.0, "cost": 0.9, "limit": 1.0},
            {"epoch": 2, "loss": 0.4, "reward": float("nan"), "entropy": 2.0, "cost": 0.6, "limit": 0.7},
        ],
        "images": {"look_ups": 300, "training": 2400, "teacher": 800, "output": 1920},
        "finetuned_input": quality(0.905),
        "front": [made(edits=edits)],
        "nearest": None,
        "scored": [candidate(0.85, 41496, 691, edits), candidate(0.2, 4632, 100, edits * 2)],
    }
    return cast("OptimizeReport", {**report, **changed})


def stack(blocks: int) -> Inspection:
    """The inspection of a residual network: three edges a block that carry something, and a possible shortcut."""
    maps: list[FeatureMapRow] = [{"name": "map0", "shape": ["batch", 8, 8, 8], "join": "input", "inputs": []}]
    edges: list[InspectedEdge] = []

    def edge(source: int, target: int, state: str) -> None:
        kind = "Conv" if state == "O" else None
        name = f"edge{source}-{target}{state}"
        madds = 9 * len(edges) if kind else 0
        edges.append(
            {
                "name": name,
                "source": f"map{source}",
                "target": f"map{target}",
                "state": state,
                "operation": kind,
                "params": madds,
                "madds": madds,
                "legal": ["N"] if state != "N" else [],
                "illegal": {"S": "a reason"} if state != "S" else {},
                "cheaper": {},
            }
        )

    for block in range(blocks):
        first = 2 * block
        for step, join in ((1, "single"), (2, "sum")):
            maps.append({"name": f"map{first + step}", "shape": ["batch", 8, 8, 8], "join": join, "inputs": []})
        edge(first, first + 1, "O")
        edge(first + 1, first + 2, "O")
        edge(first, first + 2, "S")
        if block:
            edge(first - 1, first + 1, "N")
    total = sum(row["params"] for row in edges)
    return {
        "schema": SCHEMA_VERSION,
        "model": {"path": "stack.onnx", "opset": 17, "ir_version": 8, "inputs": [], "outputs": []},
        "cost": {"params": total, "madds": total},
        "feature_maps": maps,
        "edges": edges,
        "opaque": [],
    }
