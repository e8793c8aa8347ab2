"""Ridge regression towards given weights, from normal equations that are added up batch by batch."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Fit", "NormalEquations"]


@dataclass(frozen=True)
class Fit:
    """What a regression gave.

    Attributes:
        matrix: [groups, outputs, features].
        bias: [groups, outputs].
        mean: Of the fitted outputs [groups, outputs].
        variance: Of the fitted outputs [groups, outputs].
        before: Mean squared error by the given weights.
        after: By the new ones.
    """

    matrix: Tensor
    bias: Tensor
    mean: Tensor
    variance: Tensor
    before: float
    after: float


class NormalEquations:
    """Moments of features x and of targets t, in double precision: all that least squares needs.

    Args:
        groups: Independent regressions.
        features: Of each.
        outputs: Of each.
        device: Where.
    """

    def __init__(self, groups: int, features: int, outputs: int, device: torch.device) -> None:
        zeros = {"dtype": torch.float64, "device": device}
        self.count = 0
        self._x = torch.zeros(groups, features, **zeros)  # type: ignore[arg-type]
        self._t = torch.zeros(groups, outputs, **zeros)  # type: ignore[arg-type]
        self._xx = torch.zeros(groups, features, features, **zeros)  # type: ignore[arg-type]
        self._xt = torch.zeros(groups, features, outputs, **zeros)  # type: ignore[arg-type]
        self._tt = 0.0

    def add(self, x: Tensor, t: Tensor) -> None:
        """Take in features [groups, rows, features] and targets [groups, rows, outputs]."""
        x, t = x.float(), t.float()
        self.count += x.shape[1]
        self._x += x.sum(1, dtype=torch.float64)
        self._t += t.sum(1, dtype=torch.float64)
        self._xx += x.transpose(1, 2) @ x
        self._xt += x.transpose(1, 2) @ t
        self._tt += float(t.double().square().sum())

    def solve(self, given: Tensor, bias: Tensor | None, ridge: float) -> Fit | None:
        """Minimise the mean of (W·x + b − t)² + λ·(W − W₀)², with λ a share of the features' mean square.

        The optimum is W₀ where the features say nothing, so that rank does not matter.

        Args:
            given: W₀ [groups, outputs, features].
            bias: b₀ [groups, outputs]; None for an operator without b.
            ridge: That share.

        Returns:
            The optimum; None where the values are too large to compute with.
        """
        n, w0 = float(self.count), given.double()
        mean_x, mean_t = self._x / n, self._t / n
        xx, xt = self._xx / n, self._xt / n
        centred_xx = xx - mean_x[:, :, None] * mean_x[:, None]
        if bias is None:
            a, b = xx, xt
        else:
            a, b = centred_xx, xt - mean_x[:, :, None] * mean_t[:, None]
        scale = a.diagonal(dim1=1, dim2=2).mean(1).clamp(min=torch.finfo(torch.float32).tiny)
        eye = torch.eye(a.shape[1], dtype=a.dtype, device=a.device)
        factor, failed = torch.linalg.cholesky_ex(a + (ridge * scale)[:, None, None] * eye)
        if bool(failed.any()):
            return None
        change = torch.cholesky_solve(b - a @ w0.transpose(1, 2), factor).transpose(1, 2)
        w = w0 + change
        free = mean_t - (w @ mean_x[:, :, None])[..., 0] if bias is not None else torch.zeros_like(mean_t)
        if not bool(w.isfinite().all() and free.isfinite().all()):
            return None
        given_bias = torch.zeros_like(mean_t) if bias is None else bias.double()
        outputs = (w @ mean_x[:, :, None])[..., 0] + free
        variance = ((w @ centred_xx) * w).sum(2).clamp(min=0)
        before, after = self._error(w0, given_bias), self._error(w, free)
        return Fit(w, free, outputs, variance, before, after)

    def _error(self, w: Tensor, bias: Tensor) -> float:
        """Return the mean of (W·x + b − t)² over rows and outputs."""
        square = ((w @ self._xx) * w).sum() - 2 * (w * self._xt.transpose(1, 2)).sum() + self._tt
        square += (bias * (self.count * bias + 2 * (w @ self._x[:, :, None])[..., 0] - 2 * self._t)).sum()
        return max(0.0, float(square)) / (self.count * self._t.numel())
