"""Reading the table, and which cells are for what."""

from pathlib import Path

import click
import pytest
import torch

from tests.tools.research.nasbench.cells import text
from tools.research.nasbench.table import DATASETS, read_table, split

CELLS = [text([op] * 6) for op in ("nor_conv_3x3", "skip_connect", "none")]
HEADER = "index,cell,cifar10_test,cifar10_valid,cifar100_test,cifar100_valid,imagenet16_test,imagenet16_valid"


def _write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _rows() -> list[str]:
    """Percent; of the first cell 10.5, 30.5 and 50.5 on the test sets, 20, 40 and 60 on the validation sets."""
    return [f"{i},{cell},{10 + i}.5,{20 + i},{30 + i}.5,{40 + i},{50 + i}.5,{60 + i}" for i, cell in enumerate(CELLS)]


def test_a_table_holds_fractions_by_cell(tmp_path: Path) -> None:
    table = read_table(_write(tmp_path / "table.csv", HEADER, *_rows()))
    assert table.space.cells == tuple(CELLS)
    assert tuple(table.accuracies) == DATASETS
    for i, name in enumerate(DATASETS):
        assert table.accuracies[name].test.tolist() == pytest.approx([0.105 + 0.2 * i + 0.01 * k for k in range(3)])
        assert table.accuracies[name].validation.tolist() == pytest.approx([0.2 + 0.2 * i + 0.01 * k for k in range(3)])


def test_the_order_of_columns_does_not_matter(tmp_path: Path) -> None:
    lines = [",".join(reversed(line.split(","))) for line in (HEADER, *_rows())]
    turned = read_table(_write(tmp_path / "turned.csv", *lines))
    plain = read_table(_write(tmp_path / "table.csv", HEADER, *_rows()))
    assert turned.space.cells == plain.space.cells
    assert torch.equal(turned.accuracies["imagenet16"].test, plain.accuracies["imagenet16"].test)


@pytest.mark.parametrize(
    "lines",
    [
        [""],
        [HEADER],
        [HEADER.replace("cifar100_valid", "cifar100_val"), *_rows()],
        [HEADER.replace("cell", "architecture"), *_rows()],
        ["# a text file", "of two lines"],
    ],
    ids=["empty", "no rows", "a column missing", "no cells", "no table"],
)
def test_what_is_no_such_table_is_refused(tmp_path: Path, lines: list[str]) -> None:
    path = _write(tmp_path / "table.csv", *lines)
    with pytest.raises(click.ClickException) as caught:
        read_table(path)
    assert str(caught.value) == (
        f"{path}: needs the columns cell, cifar100_test, cifar100_valid, cifar10_test, cifar10_valid, "
        "imagenet16_test, imagenet16_valid"
    )


def test_every_cell_is_for_one_thing() -> None:
    found = split(15625)
    assert [len(part) for part in found] == [12000, 500, 3125]
    assert sorted(torch.cat(list(found)).tolist()) == list(range(15625))


def test_the_division_follows_the_seed() -> None:
    one, two, other = (split(15625, seed).held_out for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
