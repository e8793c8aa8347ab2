"""Ridge regression of what is still missing, from normal equations that are added up batch by batch."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Affine", "Moments", "NormalEquations"]

_LEAST_RIDGE = 1e-7
"""Below it, what single precision rounds off would decide where the features say nothing."""
_BLOCK, _BLOCKS = 64, 8
"""Least columns of a product, and most products: what lies below the diagonal is not computed, but for the blocks'."""
_LOOKED_AT = 64
"""Rows from which a mean is guessed."""


class Affine(NamedTuple):
    """The map W·x + b, independently in each group: W [groups, outputs, features] and b [groups, outputs]."""

    matrix: Tensor
    bias: Tensor

    def after(self, first: "Affine") -> "Affine":
        """Return the map that applies another one and then this."""
        bias = (self.matrix @ first.bias[..., None])[..., 0] + self.bias
        return Affine(self.matrix @ first.matrix, bias)

    def plus(self, other: "Affine") -> "Affine":
        """Return the map whose outputs are the sum of those of both."""
        return Affine(self.matrix + other.matrix, self.bias + other.bias)


class Moments(NamedTuple):
    """Mean and variance of each channel [groups, outputs]."""

    mean: Tensor
    variance: Tensor


class NormalEquations:
    """Moments of features x and of residuals r in double precision: all that least squares needs.

    Each batch is centred before it is multiplied, and batches are combined as by Chan et al. (1979), so that a mean
    that is large beside the deviations costs no precision. It is centred on a guess, which the sums then correct.

    Args:
        groups: Independent regressions.
        features: Of each.
        outputs: Of each.
        device: Where.
    """

    def __init__(self, groups: int, features: int, outputs: int, device: torch.device) -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(groups, *shape, dtype=torch.float64, device=device)

        self._count = 0
        self._mean_x, self._mean_r = zeros(features), zeros(outputs)
        self._xx, self._xr = zeros(features, features), zeros(features, outputs)  # of deviations from the means

    def add(self, parts: Iterable[Tensor], r: Tensor) -> None:
        """Take in features [groups, rows, features], some groups after the others, and residuals [groups, rows, outputs]."""
        first = 0
        for x in parts:
            groups = slice(first, first + len(x))
            self._add(x, r[groups], groups)
            first += len(x)
        self._count += r.shape[1]

    def _add(self, x: Tensor, r: Tensor, groups: slice) -> None:
        (count, features), columns = x.shape[1:], x.shape[2] + r.shape[2] + 1
        is_row_by_row = x.stride(2) == 1
        shape = (len(x), count, columns) if is_row_by_row else (len(x), columns, count)
        z = x.new_empty(shape) if is_row_by_row else x.new_empty(shape).mT  # features, residuals, 1
        guess = x[:, :: -(-count // _LOOKED_AT)].mean(1, keepdim=True)
        mean_r = r.mean(1, keepdim=True, dtype=torch.float64)
        torch.sub(x, guess, out=z[..., :features])
        torch.sub(r, mean_r.to(r.dtype), out=z[..., features:-1])
        z[..., -1] = 1
        products = _products(z, features).double()
        step = products[..., -1] / count  # from the guess to the mean
        xx = products[..., :features] - count * step[:, :, None] * step[:, None]
        step_x = guess[:, 0].double() + step - self._mean_x[groups]
        step_r = mean_r[:, 0] - self._mean_r[groups]
        total = self._count + count
        between = self._count * count / total
        self._xx[groups] += xx + between * step_x[:, :, None] * step_x[:, None]
        self._xr[groups] += products[..., features:-1] + between * step_x[:, :, None] * step_r[:, None]
        self._mean_x[groups] += count / total * step_x
        self._mean_r[groups] += count / total * step_r

    def solve(self, ridge: float, *, has_bias: bool) -> Affine | None:
        """Minimise the mean of (V·x + c − r)² plus λ·V², with λ a share of the features' mean square.

        V is zero where the features say nothing, so that their rank does not matter.

        Args:
            ridge: That share; 1e-7 at least.
            has_bias: Whether there is a c; it is free.

        Returns:
            V and c; None where the values are too large to compute with, or no numbers.
        """
        xx, xr = self._xx / self._count, self._xr / self._count
        outer_xx = self._mean_x[:, :, None] * self._mean_x[:, None]
        square = (xx + outer_xx).diagonal(dim1=1, dim2=2).mean(1)
        if not has_bias:
            xx, xr = xx + outer_xx, xr + self._mean_x[:, :, None] * self._mean_r[:, None]
        penalty = (max(ridge, _LEAST_RIDGE) * square).clamp(min=torch.finfo(torch.float32).tiny)
        eye = torch.eye(xx.shape[1], dtype=xx.dtype, device=xx.device)
        factor, failed = torch.linalg.cholesky_ex(xx + penalty[:, None, None] * eye)
        matrix = torch.cholesky_solve(xr, factor).mT
        bias = torch.zeros_like(self._mean_r)
        if has_bias:
            bias = self._mean_r - (matrix @ self._mean_x[..., None])[..., 0]
        return None if failed.any() or not (matrix.isfinite().all() and bias.isfinite().all()) else Affine(matrix, bias)

    def moments(self, made: Affine) -> Moments:
        """Return the moments of what a map makes of the features."""
        mean = (made.matrix @ self._mean_x[..., None])[..., 0] + made.bias
        variance = ((made.matrix @ self._xx) * made.matrix).sum(2) / self._count
        return Moments(mean, variance.clamp(min=0))


def _products(z: Tensor, features: int) -> Tensor:
    """Return zᵀz of columns [groups, rows, columns] as far as its rows are those of features [groups, features, columns]."""
    size = max(_BLOCK, -(-features // _BLOCKS))
    if features <= size:  # equal features make equal numbers, as they might not beside other columns
        return torch.cat([z[..., :features].mT @ part for part in (z[..., :features], z[..., features:])], 2)
    made = z.new_empty(len(z), features, z.shape[2])
    for start in range(0, features, size):
        rows = slice(start, min(start + size, features))
        made[:, rows, start:] = z[..., rows].mT @ z[..., start:]
        made[:, start + size :, rows] = made[:, rows, start + size : features].mT
    return made
