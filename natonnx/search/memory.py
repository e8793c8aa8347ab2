"""Predict the peak memory of a process that runs an architecture: its weights, and the feature maps alive at once."""

import numpy as np

from natonnx.architecture import Architecture, cost, find_liveness, map_sizes
from natonnx.search.price import Estimate

__all__ = ["MemoryPredictor", "peak_numbers"]

_FLOAT = 4
"""Bytes."""


def peak_numbers(architecture: Architecture) -> int:
    """Return the most numbers that feature maps hold at once: one is made after the other, and kept to its last use."""
    topology = architecture.topology
    liveness = find_liveness(architecture)
    works = liveness.live & liveness.needed
    sizes = map_sizes(topology)
    last = list(range(len(topology.maps)))
    for e in np.flatnonzero(liveness.active).tolist():
        source, target = topology.ends[e]
        for read in (source, *topology.further_inputs.get(e, ())):
            last[read] = max(last[read], target)
    for target, sources in enumerate(topology.fixed_inputs):
        for source in sources if works[target] else ():
            last[source] = max(last[source], target)
    outputs = {topology.map_index[name] for name in topology.outputs}
    peak = held = 0
    ends: dict[int, int] = {}
    for i in np.flatnonzero(works).tolist():
        held += sizes[i]
        peak = max(peak, held)
        end = len(topology.maps) if i in outputs else last[i]
        ends[end] = ends.get(end, 0) + sizes[i]
        held -= ends.pop(i, 0)
    return peak


class MemoryPredictor:
    """Predicts peak memory as a multiple of β's; how much of what is counted is really saved, measurements tell.

    Args:
        beta: The given architecture.
        full: Bytes of a process that runs it.
        batch: Samples that it runs on.
    """

    def __init__(self, beta: Architecture, full: float, batch: int) -> None:
        self._beta, self._full, self._batch = beta, full, batch
        self._own = self._counted(beta)
        self._seen: list[tuple[float, float]] = []

    def predict(self, alpha: Architecture) -> float:
        """See `Predictor.predict`."""
        counted, real = (sum(column) for column in zip(*self._seen, strict=True)) if self._seen else (1.0, 1.0)
        return 1 - max(0.0, real / counted) * self._saved(alpha)

    def learn(self, alpha: Architecture, found: Estimate) -> None:
        """See `Predictor.learn`."""
        if (saved := self._saved(alpha)) > 0:
            self._seen.append((saved, 1 - found.value))

    def _saved(self, alpha: Architecture) -> float:
        return (self._own - self._counted(alpha)) / self._full

    def _counted(self, architecture: Architecture) -> float:
        """Return bytes of weights and of feature maps."""
        return _FLOAT * (cost(architecture).params + self._batch * peak_numbers(architecture))
