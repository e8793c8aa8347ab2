"""What machine this is, and what of it a process may use."""

import os
from pathlib import Path

import pytest

from natonnx.control_groups import cpu_limit, memory_left, memory_limit
from natonnx.machine import machine, processors
from natonnx.memory import resident_memory, total_memory, usable_memory

MIB = 2**20


def test_the_machine(tmp_path: Path) -> None:
    here = machine()
    assert here.system.split()
    assert 1 <= here.cores <= (os.cpu_count() or 1)
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nprocessor\t: 1\n", encoding="utf-8")
    for name, text in (("0", "Model: \t\t NVIDIA A\nIRQ: 1\n"), ("1", "Model: \t\t NVIDIA B\n"), ("2", "")):
        (tmp_path / "gpus" / name).mkdir(parents=True)
        (tmp_path / "gpus" / name / "information").write_text(text, encoding="utf-8")
    made_up = machine(tmp_path / "cpuinfo", tmp_path / "gpus")
    assert (made_up.cpu, made_up.gpus) == ("A CPU @ 2 GHz", ("NVIDIA A", "NVIDIA B"))
    assert machine(tmp_path / "none", tmp_path / "none").gpus == ()


def test_memory() -> None:
    total = total_memory()
    assert total is not None
    assert 0 < usable_memory() <= total
    assert 10 * MIB < resident_memory() < total


def tree(folder: Path, files: dict[str, str]) -> tuple[Path, Path]:
    """Write what the system would say of its groups."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="ascii")
    return folder / "own", folder / "groups"


def test_limits_of_control_groups(tmp_path: Path) -> None:
    """Those above count too; `max` is none."""
    where = tree(
        tmp_path,
        {
            "own": "0::/outer/inner\n",
            "groups/outer/memory.max": f"{100 * MIB}\n",
            "groups/outer/memory.current": f"{30 * MIB}\n",
            "groups/outer/memory.stat": f"anon 5\ninactive_file {MIB}\n",
            "groups/outer/cpu.max": "150000 100000\n",
            "groups/outer/inner/memory.max": "max\n",
            "groups/outer/inner/memory.current": f"{20 * MIB}\n",
            "groups/outer/inner/cpu.max": "max 100000\n",
        },
    )
    assert (cpu_limit(*where), memory_limit(*where), list(memory_left(*where))) == (1.5, 100 * MIB, [71 * MIB])


def test_limits_of_the_first_version(tmp_path: Path) -> None:
    where = tree(
        tmp_path,
        {
            "own": "3:cpu,cpuacct:/job\n2:memory:/job\n1:cpuset:/other\n",
            "groups/cpu,cpuacct/job/cpu.cfs_quota_us": "50000\n",
            "groups/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            "groups/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "groups/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "groups/memory/job/memory.limit_in_bytes": f"{64 * MIB}\n",
            "groups/memory/job/memory.usage_in_bytes": f"{4 * MIB}\n",
            "groups/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "groups/memory/memory.usage_in_bytes": "0\n",
        },
    )
    assert (cpu_limit(*where), memory_limit(*where), min(memory_left(*where))) == (0.5, 64 * MIB, 60 * MIB)


def test_no_control_groups(tmp_path: Path) -> None:
    where = tmp_path / "own", tmp_path
    assert (cpu_limit(*where), memory_limit(*where), list(memory_left(*where))) == (None, None, [])


def test_processors_are_those_that_may_be_used() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("the system does not tie processes to processors")
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert processors() == machine().cores == 1
    finally:
        os.sched_setaffinity(0, allowed)
