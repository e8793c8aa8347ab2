"""Compare the constants of two models: initializers and the values of Constant nodes, by name."""

from collections.abc import Collection, Mapping
from math import inf, isfinite, prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from natonnx.contract.diff import ChangedConstant, ConstantRow, Totals, Weights
from natonnx.tensors import read_tensor

__all__ = ["Constants", "compare_weights", "distance"]

_CHUNK = 1 << 20
"""Elements that are converted to float64 at once."""


class Constants(NamedTuple):
    """Constants of a model by name, their digests, and where its external data is."""

    tensors: Mapping[str, TensorProto]
    digests: Mapping[str, bytes]
    folder: Path | None


def compare_weights(before: Constants, after: Constants, rename: Mapping[str, str]) -> Weights:
    """Compare constants of the same name; of the others, tell those that are bit-identical under another name.

    Args:
        before: Those of one model.
        after: Those of the other.
        rename: Names of the other model's tensors in the one, where they are known to differ.

    Returns:
        Totals, how many tensors are the same, and rows for those that are changed (those of another shape first, then
        the largest relative change), renamed, removed and added.

    Raises:
        InputError: If external data cannot be read.
    """
    given = frozenset(rename.values())
    pairs = {name: rename.get(name) or ("" if name in given else name) for name in after.tensors}
    pairs = {new: old for new, old in pairs.items() if old in before.tensors}
    changed = [_change(old, new, before, after) for new, old in pairs.items()]
    kept = [row for row in changed if row is not None]
    moved = _moved(before, after, set(pairs.values()), set(pairs))
    matched = set(pairs.values()) | {old for old, _ in moved}, set(pairs) | {new for _, new in moved}
    renamed = [(old, new) for new, old in pairs.items() if old != new] + moved
    return {
        "before": _totals(before),
        "after": _totals(after),
        "same": len(pairs) + len(moved) - len(kept),
        "changed": sorted(kept, key=_size, reverse=True),
        "renamed": [{"before": old, "after": new} for old, new in renamed],
        "removed": [_row(name, tensor) for name, tensor in before.tensors.items() if name not in matched[0]],
        "added": [_row(name, tensor) for name, tensor in after.tensors.items() if name not in matched[1]],
    }


def _totals(held: Constants) -> Totals:
    return {"tensors": len(held.tensors), "elements": sum(prod(tensor.dims) for tensor in held.tensors.values())}


def _row(name: str, tensor: TensorProto) -> ConstantRow:
    return {"name": name, "dtype": _dtype(tensor), "shape": list(tensor.dims)}


def _dtype(tensor: TensorProto) -> str:
    return TensorProto.DataType.Name(tensor.data_type).lower()


def _change(name: str, name_after: str, before: Constants, after: Constants) -> ChangedConstant | None:
    """Return how a tensor changed; None where it is bit-identical."""
    if before.digests[name] == after.digests[name_after]:
        return None
    old, new = before.tensors[name], after.tensors[name_after]
    row: ChangedConstant = {
        "name": name,
        "dtype": [_dtype(old), _dtype(new)],
        "shape": [list(old.dims), list(new.dims)],
        "max_abs": None,
        "relative_l2": None,
    }
    if old.dims == new.dims:
        row["max_abs"], row["relative_l2"] = distance(read_tensor(old, before.folder), read_tensor(new, after.folder))
    return row


def _size(row: ChangedConstant) -> float:
    """Return what changed rows are ordered by."""
    return inf if row["relative_l2"] is None else float(row["relative_l2"])


def distance(old: np.ndarray, new: np.ndarray) -> tuple[float | None, float | None]:
    """Measure the largest absolute difference of two arrays, and its norm relative to the old one's.

    The second is the norm itself where the old array is all zeros. Both are inf where a number is not finite and not
    the same in both, and None for what is no number.
    """
    kinds = old.dtype.kind + new.dtype.kind
    if set(kinds) & set("OSU"):
        return None, None
    wide = np.complex128 if "c" in kinds else np.longdouble if set(kinds) <= set("iu") else np.float64
    largest, squares, scale = 0.0, 0.0, 0.0
    old, new = old.reshape(-1), new.reshape(-1)
    for start in range(0, old.size, _CHUNK):
        a, b = (value[start : start + _CHUNK].astype(wide) for value in (old, new))
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        if not (np.isfinite(a) & np.isfinite(b) | same).all():
            return inf, inf
        difference = np.abs(np.subtract(b, a, out=np.zeros_like(a), where=~same))
        largest = max(largest, float(np.max(difference, initial=0.0)))
        with np.errstate(over="ignore"):
            squares += float(np.sum(difference**2))
            scale += float(np.sum(np.abs(a[np.isfinite(a)]) ** 2))
    return largest, (squares / scale if scale and isfinite(scale) else squares) ** 0.5


def _moved(before: Constants, after: Constants, old: Collection[str], new: Collection[str]) -> list[tuple[str, str]]:
    """Pair further tensors of one digest, in the order of the files."""
    waiting: dict[bytes, list[str]] = {}
    for name in after.tensors:
        if name not in new:
            waiting.setdefault(after.digests[name], []).append(name)
    pairs = []
    for name in before.tensors:
        twins = waiting.get(before.digests[name], [])
        if name not in old and twins:
            pairs.append((name, twins.pop(0)))
    return pairs
