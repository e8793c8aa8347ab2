"""Cells by their operations, and random accuracies of all of them, also as a table."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from natonnx.architecture import LETTERS, Architecture
from tools.research.nasbench.space import Space
from tools.research.nasbench.table import DATASETS, Accuracies, Split, split

__all__ = ["EVERY", "OPS", "STATES", "accuracies", "become", "split_small", "text", "working", "write_cells"]

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
STATES = LETTERS


def text(ops: Sequence[str]) -> str:
    a, b, c, d, e, f = ops
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


EVERY = tuple(map(text, itertools.product(OPS, repeat=6)))


def working(space: Space, count: int, seed: int = 0) -> Tensor:
    """Positions of random cells whose output depends on their input."""
    order = torch.randperm(len(space.cells), generator=torch.Generator().manual_seed(seed))
    return order[~torch.from_numpy(space.broken)[order]][:count]


def become(beta: Architecture, columns: Sequence[int]) -> Architecture:
    """The architecture with these states, by column of each edge."""
    pairs = zip(beta.topology.edges, columns, strict=True)
    return beta.with_states(tuple(edge.choices[column].state for edge, column in pairs))


def split_small(count: int, seed: int = 0) -> Split:
    """The division of that seed, but of the cells to choose settings by and of those held out some alone."""
    found = split(count, seed)
    return Split(found.training, found.tuning[:50], found.held_out[:400])


def accuracies(count: int, seed: int = 0) -> Accuracies:
    """Noise."""
    generator = torch.Generator().manual_seed(seed)
    return Accuracies(torch.rand(count, generator=generator), torch.rand(count, generator=generator))


def write_cells(path: Path) -> None:
    """Write noise as a table."""
    chance = np.random.default_rng(0)
    columns = [f"{name}_{part}" for name in DATASETS for part in ("valid", "test")]
    rows = [",".join([cell, *(f"{value:.2f}" for value in chance.uniform(10, 90, len(columns)))]) for cell in EVERY]
    path.write_text("\n".join([",".join(["cell", *columns]), *rows]), encoding="utf-8")
