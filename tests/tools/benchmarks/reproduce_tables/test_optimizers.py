"""NAO's table: runs that are there are read, and what is no run is refused."""

from pathlib import Path

import pytest

from natonnx.errors import InputError
from tests.tools.research.nasbench.cells import write_cells
from tools.benchmarks.reproduce_tables.optimizers import compare


def test_a_run_that_is_there_is_not_run_again(tmp_path: Path) -> None:
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


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    table, folder = tmp_path / "table.csv", tmp_path / "runs"
    write_cells(table)
    compare(table, ["nao"], 1, 1, folder, 1, print)
    (path,) = folder.iterdir()
    path.write_text("{}")
    with pytest.raises(InputError, match=r"json: is no run of this command \('measures'\); remove it$"):
        compare(table, ["nao"], 1, 1, folder, 1, print)
