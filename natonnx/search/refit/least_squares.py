"""Ridge regression of what is still missing, from normal equations that are added up batch by batch."""

import math
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

        self._count, self._square = 0, torch.zeros((), dtype=torch.float64, device=device)
        self._mean_x, self._mean_r = zeros(features), zeros(outputs)
        self._xx, self._xr = zeros(features, features), zeros(features, outputs)  # of deviations from the means

    @property
    def mean_square(self) -> float:
        """Mean of squares of the residuals; no number where there are none."""
        count = self._count * self._mean_r.numel()
        return float(self._square) / count if count else math.nan

    def add(self, parts: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take in features [groups, rows, features] and residuals [groups, rows, outputs], some groups at once."""
        first = rows = 0
        for x, r in parts:
            rows = r.shape[1]
            self._add(x, r, slice(first, first + len(x)))
            first += len(x)
        self._count += rows

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
        products = _products(z, features)
        step = products[..., -1].double() / count  # from the guess to the mean
        step_x = guess[:, 0].double() + step - self._mean_x[groups]
        step_r = mean_r[:, 0] - self._mean_r[groups]
        total = self._count + count
        between = self._count * count / total
        xx, xr = self._xx[groups], self._xr[groups]
        xx += products[..., :features]
        xr += products[..., features:-1]
        xx.addcmul_(step[:, :, None], step[:, None], value=-count)
        if between:
            xx.addcmul_(step_x[:, :, None], step_x[:, None], value=between)
            xr.addcmul_(step_x[:, :, None], step_r[:, None], value=between)
        self._mean_x[groups] += count / total * step_x
        self._mean_r[groups] += count / total * step_r
        self._square += torch.linalg.vector_norm(r, dtype=torch.float64).square()

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
        square = (xx.diagonal(dim1=1, dim2=2) + self._mean_x.square()).mean(1)
        if not has_bias:
            xx.addcmul_(self._mean_x[:, :, None], self._mean_x[:, None])
            xr.addcmul_(self._mean_x[:, :, None], self._mean_r[:, None])
        penalty = (max(ridge, _LEAST_RIDGE) * square).clamp(min=torch.finfo(torch.float32).tiny)
        xx.diagonal(dim1=1, dim2=2).add_(penalty[:, None])
        factor, failed = torch.linalg.cholesky_ex(xx)
        matrix = torch.cholesky_solve(xr, factor).mT
        bias = torch.zeros_like(self._mean_r)
        if has_bias:
            bias = self._mean_r - (matrix @ self._mean_x[..., None])[..., 0]
        finite = square.isfinite().all() & matrix.isfinite().all() & bias.isfinite().all()
        return None if failed.any() | ~finite else Affine(matrix, bias)

    def moments(self, made: Affine) -> Moments:
        """Return the moments of what a map makes of the features."""
        mean = (made.matrix @ self._mean_x[..., None])[..., 0] + made.bias
        variance = ((made.matrix @ self._xx) * made.matrix).sum(2) / self._count
        return Moments(mean, variance.clamp(min=0))


def _products(z: Tensor, features: int) -> Tensor:
    """Return the products of the first columns with all [groups, features, columns], of z [groups, rows, columns]."""
    size = max(_BLOCK, -(-features // _BLOCKS))
    if features <= size:  # equal features make equal numbers, as they might not beside other columns
        return torch.cat([z[..., :features].mT @ part for part in (z[..., :features], z[..., features:])], 2)
    made = z.new_empty(len(z), features, z.shape[2])
    for start in range(0, features, size):
        rows = slice(start, min(start + size, features))
        made[:, rows, start:] = z[..., rows].mT @ z[..., start:]
        made[:, start + size :, rows] = made[:, rows, start + size : features].mT
    return made
