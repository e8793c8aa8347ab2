"""The table of accuracies: `nasbench201.csv`, 12 epochs, percent."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import click
import torch
from torch import Tensor

from natonnx.errors import InputError
from tools.research.cells import Transitions
from tools.research.nasbench.space import Space

__all__ = ["DATASETS", "Accuracies", "Split", "Table", "read_table", "split"]

DATASETS = ("cifar10", "cifar100", "imagenet16")
_PARTS = ("valid", "test")
_TRAINING = 12_000
_TUNING = 500


@dataclass(frozen=True)
class Accuracies:
    """Of every cell on one data set, as fractions [cells]: to choose by, and to report."""

    validation: Tensor
    test: Tensor


@dataclass(frozen=True)
class Table:
    """All cells and their accuracies by data set."""

    space: Space
    accuracies: dict[str, Accuracies]


def read_table(path: Path, transitions: Transitions = "nat") -> Table:
    """Read the table.

    Args:
        path: Of the CSV.
        transitions: Whether operations may become cheaper ones.

    Raises:
        ClickException: If it is not one.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {"cell", *(f"{name}_{part}" for name in DATASETS for part in _PARTS)}
    if not rows or not columns <= set(rows[0]):
        raise click.ClickException(f"{path}: needs the columns {', '.join(sorted(columns))}")

    try:
        accuracies = {
            name: Accuracies(*(torch.tensor([float(row[f"{name}_{part}"]) / 100 for row in rows]) for part in _PARTS))
            for name in DATASETS
        }
        return Table(Space([row["cell"] for row in rows], transitions), accuracies)
    except (TypeError, ValueError, InputError) as error:
        raise click.ClickException(f"{path}: a row is damaged: {error}") from None


class Split(NamedTuple):
    """Positions of β's: to train on, to choose settings by, and held out."""

    training: Tensor
    tuning: Tensor
    held_out: Tensor


def split(count: int, seed: int = 0) -> Split:
    """Divide the cells by a random order: 12,000, 500, and the 3,125 left over."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return Split(order[:_TRAINING], order[_TRAINING : _TRAINING + _TUNING], order[_TRAINING + _TUNING :])
