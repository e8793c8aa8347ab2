"""The memory of this machine, and what of it this process has and may take."""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from natonnx.control_groups import memory_left

__all__ = ["resident_memory", "total_memory", "usable_memory"]

_UNKNOWN = 4 << 30
"""Bytes that are taken for free where the system does not say."""


def usable_memory() -> int:
    """Return the bytes that this process may still take: what is free, or left by its cgroup or its address space."""
    return max(0, min([*_limits()], default=_UNKNOWN))


def resident_memory() -> int:
    """Return the bytes that this process has in memory; 0 where the system does not say."""
    return 1024 * (_field(Path("/proc/self/status"), "VmRSS:") or 0)


def total_memory() -> int | None:
    """Return the machine's bytes of memory; None where the system does not say."""
    if sys.platform != "win32":
        with suppress(ValueError, OSError):
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _limits() -> Iterator[int]:
    free = _field(Path("/proc/meminfo"), "MemAvailable:")
    if free is not None:
        yield 1024 * free
    elif (total := total_memory()) is not None:
        yield total // 2
    yield from memory_left()
    if sys.platform != "win32":
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            yield limit - 1024 * (_field(Path("/proc/self/status"), "VmSize:") or 0)


def _field(path: Path, name: str) -> int | None:
    with suppress(OSError, ValueError):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    return None
