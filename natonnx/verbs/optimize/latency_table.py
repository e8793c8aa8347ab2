"""What was measured of a model's architectures on this machine, kept in a file for the next run."""

import hashlib
import json
import logging
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from natonnx.architecture import Architecture
from natonnx.errors import InputError
from natonnx.files import write_bytes
from natonnx.frontend import Source
from natonnx.machine import machine
from natonnx.search.keys import from_key, key
from natonnx.search.latency_model import Measured
from natonnx.verbs.model_comparison import Conditions, runtime_version

__all__ = ["LatencyTable", "table_file"]

_log = logging.getLogger(__name__)

_FORMAT = 1
_MOST = 1e9


class LatencyTable(NamedTuple):
    """Milliseconds of the model itself, and architectures as multiples of that."""

    full: float
    measured: list[Measured]

    def save(self, path: Path) -> None:
        """Write the table; where that cannot be, it is measured again the next time."""
        rows = [[key(one.architecture), one.ratio, one.error] for one in self.measured]
        text = json.dumps({"format": _FORMAT, "full_ms": self.full, "measured": rows}, indent=0)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, text.encode())
        except (OSError, InputError) as error:
            _log.info("latency table: not kept: %s", error)

    @staticmethod
    def load(path: Path, beta: Architecture) -> "LatencyTable | None":
        """Read a table; None where there is none, or it is damaged or of other edges."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            rows = [
                Measured(from_key(beta, str(states)), float(ratio), float(error))
                for states, ratio, error in found["measured"]
            ]
            full = float(found["full_ms"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        good = found.get("format") == _FORMAT and 0 < full < _MOST
        good = good and all(0 < one.ratio < _MOST and 0 <= one.error < _MOST for one in rows)
        return LatencyTable(full, rows) if good else None


def table_file(source: Source, conditions: Conditions, shapes: Sequence[str]) -> Path:
    """Return where the table of a model lies, by all that its latencies depend on: `~/.cache/natonnx/latency`.

    Args:
        source: The model.
        conditions: Provider and threads.
        shapes: The inputs, as text.
    """
    edges = [edge.name for edge in source.network.architecture.topology.edges]
    here = [platform.node(), machine(), runtime_version(), conditions.provider, conditions.threads]
    told = [_FORMAT, source.sha256, edges, *here, *shapes]
    name = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24]
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "natonnx" / "latency" / f"{name}.json"
