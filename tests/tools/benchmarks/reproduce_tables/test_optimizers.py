"""NAO's table: runs that are there are read, and what is no run is refused."""

import json
from pathlib import Path

import pytest

from natonnx.errors import InputError
from tests.tools.research.nasbench.cells import write_cells
from tools.benchmarks.reproduce_tables.optimizers import _file, _job, compare


def test_a_run_that_is_there_is_not_run_again(tmp_path: Path) -> None:
    """One run in a process of its own; its file, with other numbers, stands for a run of another optimizer as well."""
    table, folder, told = tmp_path / "table.csv", tmp_path / "runs", list[str]()
    write_cells(table)
    ((name, nao),) = compare(table, ["nao"], 1, 1, folder, 1, told.append)
    assert (name, told) == ("nao", ["nao 0"])
    (path,) = folder.iterdir()
    row = json.loads(path.read_text(encoding="utf-8"))
    row["measures"]["cifar10"]["both"]["beta"] += 1
    gcn = _file(_job("gcn", 0, 1), folder)
    gcn.write_text(json.dumps(row), encoding="utf-8")
    again = compare(table, ["gcn", "nao"], 1, 1, folder, 1, told.append)
    assert told == ["nao 0"]
    assert [name for name, _ in again] == ["gcn", "nao"]
    assert again[1][1] == nao
    assert again[0][1]["cifar10"]["both"].beta == nao["cifar10"]["both"].beta + 1

    gcn.write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"json: is no run of this command \('measures'\); remove it$"):
        compare(table, ["nao", "gcn"], 1, 1, folder, 1, print)


@pytest.mark.slow
def test_policies_of_nat_are_run_beside_it(tmp_path: Path) -> None:
    table, told = tmp_path / "table.csv", list[str]()
    write_cells(table)
    first = compare(table, ["nao", "gcn"], 1, 1, tmp_path / "runs", 1, told.append)
    assert sorted(told) == ["gcn 0", "nao 0"]
    assert [name for name, _ in first] == ["nao", "gcn"]
    assert first[1][1]["cifar10"]["both"].dearer == 0
    again = compare(table, ["gcn", "nao"], 1, 1, tmp_path / "runs", 1, told.append)
    assert len(told) == 2
    assert dict(again) == dict(first)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^no optimizer is called 'nas'; there are nao, gcn, gcn-directed$"):
        compare(tmp_path, ["nas"], 1, 1, tmp_path, 1, print)
