"""Peak memory as a price: measured in fresh processes, as `natonnx bench` does."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from natonnx.architecture import Architecture
from natonnx.bench import find_provider, peak_memory
from natonnx.errors import InputError
from natonnx.frontend import Network, Source
from natonnx.rewrite import build
from natonnx.rewrite.write import write_model
from natonnx.search.measured_price import Measure, MeasuredPrice
from natonnx.search.memory import MemoryPredictor
from natonnx.search.price import Estimate
from natonnx.verbs.model_comparison import Conditions

__all__ = ["memory_price"]

_RUNS = 3


def memory_price(source: Source, inputs: Mapping[str, np.ndarray], conditions: Conditions, batch: int) -> MeasuredPrice:
    """Make the price.

    Args:
        source: The model.
        inputs: Of one batch.
        conditions: Provider and threads.
        batch: Samples in it.

    Raises:
        InputError: If the system does not tell what memory a process takes.
    """
    network, beta = source.network, source.network.architecture

    def bytes_of(alpha: Architecture) -> list[int]:
        return _measure(network, alpha, inputs, conditions)

    own = bytes_of(beta)
    full = float(np.median(own))

    def compare(alphas: Sequence[Architecture]) -> list[Estimate]:
        found = [sorted(bytes_of(alpha)) for alpha in alphas]
        return [Estimate(float(np.median(runs)) / full, runs[0] / max(own), runs[-1] / min(own)) for runs in found]

    measure = Measure("peak_memory_bytes", "peak memory (bytes)", full, compare)
    return MeasuredPrice(beta, measure, MemoryPredictor(beta, full, batch))


def _measure(
    network: Network, alpha: Architecture, inputs: Mapping[str, np.ndarray], conditions: Conditions
) -> list[int]:
    """Return the bytes of some fresh processes that run an architecture."""
    provider = find_provider(str(conditions.provider))
    with tempfile.TemporaryDirectory(prefix="natonnx.") as folder:
        path = Path(folder) / "model.onnx"
        write_model(build(network, alpha), network.folder, path)
        runs = [peak_memory(path, inputs, threads=conditions.threads, provider=provider) for _ in range(_RUNS)]
    found = [run for run in runs if run is not None]
    if len(found) < _RUNS:
        raise InputError("--target-memory: this system does not tell what memory a process takes; leave it out")
    return found
