"""What machine this is, as far as latencies depend on it."""

import os
import platform
from pathlib import Path
from typing import NamedTuple

__all__ = ["Machine", "machine"]

_CPUINFO = Path("/proc/cpuinfo")
_KEYS = ("model name", "Model", "cpu model", "Hardware")
"""What the processor's name stands behind, on x86, Arm boards, MIPS and older Arm."""


class Machine(NamedTuple):
    """A kind of machine: two of a kind are equal, whatever they are called.

    Attributes:
        system: Operating system and architecture, such as `Linux x86_64`.
        cpu: The processor's name; None where the system does not tell.
        cores: How many this process may use.
    """

    system: str
    cpu: str | None
    cores: int


def machine(cpuinfo: Path = _CPUINFO) -> Machine:
    """Ask the system.

    Args:
        cpuinfo: Linux's description of the processors.
    """
    system = f"{platform.system()} {platform.machine()}"
    allowed = getattr(os, "sched_getaffinity", None)
    cores = len(allowed(0)) if allowed else os.cpu_count() or 1
    return Machine(system, _cpu(cpuinfo), cores)


def _cpu(cpuinfo: Path) -> str | None:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or None
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return next((found[key] for key in _KEYS if found.get(key)), None)
