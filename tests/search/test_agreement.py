"""Agreement with the original model: its losses and scores, against numpy."""

import numpy as np
import pytest
import torch

from natonnx.search import Agreement
from natonnx.search.outputs import JudgedOutput, Measure

RNG = np.random.default_rng(0)


def judged(measure: Measure, axis: int = -1) -> tuple[JudgedOutput, ...]:
    return (JudgedOutput("out", "logits", measure, 0, axis),)


def outputs(*values: np.ndarray) -> dict[str, torch.Tensor]:
    """An output, and what stands before it where that differs."""
    return {"out": torch.from_numpy(values[0]), "logits": torch.from_numpy(values[-1])}


def values(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    power = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(power / power.sum(-1, keepdims=True))


@pytest.mark.parametrize("measure", list(Measure))
@pytest.mark.parametrize("shape", [(6, 5), (6, 3, 5)])
def test_the_original_agrees_with_itself(measure: Measure, shape: tuple[int, ...]) -> None:
    own = outputs(values(*shape))
    objective = Agreement.of(judged(measure), lambda: [own])
    assert objective.score(own, own).numpy() == pytest.approx(np.ones((6, 1)), abs=1e-6)
    assert float(objective.loss(own, own)) == pytest.approx(0, abs=1e-5)


def test_classes_agree_where_the_highest_is_the_same() -> None:
    one, other = values(40, 3, 5), values(40, 3, 5)
    objective = Agreement.of(judged(Measure.TOP1), list)
    found = objective.score(outputs(one), outputs(other))
    same = (one.argmax(-1) == other.argmax(-1)).mean(1)
    assert found[:, 0].numpy() == pytest.approx(same)


def test_the_loss_of_classes_is_the_softened_divergence() -> None:
    one, other = values(7, 3, 5), values(7, 3, 5)
    objective = Agreement.of(judged(Measure.TOP1), list)
    own, goal = softmax(one / 2), softmax(other / 2)
    expected = 4 * (goal * np.log(goal / own)).sum(-1).mean()
    assert float(objective.loss(outputs(one), outputs(other))) == pytest.approx(expected, rel=1e-4)


def test_the_loss_of_probabilities_is_the_binary_divergence() -> None:
    one, other = values(7, 4), values(7, 4)
    objective = Agreement.of(judged(Measure.PROBABILITIES), lambda: [outputs(other)])
    own, goal = 1 / (1 + np.exp(-one)), 1 / (1 + np.exp(-other))
    expected = (goal * np.log(goal / own) + (1 - goal) * np.log((1 - goal) / (1 - own))).mean()
    assert float(objective.loss(outputs(one), outputs(other))) == pytest.approx(expected, rel=1e-3)


def test_embeddings_agree_by_the_cosine() -> None:
    one, other = values(7, 6), values(7, 6)
    objective = Agreement.of(judged(Measure.COSINE), list)
    expected = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert objective.score(outputs(one), outputs(other))[:, 0].numpy() == pytest.approx(expected, abs=1e-5)
    assert float(objective.loss(outputs(one), outputs(other))) == pytest.approx(1 - expected.mean(), abs=1e-5)


@pytest.mark.parametrize("shape", [(30, 6), (30, 2, 4)])
def test_the_mean_score_of_values_is_the_explained_variance(shape: tuple[int, ...]) -> None:
    """R² over the data, each element around its own mean; the data may come in any batches."""
    target = values(*shape) + 5 * np.arange(shape[-1], dtype=np.float32)
    found = target + 0.3 * values(*shape)
    parts = [outputs(target[:13]), outputs(target[13:])]
    objective = Agreement.of(judged(Measure.VARIANCE), lambda: parts)
    expected = 1 - ((found - target) ** 2).mean() / target.var(0).mean()
    score = objective.score(outputs(found), outputs(target))
    assert float(score.mean()) == pytest.approx(expected, abs=1e-4)


def test_batches_of_other_sizes_have_one_mean() -> None:
    parts = [outputs(values(4, 6)), outputs(values(4, 9))]
    objective = Agreement.of(judged(Measure.VARIANCE), lambda: parts)
    flat = np.concatenate([part["out"].numpy().ravel() for part in parts])
    assert objective.variances["out"] == pytest.approx(flat.var(), rel=1e-6)


@pytest.mark.parametrize("measure", list(Measure))
def test_what_is_not_finite_counts_as_the_least(measure: Measure) -> None:
    target = values(3, 5)
    broken = target.copy()
    broken[1, 2] = np.nan
    objective = Agreement.of(judged(measure), lambda: [outputs(target)])
    found = objective.score(outputs(broken), outputs(target))[:, 0].tolist()
    assert found[0] == found[2] == pytest.approx(1, abs=1e-6)
    assert found[1] == (0 if measure is Measure.TOP1 else -1)


def test_one_wild_sample_does_not_outweigh_all_others() -> None:
    target = values(10, 5)
    wild = target.copy()
    wild[0] *= 1e6
    objective = Agreement.of(judged(Measure.VARIANCE), lambda: [outputs(target)])
    assert float(objective.score(outputs(wild), outputs(target)).mean()) == pytest.approx(0.8)


def test_several_outputs_count_alike() -> None:
    two = (*judged(Measure.TOP1), JudgedOutput("other", "other", Measure.VARIANCE, 0))
    target = {**outputs(values(6, 5)), "other": torch.from_numpy(values(6, 4))}
    found = {**target, "other": target["other"] + 0.5}
    objective = Agreement.of(two, lambda: [target])
    assert [figure.measure for figure in objective.figures] == ["top-1 agreement", "explained variance"]
    scores = objective.score(found, target)
    assert scores.shape == (6, 2)
    assert scores[:, 0].tolist() == [1.0] * 6
    assert objective.variances.keys() == {"other"}


@pytest.mark.parametrize("measure", list(Measure))
def test_what_the_original_makes_nan_of_agrees_with_nothing(measure: Measure) -> None:
    """Not even with itself; all other samples count as if it were not there."""
    target = values(40, 5)
    broken = target.copy()
    broken[1] = np.nan
    objective = Agreement.of(judged(measure), lambda: [outputs(broken)])
    found = objective.score(outputs(broken), outputs(broken))[:, 0].tolist()
    assert found[1] == (0 if measure is Measure.TOP1 else -1)
    assert found[:1] + found[2:] == pytest.approx([1] * 39, abs=1e-6)
    if measure is Measure.VARIANCE:
        assert objective.variances["out"] == pytest.approx(np.delete(target, 1, 0).var(0).mean(), rel=1e-5)


@pytest.mark.parametrize("measure", [Measure.TOP1, Measure.VARIANCE])
def test_the_same_infinities_agree(measure: Measure) -> None:
    """A mask of −∞, which stands where it does in the original."""
    target = values(8, 5)
    target[::2, 1] = -np.inf
    other = target.copy()
    other[0, 1] = 0.0
    objective = Agreement.of(judged(measure), lambda: [outputs(target)])
    assert float(objective.score(outputs(target), outputs(target)).mean()) == pytest.approx(1)
    assert float(objective.loss(outputs(target), outputs(target))) == pytest.approx(0, abs=1e-6)
    if measure is Measure.VARIANCE:
        assert float(objective.score(outputs(other), outputs(target))[0]) == -1
