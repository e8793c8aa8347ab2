"""Ridge regression of what is still missing, from normal equations that are added up batch by batch."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Affine", "Moments", "NormalEquations"]

_LEAST_RIDGE = 1e-7
"""Below it, what single precision rounds off would decide where the features say nothing."""


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
    that is large beside the deviations costs no precision.

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

    def add(self, x: Tensor, r: Tensor) -> None:
        """Take in features [groups, rows, features] and residuals [groups, rows, outputs]."""
        count = x.shape[1]
        mean_x, mean_r = x.mean(1, dtype=torch.float64), r.mean(1, dtype=torch.float64)
        x, r = x - mean_x[:, None].to(x.dtype), r - mean_r[:, None].to(r.dtype)
        total = self._count + count
        step_x, step_r = mean_x - self._mean_x, mean_r - self._mean_r
        between = self._count * count / total
        self._xx += x.mT @ x + between * step_x[:, :, None] * step_x[:, None]
        self._xr += x.mT @ r + between * step_x[:, :, None] * step_r[:, None]
        self._mean_x += count / total * step_x
        self._mean_r += count / total * step_r
        self._count = total

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
        broken = failed.any() | ~matrix.isfinite().all() | ~bias.isfinite().all()
        return None if broken else Affine(matrix, bias)

    def moments(self, made: Affine) -> Moments:
        """Return the moments of what a map makes of the features."""
        mean = (made.matrix @ self._mean_x[..., None])[..., 0] + made.bias
        variance = ((made.matrix @ self._xx) * made.matrix).sum(2) / self._count
        return Moments(mean, variance.clamp(min=0))
