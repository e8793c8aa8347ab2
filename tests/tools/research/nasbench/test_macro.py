"""NAS-Bench-Macro's networks, what they cost, and what is best within a budget."""

import json
from pathlib import Path

import click
import numpy as np
import pytest
import torch

from natonnx.architecture import LETTERS, Legality, State, cost, violation
from natonnx.policy import make_policy
from natonnx.policy.base import greedy, scores
from natonnx.policy.encode import encode, encode_choices
from tests.tools.research.nasbench.cells import become
from tests.tools.research.nasbench.macro_table import write_macro
from tools.research.nasbench.chains import Chains
from tools.research.nasbench.macro import (
    FULL_DEPTH,
    LAYERS,
    NETWORKS,
    Flops,
    Macro,
    alphas,
    best_within,
    network,
    read_macro,
    text,
)
from tools.research.nasbench.training import Recipe, logits, train

PUBLISHED = {"11111111": (1588874, 53246464), "22222222": (2932586, 105660928), "12121212": (2330186, 80617984)}
"""Parameters and FLOPs in the authors' file, stem and classifier included."""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Macro:
    return read_macro(write_macro(tmp_path_factory.mktemp("macro") / "macro.json"))


def _removed(digits: str, layers: int) -> str:
    """The network without the layers whose bits are set."""
    return "".join("0" if layers >> i & 1 else digit for i, digit in enumerate(digits))


# The table


def test_a_table_is_read(tmp_path: Path) -> None:
    path = write_macro(tmp_path / "macro.json")
    raw, table = json.loads(path.read_text()), read_macro(path)
    assert table.accuracy.keys() == table.flops.keys() == raw.keys()
    assert len(raw) == 3**8
    assert table.accuracy["12021011"] == raw["12021011"]["mean_acc"]
    assert table.flops["12021011"] == raw["12021011"]["flops"]


@pytest.mark.parametrize("change", ["{", "[]", "{}", "a network", "a number", "a column"])
def test_what_is_no_such_table_is_refused(tmp_path: Path, change: str) -> None:
    path = write_macro(tmp_path / "macro.json")
    rows = json.loads(path.read_text())
    if change == "a network":
        del rows["00000012"]
    elif change == "a number":
        rows["00000012"]["flops"] = None
    elif change == "a column":
        rows["00000012"].pop("mean_acc")
    path.write_text(json.dumps(rows) if change.startswith("a ") else change)
    with pytest.raises(click.ClickException, match="needs mean_acc and flops of all 3⁸ networks"):
        read_macro(path)


# Networks


@pytest.mark.parametrize(("one", "other"), [("22222222", "11111111"), ("12121212", "11111111")])
def test_networks_cost_what_their_authors_count(one: str, other: str) -> None:
    """But for what is the same in all: so differences are compared."""
    (params, madds), (fewer, less) = cost(network(one)), cost(network(other))
    assert madds is not None
    assert less is not None
    assert (params - fewer, madds - less) == tuple(np.subtract(PUBLISHED[one], PUBLISHED[other]).tolist())


def test_any_layers_may_go_and_none_may_be_cut() -> None:
    beta = network("12211212")
    for layers in range(2**LAYERS):
        states = tuple(State.S if layers >> i & 1 else State.O for i in range(LAYERS))
        alpha = beta.with_states(states)
        assert violation(alpha, beta) is None
        assert text("12211212", alpha) == _removed("12211212", layers)
    assert violation(beta.with_states((State.N, *beta.states[1:])), beta) is not None


def test_what_a_network_becomes_is_each_set_of_layers_once() -> None:
    assert sorted(alphas("12211212")) == sorted(_removed("12211212", layers) for layers in range(256))
    assert len(FULL_DEPTH) == 256


def test_prices_are_the_tables(table: Macro) -> None:
    digits = "21121221"
    price, beta = Flops(table, digits), network(digits)
    assert price.full == price.cost(beta) == table.flops[digits]
    saved = price.savings(beta)
    assert saved.shape == (LAYERS, 3)
    assert saved[:, 1].tolist() == [table.flops[digits] - table.flops[_removed(digits, 1 << i)] for i in range(LAYERS)]
    assert not saved[:, [0, 2]].any()
    less = beta.with_states((State.S, *beta.states[1:]))
    assert price.savings(less)[0].tolist() == [0, 0, 0]
    assert price.savings(less)[1, 1] == table.flops[_removed(digits, 1)] - table.flops[_removed(digits, 3)]


@pytest.mark.parametrize("target", [1.0, 0.9, 0.7, 0.5])
def test_the_best_within_a_budget(table: Macro, target: float) -> None:
    for digits in ("11111111", "12211212"):
        every = [_removed(digits, layers) for layers in range(256)]
        met = [one for one in every if table.flops[one] <= target * table.flops[digits]]
        assert best_within(table, digits, target) == max(table.accuracy[one] for one in met)


def test_a_dear_layer_may_become_a_cheap_one(table: Macro) -> None:
    """By the transitions of NAT++: each digit becomes one that is no larger."""
    digits = "12211212"
    beta, found = network(digits, "nat++"), sorted(alphas(digits, "nat++"))
    assert found == sorted(one for one in NETWORKS if all(new <= old for new, old in zip(one, digits, strict=True)))
    assert violation(beta.with_states((State.O, State("1"), *beta.states[2:])), beta) is None
    alpha = beta.with_states((State.S, State("1"), *beta.states[2:]))
    assert text(digits, alpha) == "01211212"
    assert tuple(cost(alpha)) == tuple(cost(network("01211212")))
    saved = Flops(table, digits).savings(beta)
    assert saved.shape == (LAYERS, 4)
    assert saved[1].tolist() == pytest.approx(
        [0, table.flops[digits] - table.flops["10211212"], 0, table.flops[digits] - table.flops["11211212"]]
    )
    met = [table.accuracy[one] for one in found if table.flops[one] <= 0.7 * table.flops[digits]]
    assert best_within(table, digits, 0.7, "nat++") == max(met) >= best_within(table, digits, 0.7)


# All of them at once


def test_every_network_has_its_position(chains: Chains) -> None:
    some = ["00000000", "12021011", "22222222", "00000012"]
    assert [NETWORKS[i] for i in chains.find(some)] == some
    for digits, i in zip(some, chains.find(some).tolist(), strict=True):
        assert torch.equal(chains.features[i], torch.from_numpy(encode(network(digits))))
        states = [LETTERS[column] for column in chains.current[i].tolist()]
        assert tuple(states) == network(digits).states


def test_the_most_probable_alpha_is_that_of_the_policy_on_one_network(chains: Chains) -> None:
    """With edits so many that some are made."""
    policy, chance = make_policy("gcn-directed", edits=8.0), torch.Generator()
    betas = chains.find(["12211212", "21111222", "10201102"])
    with torch.no_grad():
        policy.head.letters.weight.mul_(30)  # type: ignore[union-attr,operator]
        walk = chains.walk(betas, logits(policy, chains, betas, chance), None, chance)
    for beta, alpha in zip(betas.tolist(), walk.alphas[:, 0].tolist(), strict=True):
        assert NETWORKS[alpha] == text(NETWORKS[beta], greedy(policy, network(NETWORKS[beta]), chance))
    assert (walk.alphas[:, 0] != betas).any()


def test_cheap_layers_are_drawn_where_they_may_be() -> None:
    chains, digits = Chains("nat++"), ["12211212", "10201102"]
    betas, policy, chance = chains.find(digits), make_policy("gcn-directed", edits=8.0), torch.Generator()
    for beta, name in zip(betas.tolist(), digits, strict=True):
        one = network(name, "nat++")
        np.testing.assert_array_equal(chains.masks[beta], Legality(one).mask() & [True, True, False, True])
        np.testing.assert_array_equal(chains.choices[beta], encode_choices(one.topology))
        np.testing.assert_array_equal(chains.features[beta], encode(network(name)))
    with torch.no_grad():
        table = logits(policy, chains, betas, chance)
        torch.testing.assert_close(table[0], scores(policy, network(digits[0], "nat++"), chance))
        walk = chains.walk(betas, table, 200, chance)
    assert walk.masks.gather(-1, walk.columns[..., None]).all()
    for name, columns, found in zip(digits, walk.columns.tolist(), walk.alphas.tolist(), strict=True):
        beta = network(name, "nat++")
        for own, alpha in zip(columns, found, strict=True):
            assert NETWORKS[alpha] == text(name, become(beta, own))
    assert (walk.columns == 3).any()


def test_alphas_are_drawn_as_often_as_is_probable(chains: Chains) -> None:
    betas = chains.find(["12211212"])
    scores = torch.zeros(1, LAYERS, 3)
    scores[0, 0, 1], scores[0, 1, 1] = 2.0, -30.0
    walk = chains.walk(betas, scores, 4000, torch.Generator().manual_seed(0))
    gone = (chains.ops[walk.alphas[0]] == 0).float().mean(0)
    assert gone[0] == pytest.approx(1 / (1 + np.exp(-2)), abs=0.02)
    assert gone[1] == 0
    assert gone[2:].numpy() == pytest.approx(np.full(6, 0.5), abs=0.03)


def test_training_finds_the_layers_that_are_worth_nothing(chains: Chains) -> None:
    """Layers of expansion 6 are worth a point, those of expansion 3 cost one."""
    worth = torch.tensor([0.0, -0.01, 0.01])[chains.ops].sum(1)
    policy, chance = make_policy("gcn-directed"), torch.Generator().manual_seed(0)
    training, held_out = chains.find(FULL_DEPTH[::3]), chains.find(FULL_DEPTH[1::3])
    found = train(policy, chains, worth, training, Recipe(steps=150, betas=32, entropy=0.1, edit_price=0.0))
    assert found.queries == 150 * 32 * 5
    with torch.no_grad():
        walk = chains.walk(held_out, logits(policy, chains, held_out, chance), None, chance)
    right = torch.where(chains.ops[held_out] == 2, 2, 0)
    assert (chains.ops[walk.alphas[:, 0]] == right).float().mean() > 0.95
