import pytest

from natonnx.architecture import edits_between, violation
from natonnx.frontend import parse
from tests.rewrite.helpers import shipped_network
from tools.conformance.wild.alphas import random_alpha
from tools.conformance.wild.catalog import darts_model
from tools.upkeep.export import export


@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_every_alpha_is_legal_and_new(rate: float, seed: int) -> None:
    beta = shipped_network("resnet20").architecture
    alpha = random_alpha(beta, seed, rate)
    assert violation(alpha, beta) is None
    assert len(edits_between(beta, alpha)) >= 1
    assert random_alpha(beta, seed, rate) == alpha
    if rate == 0.0:
        assert len(edits_between(beta, alpha)) == 1


def test_a_walk_goes_further_than_beta_allows() -> None:
    beta = parse(export(*darts_model(), "script", 17)).architecture
    counts = [len(edits_between(beta, random_alpha(beta, seed, 0.5))) for seed in range(3)]
    assert min(counts) > 20
