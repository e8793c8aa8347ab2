"""Time and memory of training steps."""

import statistics
import time
from collections.abc import Iterator, Sequence

import torch

from tools.benchmarks.bench_supernet import Call, pairs

__all__ = ["HEADER", "rows"]

HEADER = (
    *("network", "amp", "native, ms", "supernet, ms", "ratio", "quartiles"),
    *("native, peak MiB", "supernet, peak MiB"),
)
_AT_ONCE = 10
"""Steps between two looks at the clock, where the host has to wait for the device first."""


def rows(networks: Sequence[str], batch: int, rounds: int, device: torch.device) -> Iterator[list[str]]:
    """Time each network with and without bfloat16, native and as a supernet, in turn."""
    for name in networks:
        for short in (False, True):
            calls, _ = pairs(name, batch, device, short=short)
            memory = [_peak(call, device) for call in calls]
            times = [[_seconds(call, device) for call in calls] for _ in range(rounds)]
            native, ours = (1e3 * statistics.median(row[i] for row in times) for i in range(2))
            low, middle, high = statistics.quantiles([second / first for first, second in times], n=4)
            told = [f"{native:.2f}", f"{ours:.2f}", f"{middle:.2f}", f"{low:.2f}, {high:.2f}"]
            yield [name, "bf16" if short else "off", *told, *memory]


def _seconds(call: Call, device: torch.device) -> float:
    if device.type != "cuda":
        begun = time.process_time()
        call()
        return time.process_time() - begun
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(_AT_ONCE):
        call()
    torch.cuda.synchronize()
    return (time.perf_counter() - begun) / _AT_ONCE


def _peak(call: Call, device: torch.device) -> str:
    """Return the most memory of the device during a step; the first ones warm up."""
    for _ in range(2):
        call()
    if device.type != "cuda":
        return "–"
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return f"{torch.cuda.max_memory_allocated() / 2**20:.0f}"
