"""What searches of NAS-Bench-Macro come to."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from natonnx.architecture import Architecture, State
from natonnx.search.lookup import Lookups
from natonnx.search.propose import make_proposer
from tests.tools.research.nasbench.macro_table import write_macro
from tools.research.nasbench.macro import FULL_DEPTH, LAYERS, NETWORKS, Macro, network, read_macro
from tools.research.nasbench.regret import BUDGETS, LOOK_UPS, Regret, Searched, sample, search, worth
from tools.research.nasbench.report import regret_table

DIGITS = "12211212"
OF = Searched("counting", DIGITS, 0)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Macro:
    return read_macro(write_macro(tmp_path_factory.mktemp("macro") / "macro.json"))


class _Counting:
    """Looks up what has most layers removed first, whatever the target: 255, 254, … as bits."""

    policy = None

    def propose(self, lookups: Lookups, targets: Sequence[float], generator: torch.Generator) -> None:
        del targets, generator
        lookups.score(lookups.beta)
        for layers in range(255, 0, -1):
            if lookups.left:
                lookups.score(_without(lookups.beta, layers))


def _without(beta: Architecture, layers: int) -> Architecture:
    return beta.with_states(tuple(State.S if layers >> i & 1 else State.O for i in range(LAYERS)))


def _digits(layers: int) -> str:
    return "".join("0" if layers >> i & 1 else digit for i, digit in enumerate(DIGITS))


def test_regret_is_what_the_best_look_up_lacks(table: Macro) -> None:
    """The first look-ups and no more; β's own is none."""
    found = list(search(table, OF, _Counting))
    assert len(found) == 2 * len(BUDGETS) * len(LOOK_UPS)
    for one in found:

        def best(layers: range, budget: float = one.budget) -> float:
            keys = [_digits(one) for one in layers]
            return max(table.accuracy[key] for key in keys if table.flops[key] <= budget * table.flops[DIGITS])

        asked = range(255, 255 - one.look_ups, -1)
        assert one.points == pytest.approx(best(range(256)) - best(asked), abs=1e-12)


def test_without_any_look_up_that_meets_the_budget_there_is_no_regret(table: Macro) -> None:
    class OneLayer:
        policy = None

        def propose(self, lookups: Lookups, targets: Sequence[float], generator: torch.Generator) -> None:
            del targets, generator
            lookups.score(_without(lookups.beta, 1))

    assert all(one.points is None for one in search(table, OF, OneLayer) if one.budget == 0.5)


@pytest.mark.parametrize("name", ["greedy", "evolution", "random"])
def test_more_look_ups_of_natonnx_proposers_are_no_worse(table: Macro, name: str) -> None:
    found = list(search(table, OF, lambda: make_proposer(name), (0.8, 0.7)))
    assert {(one.together, one.budget) for one in found} == {(one, two) for one in (False, True) for two in (0.8, 0.7)}
    for group in (found[i : i + len(LOOK_UPS)] for i in range(0, len(found), len(LOOK_UPS))):
        trace = [one.points for one in group if one.points is not None]
        assert trace
        assert trace == sorted(trace, reverse=True)
        assert trace[-1] >= 0


def test_the_default_proposer_finds_something_for_each_of_many_budgets(table: Macro) -> None:
    """Also for the last, of which none before it told anything."""
    found = [one for one in search(table, OF, lambda: make_proposer("gcn-directed")) if one.look_ups == 30]
    assert len(found) == 2 * len(BUDGETS)
    assert all(one.points is not None for one in found)


def test_proposers_find_cheap_layers(table: Macro) -> None:
    """What removal alone reaches is reached, and more."""
    of = OF._replace(proposer="greedy", transitions="nat++")
    (*_, last) = search(table, of, lambda: make_proposer("greedy"), (0.7,))
    assert last.points is not None
    assert 0 <= last.points <= 1
    assert Regret.from_dict(last.to_dict()) == last


def test_what_cheap_layers_are_worth() -> None:
    """Where every layer but the cheap ones costs a point, and each of those gains one."""
    accuracy = {digits: float(digits.count("1")) for digits in NETWORKS}
    flops = {digits: float(sum(map(int, digits))) for digits in NETWORKS}
    expected = {}
    for budget in BUDGETS:
        room = [np.floor(budget * flops[digits] + 1e-9) for digits in FULL_DEPTH]
        cheap = [min(8, left) for left in room]
        kept = [min(digits.count("1"), left) for digits, left in zip(FULL_DEPTH, room, strict=True)]
        expected[budget] = float(np.mean(np.array(cheap) - kept))
    assert worth(Macro(accuracy, flops)) == pytest.approx(expected)


def test_results_survive_json(table: Macro) -> None:
    found = list(search(table, OF, _Counting))
    assert [Regret.from_dict(one.to_dict()) for one in found] == found


def test_a_sample_repeats_and_has_no_network_twice() -> None:
    assert len(set(sample(32))) == 32
    assert sample(8) == sample(32)[:8]
    assert sample(8, 1) != sample(8)
    assert len(set(sample(256))) == 256
    assert all(network(digits).states == (State.O,) * LAYERS for digits in sample(8))


def test_a_table_of_regrets() -> None:
    """Seeds of one network count as one."""
    points = {"11111111": (0.1, 0.3), "22222222": (0.6, 0.6), "12121212": (0.4, None)}
    found = [
        Regret(Searched("greedy", digits, seed), False, budget, count, value if count == 30 else None)
        for digits, values in points.items()
        for seed, value in enumerate(values)
        for budget in BUDGETS
        for count in LOOK_UPS
    ]
    lines = regret_table(found, together=False).splitlines()
    assert lines[0] == "| proposer | look-ups | 0.9 | 0.8 | 0.7 | 0.5 |"
    error = np.std([0.2, 0.6, 0.4], ddof=1) / 3**0.5
    assert lines[-1] == "| greedy | 30 |" + f" 0.400 ± {error:.3f} (1 without) |" * 4
    assert lines[-2] == "| greedy | 20 |" + " – |" * 4
