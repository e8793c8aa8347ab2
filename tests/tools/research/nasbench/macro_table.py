"""A made-up table of NAS-Bench-Macro."""

import json
from pathlib import Path

import numpy as np

from tools.research.nasbench.macro import LAYERS, NETWORKS

__all__ = ["write_macro"]


def write_macro(path: Path, seed: int = 0) -> Path:
    """Accuracies lose by each layer that is missing and by chance, FLOPs are sums."""
    chance = np.random.default_rng(seed)
    worth, price = chance.uniform(0.1, 3, LAYERS), chance.integers(1, 9, LAYERS)
    rows = {}
    for digits in NETWORKS:
        kept = np.array([int(digit) for digit in digits])
        accuracy = 90 - worth @ (kept == 0) + chance.normal(0, 0.3)
        rows[digits] = {"mean_acc": float(accuracy), "flops": int(10 + price @ kept), "params": 1}
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path
