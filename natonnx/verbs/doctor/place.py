"""The machine: threads, memory, and room for files."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from natonnx.contract.doctor import Finding, HostRow, finding
from natonnx.control_groups import cpu_limit, memory_limit
from natonnx.machine import machine
from natonnx.memory import total_memory, usable_memory

__all__ = ["find_place", "host"]

_THREADS = "OMP_NUM_THREADS"
_MEMORY = 512 << 20
"""Bytes that Python, libraries, a small model and a batch take."""
_SPACE = 64 << 20
"""Bytes of files beside a small model: the state of a search, the model that is written."""


def host() -> HostRow:
    """Ask the system."""
    here = machine()
    return {
        "system": here.system,
        "cpu": here.cpu,
        "gpus": list(here.gpus),
        "processors": os.cpu_count() or here.cores,
        "usable_processors": here.cores,
        "processor_limit": cpu_limit(),
        "omp_num_threads": os.environ.get(_THREADS),
        "memory_bytes": total_memory(),
        "memory_limit_bytes": memory_limit(),
        "usable_memory_bytes": usable_memory(),
        "temporary_bytes": _free(_temporary()),
        "folder_bytes": _free(_current()),
    }


def find_place(row: HostRow) -> Iterator[Finding]:
    """Judge whether there is room for a search."""
    yield _threads(row)
    yield _memory(row)
    yield _room("temporary files", _temporary(), row["temporary_bytes"], "set TMPDIR to a folder that has room", True)
    yield _room("this folder", _current(), row["folder_bytes"], "write elsewhere, by -o FILE", False)


def _threads(row: HostRow) -> Finding:
    usable, limit, given = row["usable_processors"], row["processor_limit"], row["omp_num_threads"]
    detail = f"{usable} of {row['processors']} processors may be used"
    if limit is not None:
        detail += f", the control group allows the time of {limit:g}"
    if given is not None:
        detail += f", {_THREADS}={given}"
        if re.fullmatch(r"\s*0*[1-9]\d*\s*(,\s*0*[1-9]\d*\s*)*", given) is None:
            return finding("threads", "broken", detail, f"set {_THREADS} to a whole number, or not at all")
    fewest = usable if limit is None else min(usable, max(1, round(limit)))
    threads = usable if given is None else int(given.split(",")[0])
    remedy = f"{_THREADS}={fewest} keeps threads from waiting for each other" if threads > fewest else None
    return finding("threads", "ok", detail, remedy)


def _memory(row: HostRow) -> Finding:
    usable, total, limit = row["usable_memory_bytes"], row["memory_bytes"], row["memory_limit_bytes"]
    detail = f"{_size(usable)} may still be taken"
    detail += f" of {_size(total)}" if total is not None else ""
    detail += f", the control group allows {_size(limit)}" if limit is not None else ""
    if usable < _MEMORY:
        remedy = f"end other programs, or raise the limit: natonnx alone takes about {_size(_MEMORY)}"
        return finding("memory", "broken", detail, remedy, needed=True)
    return finding("memory", "ok", detail, needed=True)


def _room(name: str, folder: Path | None, free: int | None, remedy: str, needed: bool) -> Finding:
    if folder is None or free is None:
        return finding(name, "broken", "there is no folder that can be used", remedy, needed=needed)
    detail = f"{_size(free)} free in {folder}"
    try:
        with tempfile.TemporaryFile(prefix="natonnx.", dir=folder) as file:
            file.write(b"natonnx")
            file.flush()
    except OSError as error:
        return finding(name, "broken", f"{folder}: cannot be written ({error.strerror})", remedy, needed=needed)
    return finding(name, "broken" if free < _SPACE else "ok", detail, remedy if free < _SPACE else None, needed=needed)


def _temporary() -> Path | None:
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        return None


def _current() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it was removed
        return None


def _free(folder: Path | None) -> int | None:
    try:
        return None if folder is None else shutil.disk_usage(folder).free
    except OSError:
        return None


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
