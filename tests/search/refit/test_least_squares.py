"""The solver, against numpy's least squares on the whole matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from natonnx.search.refit.least_squares import Affine, NormalEquations

GROUPS, ROWS, FEATURES, OUTPUTS = 2, 60, 5, 3


def samples(seed: int = 0, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    x = offset + generator.standard_normal((GROUPS, ROWS, FEATURES))
    return x.astype("f4"), generator.standard_normal((GROUPS, ROWS, OUTPUTS)).astype("f4")


def solved(x: np.ndarray, r: np.ndarray, ridge: float, *, has_bias: bool, parts: int = 1) -> Affine | None:
    equations = NormalEquations(x.shape[0], x.shape[2], r.shape[2], torch.device("cpu"))
    for own_x, own_r in zip(np.array_split(x, parts, 1), np.array_split(r, parts, 1), strict=True):
        equations.add([(torch.from_numpy(own_x), torch.from_numpy(own_r))])
    return equations.solve(ridge, has_bias=has_bias)


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("ridge", [1e-7, 0.1])
def test_equals_numpy(ridge: float, has_bias: bool, parts: int) -> None:
    """Ridge regression is least squares with a row more for each coefficient."""
    x, r = samples(offset=2.0)
    found = solved(x, r, ridge, has_bias=has_bias, parts=parts)
    assert found is not None
    for group in range(GROUPS):
        own = x[group].astype("f8")
        penalty = np.sqrt(ROWS * ridge * np.mean(own**2)) * np.eye(FEATURES)
        rows, more = np.block([[own], [penalty]]), np.r_[np.ones(ROWS), np.zeros(FEATURES)]
        rows = np.c_[rows, more] if has_bias else rows
        expected, *_ = np.linalg.lstsq(rows, np.r_[r[group], np.zeros((FEATURES, OUTPUTS))], rcond=None)
        np.testing.assert_allclose(found.matrix[group].T, expected[:FEATURES], rtol=1e-4, atol=1e-5)
        bias = expected[FEATURES] if has_bias else np.zeros(OUTPUTS)
        np.testing.assert_allclose(found.bias[group], bias, rtol=1e-4, atol=1e-5)


def test_a_large_mean_costs_no_precision() -> None:
    x, r = samples()
    near = solved(x, r, 1e-7, has_bias=True, parts=3)
    far = solved(x + np.float32(256), r, 1e-7, has_bias=True, parts=3)
    assert near is not None
    assert far is not None
    torch.testing.assert_close(far.matrix, near.matrix, rtol=0.05, atol=0.01)  # the ridge, and the input's last bits


@pytest.mark.parametrize("has_bias", [False, True])
def test_features_that_say_nothing_are_left_alone(has_bias: bool) -> None:
    x, r = samples()
    x[..., 0] = 0
    x[..., 2] = x[..., 1]
    found = solved(x, r, 1e-7, has_bias=has_bias)
    assert found is not None
    assert torch.equal(found.matrix[..., 0], torch.zeros(GROUPS, OUTPUTS, dtype=torch.float64))
    torch.testing.assert_close(found.matrix[..., 2], found.matrix[..., 1], rtol=1e-2, atol=1e-3)


def test_a_constant_is_the_business_of_the_bias() -> None:
    x, r = samples()
    x[:] = np.float32(1e3)
    found = solved(x, r, 0.01, has_bias=True, parts=3)
    assert found is not None
    assert found.matrix.abs().max() < 1e-6
    np.testing.assert_allclose(found.bias, r.mean(1), atol=1e-3)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e30])
def test_no_numbers_have_no_solution(wrong: float) -> None:
    x, r = samples()
    x[0, 0, 0] = wrong
    with np.errstate(all="ignore"):
        assert solved(x, r, 0.01, has_bias=True) is None


def test_moments_are_those_of_what_a_map_makes() -> None:
    x, r = samples(offset=1.0)
    equations = NormalEquations(GROUPS, FEATURES, OUTPUTS, torch.device("cpu"))
    for own_x, own_r in zip(np.array_split(x, 4, 1), np.array_split(r, 4, 1), strict=True):
        equations.add([(torch.from_numpy(own_x), torch.from_numpy(own_r))])
    made = Affine(torch.randn(GROUPS, OUTPUTS, FEATURES).double(), torch.randn(GROUPS, OUTPUTS).double())
    outputs = np.einsum("gof,grf->gro", made.matrix, x) + made.bias.numpy()[:, None]
    mean, variance = equations.moments(made)
    np.testing.assert_allclose(mean, outputs.mean(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, outputs.var(1), rtol=1e-5)


def test_affine_maps_follow_and_add() -> None:
    first, second = (
        Affine(torch.randn(GROUPS, OUTPUTS, OUTPUTS), torch.randn(GROUPS, OUTPUTS)) for _ in range(2)
    )  # fmt: skip
    x = torch.randn(GROUPS, OUTPUTS)

    def apply(one: Affine, value: torch.Tensor) -> torch.Tensor:
        return torch.einsum("gof,gf->go", one.matrix, value) + one.bias

    torch.testing.assert_close(apply(second.after(first), x), apply(second, apply(first, x)))
    torch.testing.assert_close(apply(second.plus(first), x), apply(second, x) + apply(first, x))


@pytest.mark.parametrize("layout", ["rows", "channels"])
@pytest.mark.parametrize(("groups", "features"), [(1, 150), (1, 64), (5, 9)])
def test_sums_are_those_of_numpy(groups: int, features: int, layout: str) -> None:
    """Of as many features as are multiplied by blocks, and of groups that come one after the other."""
    chance = np.random.default_rng(0)
    x = 3 + chance.standard_normal((groups, 200, features)).astype("f4")
    r = chance.standard_normal((groups, 200, 7)).astype("f4")
    equations = NormalEquations(groups, features, 7, torch.device("cpu"))
    for part_x, part_r in zip(np.array_split(x, 2, 1), np.array_split(r, 2, 1), strict=True):
        tensors = [torch.from_numpy(np.array(part)) for part in np.array_split(part_x, min(groups, 2))]
        if layout == "channels":
            tensors = [value.permute(1, 2, 0).contiguous().permute(2, 0, 1) for value in tensors]
        residuals = np.array_split(part_r, min(groups, 2))
        equations.add(zip(tensors, map(torch.from_numpy, residuals), strict=True))
    found = equations.solve(0.5, has_bias=True)
    assert found is not None
    for group in range(groups):
        own, missing = x[group].astype("f8"), r[group].astype("f8")
        dx, dr = own - own.mean(0), missing - missing.mean(0)
        matrix = np.linalg.solve(dx.T @ dx / 200 + 0.5 * np.mean(own**2) * np.eye(features), dx.T @ dr / 200)
        np.testing.assert_allclose(found.matrix[group].T, matrix, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.bias[group], missing.mean(0) - own.mean(0) @ matrix, rtol=1e-3, atol=1e-5)
    assert equations.mean_square == pytest.approx(float(np.mean(r.astype("f8") ** 2)), rel=1e-6)
