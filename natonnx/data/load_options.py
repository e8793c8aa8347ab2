"""How data is read: by how many workers, and how much of it stays in memory."""

import math
import re
from dataclasses import dataclass

from natonnx import launched
from natonnx.errors import InputError
from natonnx.machine import processors
from natonnx.memory import resident_memory, usable_memory

__all__ = ["LoadOptions"]

SHARE = 0.25
"""Of the memory that the process may use, for samples."""
_WORKERS = 4
"""Threads beyond which decoding hardly gains (docs/commands.md#much-data)."""

_UNITS = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_LIBRARIES = 512 << 20
"""Of a limit, for Python, libraries, the model and a batch: torch, DGL and onnxruntime take 310 MiB as they load."""


@dataclass(frozen=True)
class LoadOptions:
    """How data is read.

    Attributes:
        workers: Threads that decode pictures, or processes that read a torch data set of the user's own, while the
            model runs; 0 for none; where None as many threads as there are processors, four at most, and no process.
        cache: What samples may take in memory: a share of what the process may use, up to 1, or bytes; a text may have
            a unit, such as ``4GiB``. A quarter where None.
        memory: What the whole process may take, libraries included: bytes, or a share of what it could take as this is
            made. What is held to save work is a fixed part of it. No limit where None.

    Raises:
        InputError: If one of them means nothing.
    """

    workers: int | None = None
    cache: float | str | None = None
    memory: float | str | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and not 0 <= self.workers <= 1024:
            raise InputError(f"workers {self.workers} must be from 0, for none, to 1024")
        _amount(self.cache, "cache")
        if self.memory is not None:
            value, is_share = _amount(self.memory, "memory")
            most = resident_memory() + usable_memory() if is_share else 1
            object.__setattr__(self, "memory", int(value * most))  # a share is of what there is now

    @property
    def threads(self) -> int:
        """Threads that decode."""
        return min(_WORKERS, processors()) if self.workers is None else self.workers

    @property
    def processes(self) -> int:
        """Processes that read a user's own data set."""
        return self.workers or 0

    @property
    def cache_bytes(self) -> int:
        """Bytes that samples may take in memory; of a share, ranks of torchrun on one machine have equal parts."""
        value, is_share = _amount(self.cache, "cache")
        spare = self.spare_bytes
        if is_share:
            return int(value * (usable_memory() / launched.neighbours() if spare is None else spare))
        return int(value) if spare is None else min(int(value), spare)

    @property
    def spare_bytes(self) -> int | None:
        """Bytes of `memory` behind those that Python and libraries take; None where there is no limit."""
        return None if self.memory is None else max(0, int(self.memory) - _LIBRARIES)


def _amount(given: float | str | None, name: str) -> tuple[float, bool]:
    """Return a number, and whether it is a share of the memory rather than bytes."""
    match = re.fullmatch(r"\s*([0-9.eE+-]+?)\s*([a-zA-Z%]*)\s*", str(SHARE if given is None else given))
    try:
        value, unit = (float(match[1]), match[2]) if match else (math.nan, "")
    except ValueError:
        value, unit = math.nan, ""
    value = value / 100 if unit == "%" else value * _UNITS.get(unit, 1)
    if not 0 <= value < math.inf or unit not in ("", "%", *_UNITS) or (unit == "%" and value > 1):
        raise InputError(
            f"{name} {given}: give a share of the memory from 0 to 1, such as 0.25, or an amount such as 500MB or 4GiB"
        )
    return value, unit == "%" or (not unit and value <= 1)
