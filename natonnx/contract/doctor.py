"""The payload of `natonnx doctor --json`."""

from typing import Literal, TypedDict

__all__ = ["Diagnosis", "Finding", "HostRow", "Mark", "finding"]

Mark = Literal["ok", "missing", "broken"]
"""It works; it is not there; it is there and does not work, or is in conflict with something."""


class Finding(TypedDict):
    """One thing that was looked at.

    Attributes:
        name: A package (`torch`), what ran (`torch cpu`, `onnxruntime cuda`), or a part of the machine (`memory`).
        mark: See `Mark`.
        detail: What was found, in one line.
        remedy: What to do, in one line; None where nothing is to be done.
        needed: Whether `natonnx optimize` cannot run without it.
    """

    name: str
    mark: Mark
    detail: str
    remedy: str | None
    needed: bool


class HostRow(TypedDict):
    """The machine, and what of it this process may use.

    Attributes:
        system: Operating system and architecture.
        cpu: The processor's name; None where the system does not tell.
        gpus: Names of NVIDIA's devices.
        processors: How many there are.
        usable_processors: How many of them this process may use.
        processor_limit: How many processors' time its control group may take; None where nothing limits it.
        omp_num_threads: `OMP_NUM_THREADS` of the environment; None where it is not set.
        memory_bytes: Of the machine; None where the system does not tell.
        memory_limit_bytes: Of its control group; None where there is none.
        usable_memory_bytes: What this process may still take.
        temporary_bytes: Free where temporary files go; None where they can go nowhere.
        folder_bytes: Free in the current folder; None where there is none any more.
    """

    system: str
    cpu: str | None
    gpus: list[str]
    processors: int
    usable_processors: int
    processor_limit: float | None
    omp_num_threads: str | None
    memory_bytes: int | None
    memory_limit_bytes: int | None
    usable_memory_bytes: int
    temporary_bytes: int | None
    folder_bytes: int | None


class Diagnosis(TypedDict):
    """What natonnx finds where it is installed.

    Attributes:
        schema: See `SCHEMA_VERSION`.
        ready: Whether `natonnx optimize` can run: nothing that it needs is missing or broken.
        versions: Of natonnx, Python and packages, by name; None where one is not installed.
        host: The machine.
        findings: A line each.
    """

    schema: int
    ready: bool
    versions: dict[str, str | None]
    host: HostRow
    findings: list[Finding]


def finding(name: str, mark: Mark, detail: str, remedy: str | None = None, *, needed: bool = False) -> Finding:
    """Make a finding, whose text stays in one line; what is ok and needs nothing done has no remedy."""
    return {"name": name, "mark": mark, "detail": " ".join(detail.split()), "remedy": remedy, "needed": needed}
