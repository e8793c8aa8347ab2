"""The policy as a proposer: exact probabilities, and learning from what the critic expects."""

import numpy as np
import pytest
import torch

from natonnx.search.lookup import Lookups
from natonnx.search.price import Madds
from natonnx.search.propose import make_proposer
from natonnx.search.propose.learned import log_probability
from natonnx.search.propose.variation import Draw
from tests.architecture.examples import chain, residual_network
from tests.search.propose.scores import additive


def test_log_probabilities_are_those_of_drawing_one_after_the_other() -> None:
    weights = np.array([0.5, 3.0, 1.0, 2.0])
    draw = Draw(chain(4), torch.tensor([2, 0, 3, 1]), 3)
    expected = np.log(1.0 / 6.5 * 0.5 / 5.5 * 2.0 / 5.0)
    assert float(log_probability(torch.from_numpy(np.log(weights)), draw)) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_better_than_random_draws_at_few_look_ups(seed: int) -> None:
    beta = residual_network(12)
    score = additive(beta, seed, convex=0.1)
    best = {}
    for method in ("gcn-directed", "random"):
        lookups = Lookups(beta, Madds(beta), score, 50)
        make_proposer(method).propose(lookups, [0.5], torch.Generator().manual_seed(seed))
        best[method] = lookups.within(0.5)[0].score
    assert best["gcn-directed"] > best["random"]


def test_at_most_half_of_the_look_ups_go_to_single_transitions() -> None:
    beta = chain(30)
    lookups = Lookups(beta, Madds(beta), additive(beta, 0), 20)
    make_proposer("gcn-directed").propose(lookups, [0.5], torch.Generator().manual_seed(0))
    assert sum(entry.share > 0.95 for entry in lookups.entries.values()) == 11  # β's among them
    assert len(lookups.within(0.5)) == 10
