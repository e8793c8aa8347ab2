"""Losses over classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

from natonnx.supernet.ops.registry import register

if TYPE_CHECKING:
    from torch import Tensor

    from natonnx.supernet.ops.registry import Kernel, OpSpec

_NEVER = -100
"""No class: torch's own index to ignore."""


@register("NegativeLogLikelihoodLoss")
def negative_log_likelihood(spec: OpSpec) -> Kernel:
    """Pick the negative log-probability of each target class, weighted by class, and reduce."""
    reduction, ignored = spec.text("reduction", "mean"), spec.integer("ignore_index", _NEVER)

    def kernel(scores: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        return functional.nll_loss(scores, target.long(), weight, ignore_index=ignored, reduction=reduction)

    return kernel


@register("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy(spec: OpSpec) -> Kernel:
    """Do the same after a log-softmax over the classes, which is a second output on demand."""
    likelihood = negative_log_likelihood(spec)

    def kernel(scores: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        logarithms = functional.log_softmax(scores, 1)
        loss = likelihood(logarithms, target, weight)
        assert not isinstance(loss, tuple)
        return (loss, logarithms) if spec.n_outputs > 1 else loss

    return kernel
