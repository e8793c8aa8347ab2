"""What a CI job is told of `natonnx optimize --json`, as NAME=VALUE lines. No package but Python's own is needed."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # natonnx need not be importable where this runs
    from natonnx.contract.optimize import OptimizeReport

__all__ = ["result"]

_COSTS: tuple[Literal["madds", "params"], ...] = ("madds", "params")


def result(payload: "OptimizeReport") -> list[str]:
    """STATUS, MODEL, MADDS_RATIO and PARAMS_RATIO, in this order; empty where there is none.

    Args:
        payload: That of `natonnx optimize --json`.
    """
    before, after = payload["input"], payload["output"]
    found = {"STATUS": payload["status"], "MODEL": (after and after["path"]) or ""}
    for key in _COSTS:
        old, new = before[key], after and after[key]
        found[f"{key.upper()}_RATIO"] = "" if not old or new is None else f"{new / old:.4f}"
    return [f"{name}={value}" for name, value in found.items()]


if __name__ == "__main__":
    print("\n".join(result(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
