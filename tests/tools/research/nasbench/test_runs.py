"""Jobs that train and measure, and whether null propagation holds for a table."""

import json
from pathlib import Path

import pytest
import torch

from natonnx.policy import make_policy
from tests.tools.research.nasbench.cells import EVERY, accuracies, split_small, text
from tools.research.nasbench import runs
from tools.research.nasbench.nulls import describe_nulls
from tools.research.nasbench.runs import CHOICES, Job
from tools.research.nasbench.space import Space
from tools.research.nasbench.table import DATASETS, Accuracies, Table
from tools.research.nasbench.training import Recipe


@pytest.fixture
def table(space: Space, monkeypatch: pytest.MonkeyPatch) -> Table:
    """Noise on three data sets; what a job reads."""
    found = Table(space, {name: accuracies(len(space.cells), seed) for seed, name in enumerate(DATASETS)})
    monkeypatch.setattr(runs, "_table", lambda _path, _transitions: found)
    monkeypatch.setattr(runs, "split", split_small)
    return found


def test_a_run_measures_every_way_to_choose_on_every_data_set(table: Table) -> None:
    job = Job("gcn", Recipe(steps=2, betas=4), seed=1, options={"hidden": 8}, label="tiny")
    run = runs._run(Path(), job)
    assert run.queries == 2 * (4 + 16)
    assert 0 < run.cells <= run.queries
    assert run.measures.keys() == table.accuracies.keys() == set(DATASETS)
    assert all(of.keys() == set(CHOICES) for of in run.measures.values())
    assert run.zero_shot is run.measures["cifar10"]["zero_shot"]
    assert len({of["zero_shot"].params for of in run.measures.values()}) == 1  # one α, whatever the data set
    for of in run.measures.values():
        assert of["never_worse"].not_worse_validation == of["both"].not_worse_validation == 1
    policy = make_policy("gcn", hidden=8)
    policy.load_state_dict(run.weights)
    found = json.loads(json.dumps(run.to_dict()))
    assert (found["learner"], found["label"], found["seed"]) == ("gcn", "tiny", 1)
    assert (found["recipe"]["steps"], found["options"]) == (2, {"hidden": 8})
    assert found["measures"]["cifar10"]["both"] == run.measures["cifar10"]["both"].to_dict()


@pytest.mark.usefixtures("table")
def test_a_price_makes_cells_cheaper() -> None:
    """However accurate they are, at so high a price; and at a negative one they stay as dear as they may."""
    found = [runs._run(Path(), Job("gcn-directed", Recipe(steps=30, betas=32), price=price)) for price in (-1e4, 1e4)]
    dear, cheap = (run.zero_shot.madds for run in found)
    assert cheap < dear - 0.2


def test_another_division_holds_other_cells_out(table: Table) -> None:
    """Those that its α's are made of, as their mean accuracy tells."""
    test = table.accuracies["cifar10"].test
    for division in (0, 1):
        held_out = split_small(len(test), division).held_out
        found = runs._run(Path(), Job("random", division=division)).zero_shot
        assert found.beta == pytest.approx(100 * float(test[held_out].mean()))
    assert not set(held_out.tolist()) & set(split_small(len(test), 1).training.tolist())
    assert set(held_out.tolist()) & set(split_small(len(test), 0).training.tolist())


@pytest.mark.usefixtures("table")
def test_a_run_repeats_but_for_the_time() -> None:
    job = Job("random", measured=False)
    one, two = (runs._run(Path(), job).to_dict() for _ in range(2))
    assert one.pop("seconds") >= 0
    assert two.pop("seconds") >= 0
    assert one == two
    assert one["measures"] == {}
    assert (one["queries"], one["cells"], one["curve"]) == (0, 0, [])


def _described(space: Space, values: torch.Tensor) -> str:
    return describe_nulls(Table(space, {"cifar10": Accuracies(values, values)}))


def test_accuracies_that_follow_null_propagation_do_not_differ_in_groups(space: Space) -> None:
    """Nor do those of twins, where they follow the operations alone."""
    where = {signature: i for i, signature in enumerate(sorted(set(space.signatures)))}
    by_signature = torch.tensor([where[signature] for signature in space.signatures]) / len(where)
    assert "standard deviation within groups 0.00 points (largest range 0.0)" in _described(space, by_signature)
    by_count = torch.tensor([len([1 for op in row if op == 3]) for row in space.ops.tolist()]) / 6
    assert "that differ in the numbering of nodes alone 0.00 points." in _described(space, by_count)


def test_the_spread_in_groups_is_told(space: Space) -> None:
    """One cell of a group of many is off: |conv| alone, whether what node 1 feeds is dead or not read."""
    values = torch.zeros(len(space.cells))
    values[EVERY.index(text(["none", "none", "none", "nor_conv_3x3", "none", "nor_conv_3x3"]))] = 0.5
    found = _described(space, values)
    assert "(largest range 50.0)" in found
    assert "within groups 0.00" not in found
