"""NAO: what is embedded comes back, and what is moved up the predictor's gradient is predicted to be better."""

from pathlib import Path

import pytest
import torch

from tests.tools.research.nasbench.cells import accuracies, split_small
from tools.research.nao import NAO, NAORecipe
from tools.research.nasbench import runs
from tools.research.nasbench.nao import improve, make_nao, train_nao
from tools.research.nasbench.report import optimizers_table
from tools.research.nasbench.runs import Job
from tools.research.nasbench.space import OPS, Space
from tools.research.nasbench.table import DATASETS, Accuracies, Table
from tools.research.nasbench.training import Recipe

CONVOLUTION = OPS.index("nor_conv_3x3")


def _by_convolutions(space: Space) -> torch.Tensor:
    """An accuracy that anyone can learn: a tenth for each 3 × 3 convolution."""
    return 0.1 + 0.1 * (space.ops == CONVOLUTION).sum(1).float()


@pytest.fixture(scope="module")
def trained(space: Space) -> NAO:
    model, cells = make_nao(hidden=32), torch.arange(0, len(space.cells), 2)
    training = train_nao(
        model, space, _by_convolutions(space), cells, NAORecipe(steps=400, batch=64, learning_rate=1e-2)
    )
    assert (training.queries, int(training.seen.sum())) == (len(cells), len(cells))
    return model


def test_cells_come_back(space: Space, trained: NAO) -> None:
    """Of those that it never saw, most."""
    unseen = torch.arange(1, len(space.cells), 2)
    with torch.no_grad():
        decoded = trained.decode(trained.encode(space.ops[unseen])).argmax(-1)
    assert float((decoded == space.ops[unseen]).float().mean()) > 0.8


def test_a_step_up_the_gradient_gives_better_cells_that_cost_more(space: Space, trained: NAO) -> None:
    """Convolutions are what is good here: NAO adds some, where NAT never may."""
    betas = torch.arange(1, len(space.cells), 200)
    good = _by_convolutions(space)
    draws = improve(trained, space, betas)
    gained = good[draws.likely] - good[betas]
    assert float((gained > 0).float().mean()) > 0.7
    before, after = space.own_costs[betas, 1].sum(), space.own_costs[draws.likely, 1].sum()
    assert float(after) > 1.2 * float(before)
    assert torch.equal(draws.samples[:, 0], draws.likely)
    assert float(good[draws.samples[:, -1]].mean()) > float(good[draws.likely].mean())


def test_the_seed_repeats_it(space: Space) -> None:
    def made(seed: int) -> torch.Tensor:
        model = make_nao(hidden=8, seed=seed)
        train_nao(model, space, _by_convolutions(space), torch.arange(1000), NAORecipe(steps=3, batch=16), seed=seed)
        return model.encode(space.ops[:50]).detach()

    assert torch.equal(made(1), made(1))
    assert not torch.equal(made(1), made(2))


def test_its_row_stands_beside_those_that_never_cost_more(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    good = Accuracies(_by_convolutions(space), _by_convolutions(space))
    noise = accuracies(len(space.cells))
    table = Table(space, dict(zip(DATASETS, (good, noise, noise), strict=True)))
    monkeypatch.setattr(runs, "_table", lambda _path, _transitions: table)
    monkeypatch.setattr(runs, "split", split_small)
    jobs = [
        Job("nao", NAORecipe(steps=60, batch=64, learning_rate=1e-2), options={"hidden": 16}),
        Job("gcn", Recipe(steps=2, betas=4), options={"hidden": 8}),
    ]
    nao, nat = (runs._run(Path(), job) for job in jobs)
    assert all(of.dearer == 0 for choices in nat.measures.values() for of in choices.values())
    assert nat.zero_shot.madds <= 0
    assert nao.measures["cifar10"]["both"].dearer > 0
    text = optimizers_table([("nao", nao.measures), ("gcn", nat.measures)])
    assert text.count("| nao |") == text.count("| gcn |") == 12
    assert text.splitlines()[0].endswith("| β's whose α costs more |")
