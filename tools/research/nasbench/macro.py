"""NAS-Bench-Macro: chains of eight layers, the accuracy of each with any layers removed, under a budget of FLOPs.

A network is eight digits: 1 and 2 are inverted residuals (expansion 3, kernel 3; expansion 6, kernel 5), 0 an identity
(Su et al. 2021). Full-depth ones are β's like any model's: an edge a layer, O, which may become S, "removed", and by
the transitions of NAT++ a 2 may become a 1. What that loses and saves is read from the table.
"""

import functools
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from natonnx.architecture import (
    Architecture,
    Choice,
    Edge,
    FeatureMap,
    Join,
    Operation,
    Skip,
    State,
    Topology,
    Weight,
    match_skip,
)
from natonnx.search.price import Exact, Followed, Repriced
from tools.research.cells import Transitions

__all__ = [
    "FULL_DEPTH",
    "LAYERS",
    "NETWORKS",
    "Flops",
    "Macro",
    "alphas",
    "best_within",
    "network",
    "read_macro",
    "text",
]

LAYERS = 8
FULL_DEPTH = tuple(map("".join, itertools.product("12", repeat=LAYERS)))
"""The networks in which nothing is removed, 2⁸."""
NETWORKS = tuple(map("".join, itertools.product("012", repeat=LAYERS)))
"""All, 3⁸; the position of each is what its digits say to base 3."""
_WIDTHS = (32, 64, 64, 128, 128, 128, 256, 256, 256)
_SIZES = (32, 16, 16, 8, 8, 8, 4, 4, 4)
_KINDS = {"1": (3, 3), "2": (6, 5)}  # expansion, kernel
_LESS = State("1")


@dataclass(frozen=True)
class Macro:
    """The table, by digits.

    Attributes:
        accuracy: On CIFAR-10's test set, mean of three trainings, percent. There is no other: it is what a search sees
            and what is reported.
        flops: Multiply-adds, stem and classifier included.
    """

    accuracy: Mapping[str, float]
    flops: Mapping[str, float]


def read_macro(path: Path) -> Macro:
    """Read the table, `nas-bench-macro_cifar10.json` of its authors.

    Raises:
        ClickException: If it is not one.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        found = {key: (float(rows[key]["mean_acc"]), float(rows[key]["flops"])) for key in NETWORKS}
    except (KeyError, TypeError, ValueError) as error:
        raise click.ClickException(
            f"{path}: needs mean_acc and flops of all 3⁸ networks, 00000000 to 22222222 ({error!r})"
        ) from None
    return Macro({key: row[0] for key, row in found.items()}, {key: row[1] for key, row in found.items()})


@functools.cache
def network(digits: str, transitions: Transitions = "nat") -> Architecture:
    """Make a network: a chain of eight edges, O with the cost of the layer, or S.

    Args:
        digits: One of `NETWORKS`.
        transitions: Whether a 2 may become a 1.
    """
    maps = [
        FeatureMap(str(i), ("batch", width, size, size), Join.SINGLE if i else Join.INPUT)
        for i, (width, size) in enumerate(zip(_WIDTHS, _SIZES, strict=True))
    ]
    edges = []
    for i, digit in enumerate(digits):
        skip = match_skip(maps[i].shape, maps[i + 1].shape)
        assert isinstance(skip, Skip)  # the maps differ by a factor of two at most
        layer = None if digit == "0" else _inverted_residual(i, digit)
        less = Choice(_LESS, _inverted_residual(i, "1"), (State.S, State.N))
        cheaper = (less,) if digit == "2" and transitions == "nat++" else ()
        edges.append(Edge(f"layer{i}", str(i), str(i + 1), layer, skip, cheaper=cheaper))
    states = tuple(State.S if digit == "0" else State.O for digit in digits)
    return Architecture(Topology(tuple(maps), tuple(edges), (str(LAYERS),)), states)


def text(digits: str, alpha: Architecture) -> str:
    """Write what a network becomes: its digits, 0 where a layer is removed."""
    names = {State.S: "0", State.N: "0", _LESS: "1"}
    return "".join(names.get(state, digit) for digit, state in zip(digits, alpha.states, strict=True))


def alphas(digits: str, transitions: Transitions = "nat") -> Iterator[str]:
    """Give all that a network becomes, itself among them, 2⁸ where no layer becomes another."""
    less = {"2": "012"} if transitions == "nat++" else {}
    return map("".join, itertools.product(*(less.get(digit, f"0{digit}") for digit in digits)))


def best_within(table: Macro, digits: str, target: float, transitions: Transitions = "nat") -> float:
    """Return the highest accuracy that is left at a cost of at most `target`, a fraction of β's."""
    full = table.flops[digits]
    return max(table.accuracy[alpha] for alpha in alphas(digits, transitions) if table.flops[alpha] / full <= target)


@dataclass(frozen=True)
class Flops(Exact):
    """What a network's α's cost by the table.

    Attributes:
        table: It.
        digits: The network.
    """

    table: Macro
    digits: str

    name = "flops"
    label = "FLOPs"

    @property
    def full(self) -> float:
        """See `Price.full`."""
        return self.table.flops[self.digits]

    def cost(self, architecture: Architecture) -> float:
        """See `Price.cost`."""
        return self.table.flops[text(self.digits, architecture)]

    def follow(self, beta: Architecture) -> Followed:
        """See `Price.follow`."""
        return Repriced(self, beta)

    def savings(self, beta: Architecture) -> npt.NDArray[np.float64]:
        """See `Price.savings`."""
        saved = np.zeros((LAYERS, beta.topology.width))
        for i, (edge, state) in enumerate(zip(beta.topology.edges, beta.states, strict=True)):
            for wanted in edge.successors[state]:
                if wanted != State.N:
                    after = beta.with_states((*beta.states[:i], wanted, *beta.states[i + 1 :]))
                    saved[i, edge.columns[wanted]] = self.cost(beta) - self.cost(after)
        return saved


def _inverted_residual(layer: int, digit: str) -> Operation:
    """Describe a layer; kind and geometry are those of its first convolution, as in `cell_op`."""
    expansion, kernel = _KINDS[digit]
    inner, source, target = expansion * _WIDTHS[layer], _WIDTHS[layer], _WIDTHS[layer + 1]
    before, after = _SIZES[layer] ** 2, _SIZES[layer + 1] ** 2
    expand, depthwise, project = source * inner, kernel**2 * inner, inner * target
    weights = (
        Weight(f"layer{layer}.expand", expand + 2 * inner),
        Weight(f"layer{layer}.depthwise", depthwise + 2 * inner),
        Weight(f"layer{layer}.project", project + 2 * target),
    )
    return Operation("Conv", (1, 1), (1, 1), 1, weights, expand * before + (depthwise + project) * after)
