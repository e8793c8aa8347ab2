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
