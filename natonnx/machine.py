"""What machine this is, as far as latencies depend on it, and how much of it this process may use."""

import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Machine", "machine", "processors"]

_CPUINFO = Path("/proc/cpuinfo")
_GPUS = Path("/proc/driver/nvidia/gpus")
_KEYS = ("model name", "Model", "cpu model", "Hardware")
"""What the processor's name stands behind, on x86, Arm boards, MIPS and older Arm."""


class Machine(NamedTuple):
    """A kind of machine: two of a kind are equal, whatever they are called.

    Attributes:
        system: Operating system and architecture, such as `Linux x86_64`.
        cpu: The processor's name; None where the system does not tell.
        cores: How many this process may use.
        gpus: Names of NVIDIA's devices; of others the system does not tell.
    """

    system: str
    cpu: str | None
    cores: int
    gpus: tuple[str, ...]


def machine(cpuinfo: Path = _CPUINFO, gpus: Path = _GPUS) -> Machine:
    """Ask the system.

    Args:
        cpuinfo: Linux's description of the processors.
        gpus: Where NVIDIA's driver describes its devices, a folder each.
    """
    system = f"{platform.system()} {platform.machine()}"
    devices = (_described(path, ("Model",)) for path in sorted(gpus.glob("*/information")))
    cpu = _described(cpuinfo, _KEYS) or platform.processor() or None
    return Machine(system, cpu, processors(), tuple(filter(None, devices)))


def processors() -> int:
    """Return how many processors this process may use, its control group's limit aside."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _described(path: Path, keys: Iterable[str]) -> str | None:
    """What stands behind the first of some keys that a file of the system has."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return next((found[key] for key in keys if found.get(key)), None)
