"""Sums along links, by DGL and by torch alone: against dense matrices, and each against the other to the last bit."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from natonnx.policy.links import Links
from tests.architecture.strategies import property_test
from tests.policy.backends import BACKENDS, by_both, needs_dgl, summed_by
from tests.policy.references import seeded

CASES = {
    "no nodes": ([], 0, 0),
    "one node": ([], 1, 1),
    "one node and a loop": ([(0, 0)], 1, 1),
    "no links": ([], 4, 4),
    "isolated nodes": ([(1, 3), (3, 1)], 5, 5),
    "a pair twice": ([(0, 1), (0, 1), (2, 1)], 3, 3),
    "into fewer": ([(0, 0), (1, 0), (2, 1)], 3, 2),
    "into more": ([(0, 4), (1, 0), (1, 4)], 2, 6),
    "from none": ([], 0, 3),
    "into none": ([], 3, 0),
}


def links_of(pairs: Sequence[tuple[int, int]], nodes: int, into: int) -> Links:
    ends = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)
    return Links(ends[:, 0], ends[:, 1], nodes, into)


def matrix_of(links: Links) -> np.ndarray:
    matrix = np.zeros((links.into, links.nodes))
    np.add.at(matrix, (links.targets.numpy(), links.sources.numpy()), 1)
    return matrix


@st.composite
def random_links(draw: st.DrawFn) -> Links:
    nodes, into = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    pair = st.tuples(st.integers(0, nodes - 1), st.integers(0, into - 1))
    return links_of(draw(st.lists(pair, max_size=150)), nodes, into)


def found(links: Links, way: str, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """What is made of random values, and the gradient of a random share of it."""
    values = torch.randn(links.nodes, 7, generator=seeded(), dtype=dtype, requires_grad=True)
    made: Tensor = getattr(links, way)(values)
    share = torch.randn(made.shape, generator=seeded(1), dtype=dtype)
    return made.detach(), torch.autograd.grad(made, values, share)[0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES)
def test_sums_are_those_of_the_dense_matrix(backend: str, case: str) -> None:
    links = links_of(*CASES[case])
    with summed_by(backend):
        _check_dense(links)


@pytest.mark.parametrize("backend", BACKENDS)
@property_test
@given(random_links())
def test_sums_are_those_of_the_dense_matrix_at_random(backend: str, links: Links) -> None:
    with summed_by(backend):
        _check_dense(links)


def _check_dense(links: Links) -> None:
    matrix = matrix_of(links)
    entering, leaving = np.maximum(1, matrix.sum(1)), np.maximum(1, matrix.sum(0))
    np.testing.assert_array_equal(links.entering, entering)
    np.testing.assert_array_equal(links.leaving, leaving)
    for way, dense in (("sum", matrix), ("mean", matrix / entering[:, None])):
        made, gradient = found(links, way, torch.float64)
        values = torch.randn(links.nodes, 7, generator=seeded(), dtype=torch.float64).numpy()
        share = torch.randn(links.into, 7, generator=seeded(1), dtype=torch.float64).numpy()
        np.testing.assert_allclose(made, dense @ values, atol=1e-12)
        np.testing.assert_allclose(gradient, dense.T @ share, atol=1e-12)


@needs_dgl
@pytest.mark.parametrize("case", CASES)
def test_dgl_and_torch_give_the_same_bits(case: str) -> None:
    _check_same(links_of(*CASES[case]))


@needs_dgl
@property_test
@given(random_links())
def test_dgl_and_torch_give_the_same_bits_at_random(links: Links) -> None:
    _check_same(links)


@needs_dgl
@pytest.mark.parametrize("threads", [1, 2])
def test_dgl_and_torch_give_the_same_bits_on_any_number_of_threads(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        ends = torch.randint(5000, (2, 20_000), generator=seeded())
        _check_same(Links(ends[0], ends[1], 5000))
    finally:
        torch.set_num_threads(before)


def _check_same(links: Links) -> None:
    for way in ("sum", "mean"):
        one, other = by_both(lambda way=way: found(links, way))  # type: ignore[misc]
        for left, right in zip(one, other, strict=True):
            torch.testing.assert_close(left, right, rtol=0, atol=0)
