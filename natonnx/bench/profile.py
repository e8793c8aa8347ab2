"""Where the time of a model goes, by onnxruntime's own profiler."""

import json
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from natonnx.session import run

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["OperatorTime", "profile", "summarize"]

_RUNS = 30


class OperatorTime(NamedTuple):
    """Time of all nodes of one type on one provider.

    Attributes:
        op_type: The type in the graph that onnxruntime made of the file's: fused and reordered.
        provider: Where they ran.
        nodes: How many there are.
        ms: Milliseconds of one inference.
        share: Of all nodes' time, 0 to 1.
    """

    op_type: str
    provider: str
    nodes: int
    ms: float
    share: float


def profile(
    open_session: Callable[[Path], "InferenceSession"], inputs: Mapping[str, npt.NDArray[np.generic]]
) -> list[OperatorTime]:
    """Run a model under onnxruntime's profiler.

    Args:
        open_session: Makes a session that writes its profile to files whose names start so.
        inputs: Its inputs.

    Returns:
        Most time first. What the profiler itself costs is in the times.
    """
    with tempfile.TemporaryDirectory(prefix="natonnx.") as folder:
        runtime = open_session(Path(folder) / "profile")
        for _ in range(_RUNS):
            run(runtime, inputs)
        events = json.loads(Path(runtime.end_profiling()).read_text(encoding="utf-8"))
    return summarize(events, _RUNS)


def summarize(events: Iterable[Mapping[str, Any]], runs: int) -> list[OperatorTime]:
    """Sum up a profile by operator type and provider.

    A node's time is the median of its executions, so that the first, slow run counts no more than the others. Nodes
    within the body of an If, Loop or Scan count as part of that node.

    Args:
        events: onnxruntime's trace events, with microseconds.
        runs: How often the model ran.
    """
    durations: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
    for event in _outermost(events):
        args = event["args"]
        key = (args.get("op_name", ""), args.get("provider", ""), event["name"], str(args.get("node_index", "")))
        durations[key].append(event["dur"])
    nodes: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (op_type, provider, *_), times in durations.items():
        nodes[op_type, provider].append(1e-3 * statistics.median(times) * max(1, round(len(times) / runs)))
    total = sum(map(sum, nodes.values())) or 1.0
    rows = [OperatorTime(*key, len(times), sum(times), sum(times) / total) for key, times in nodes.items()]
    return sorted(rows, key=lambda row: (-row.ms, row.op_type, row.provider))


def _outermost(events: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The node executions that lie in no other one's time."""
    kernels = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    end = -1.0
    for event in sorted(kernels, key=lambda event: (event["ts"], -event["dur"])):
        if event["ts"] >= end or event["ts"] + event["dur"] > end:
            end = event["ts"] + event["dur"]
            yield event
