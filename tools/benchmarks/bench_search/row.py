"""A finished run, as a line of JSON."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Key", "Row", "append", "pack", "read", "unpack"]


class Key(NamedTuple):
    """What tells runs apart."""

    network: str
    method: str
    target: float
    seed: int
    budget: float


@dataclass(frozen=True)
class Row:
    """What a run found.

    Attributes:
        network: Its name.
        method: Its name.
        target: Highest cost, as a fraction of β's; 1 of a method that edits nothing.
        seed: Of everything random.
        budget: Training images that it might use.
        data: What the accuracy is of.
        share: Multiply-adds of the model that was found, as a fraction of β's.
        accuracy: On the test part, by onnxruntime.
        samples: In the test part.
        correct: Which of them are right: bits, most significant first, as base64.
        images: Training images that were used, by kind (look_ups, training, teacher), and how many of them trained the
            weights of the model itself (own).
        cpu_seconds: Of the method alone.
        latency: Latency as a fraction of β's in onnxruntime on one thread, and its 95 % interval.
        edits: What was changed, as `natonnx apply` takes it.
        commit: Of natonnx.
    """

    network: str
    method: str
    target: float
    seed: int
    budget: float
    data: str
    share: float
    accuracy: float
    samples: int
    correct: str
    images: Mapping[str, float]
    cpu_seconds: float
    latency: tuple[float, float, float] | None
    edits: Sequence[Mapping[str, str]]
    commit: str

    @property
    def key(self) -> Key:
        """What tells it from other runs."""
        return Key(self.network, self.method, self.target, self.seed, self.budget)

    def right(self) -> npt.NDArray[np.bool_]:
        """Return which test samples are right [samples]."""
        return unpack(self.correct, self.samples)


def pack(right: npt.NDArray[np.bool_]) -> str:
    """Write flags [n] as base64."""
    return base64.b64encode(np.packbits(right).tobytes()).decode()


def unpack(text: str, count: int) -> npt.NDArray[np.bool_]:
    """Undo `pack` for so many flags."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=count).astype(bool)


def append(path: Path, row: Row) -> None:
    """Add a row to a file, as one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")


def read(path: Path) -> dict[Key, Row]:
    """Read the rows of a file; of several runs of the same the last one counts. A line that was cut off is no row."""
    rows: dict[Key, Row] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in lines:
        row = _row(line)
        if row is not None:
            rows[row.key] = row
    return rows


def _row(line: str) -> Row | None:
    try:
        values: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    if set(values) != {field.name for field in fields(Row)}:
        return None
    latency = values["latency"]
    return Row(**{**values, "latency": None if latency is None else tuple(latency)})
