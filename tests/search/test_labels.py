"""Accuracy by labels: of samples, and of the positions of samples."""

import numpy as np
import pytest
import torch

from natonnx.errors import InputError
from natonnx.search import Labels
from natonnx.search.outputs import JudgedOutput, Measure


def labels(axis: int) -> Labels:
    return Labels(JudgedOutput("y", "y", Measure.TOP1, 0, axis))


@pytest.mark.parametrize(("shape", "axis"), [((6, 4), -1), ((6, 4, 1, 1), -3), ((6, 1, 4), -1)])
def test_one_label_a_sample_is_right_where_the_highest_score_is(shape: tuple[int, ...], axis: int) -> None:
    scores = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(6) % 4
    found = labels(axis).score({"y": scores}, targets)
    assert found[:, 0].tolist() == (scores.numpy().reshape(6, 4).argmax(1) == targets.numpy()).tolist()


@pytest.mark.parametrize(("shape", "axis"), [((6, 4, 3, 2), -3), ((6, 5, 4), -1)])
def test_a_label_a_position_counts_the_share_of_right_ones(shape: tuple[int, ...], axis: int) -> None:
    scores = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    highest = scores.numpy().argmax(axis)
    targets = torch.randint(4, highest.shape, generator=torch.Generator().manual_seed(1))
    found = labels(axis).score({"y": scores}, targets)[:, 0].numpy()
    assert found == pytest.approx(np.mean(highest == targets.numpy(), tuple(range(1, highest.ndim))))


@pytest.mark.parametrize("targets", [(6,), (6, 3), (6, 2, 3), (6, 1)])
def test_labels_of_another_shape_than_the_positions_are_refused(targets: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"has a class at each of \[3, 2\]"):
        labels(-3).score({"y": torch.zeros(6, 4, 3, 2)}, torch.zeros(targets, dtype=torch.int64))


def test_no_class_is_right_where_none_is_highest() -> None:
    """NaN and +∞ are wrong whatever the label, though numpy's argmax of NaN is 0; −∞ masks a class out."""
    inf, nan = np.inf, np.nan
    scores = torch.tensor([[nan, nan], [nan, 1], [inf, 0], [-inf, -inf], [1, -inf], [-inf, 1]])
    assert np.argmax(scores.numpy()[0]) == 0
    assert labels(-1).score({"y": scores}, torch.zeros(6, dtype=torch.int64))[:, 0].tolist() == [0, 0, 0, 0, 1, 0]


def test_the_loss_of_a_class_that_is_masked_out_is_a_number() -> None:
    scores = torch.tensor([[1.0, -np.inf, 0.0], [-np.inf, 2.0, 0.0]], requires_grad=True)
    loss = labels(-1).loss({"y": scores}, torch.tensor([0, 1]))
    logits = np.array([[1.0, 0.0], [2.0, 0.0]])
    assert loss.item() == pytest.approx(np.mean(np.log(np.exp(logits).sum(1)) - logits[:, 0]), rel=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    assert bool(scores.grad.isfinite().all())
    assert not labels(-1).loss({"y": torch.tensor([[np.nan, 0.0]])}, torch.tensor([0])).isfinite()
