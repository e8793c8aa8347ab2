"""What a CI job is told of `natonnx optimize --json`, as NAME=VALUE lines. No package but Python's own is needed."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["result"]


def result(payload: Mapping[str, Any]) -> list[str]:
    """STATUS, MODEL, MADDS_RATIO and PARAMS_RATIO, in this order; empty where there is none.

    Args:
        payload: That of `natonnx optimize --json`.
    """
    before, after = payload["input"], payload["output"]
    ratios = {
        f"{key.upper()}_RATIO": f"{after[key] / before[key]:.4f}" if after and before[key] else ""
        for key in ("madds", "params")
    }
    found = {"STATUS": payload["status"], "MODEL": after["path"] if after else "", **ratios}
    return [f"{name}={value}" for name, value in found.items()]


if __name__ == "__main__":
    print("\n".join(result(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
