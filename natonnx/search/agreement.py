"""The objective without labels: the original model is the teacher, and its outputs are the targets."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from natonnx.search.objective import POINTS, Figure, Outputs, Targets, bounded_below, is_decided, is_masked
from natonnx.search.outputs import JudgedOutput, Measure

__all__ = ["Agreement"]

_TEMPERATURE = 2.0
"""Of the distributions that are compared in training (Hinton et al., 2015)."""
_LEAST_SCORE = -1.0
"""No sample counts for less: a single wild output must not outweigh all others."""
_TINY = 1e-12


@dataclass(frozen=True)
class Agreement:
    """Agreement with the original model.

    Each output has a loss and a score of its own; both are averaged over the outputs.

    - Class scores: the Kullback-Leibler divergence from the original's distribution, softened by a temperature of 2 and
      multiplied by its square; the score is 1 where the highest class is the original's, averaged over positions.
    - Probabilities of their own (behind Sigmoid): the binary divergence of what stands before; the score is that of
      other values, of the probabilities.
    - Embeddings that are divided by their norm: 1 − cosine, and the cosine.
    - Other values: the squared error relative to the output's variance over the data; the score is 1 less that, so
      that its mean is the explained variance (R²). A sample counts for -1 at least.

    Attributes:
        outputs: How each output is judged.
        variances: Mean variance of an element over the data by output, for those whose errors are relative to it.
    """

    outputs: tuple[JudgedOutput, ...]
    variances: Mapping[str, float]

    name = "agreement"
    measure = "agreement"
    unit = POINTS
    follows_original = True
    loss_follows_original = True

    @staticmethod
    def of(outputs: tuple[JudgedOutput, ...], original: Callable[[], Iterable[Outputs]]) -> "Agreement":
        """Measure the variances.

        Args:
            outputs: How each output is judged.
            original: Runs the original model over the data, once: its outputs batch by batch.
        """
        wanted = [out.name for out in outputs if out.measure in (Measure.VARIANCE, Measure.PROBABILITIES)]
        moments = {name: _Moments() for name in wanted}
        if wanted:
            for batch in original():
                for name in wanted:
                    moments[name].add(batch[name])
        return Agreement(outputs, {name: moment.variance() for name, moment in moments.items()})

    @property
    def least(self) -> float:
        """Of values; of class scores 0."""
        return 0.0 if all(out.measure is Measure.TOP1 for out in self.outputs) else _LEAST_SCORE

    @property
    def figures(self) -> tuple[Figure, ...]:
        """One an output."""
        return tuple(Figure(out.name, out.measure.value) for out in self.outputs)

    @property
    def captures(self) -> Mapping[str, int | None]:
        """The outputs, and what stands before a final Softmax or Sigmoid."""
        return {name: out.batch_axis for out in self.outputs for name in (out.name, out.logits)}

    @property
    def score_captures(self) -> Mapping[str, int | None]:
        """The outputs themselves."""
        return {out.name: out.batch_axis for out in self.outputs}

    @property
    def loss_captures(self) -> Mapping[str, int | None]:
        """What the loss alone reads."""
        return {out.logits: out.batch_axis for out in self.outputs}

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        """Return the mean over the outputs of how far each is from the original's."""
        assert not isinstance(targets, Tensor), "the targets are the original's outputs"
        parts = [self._loss(out, outputs[out.logits].float(), targets[out.logits].float()) for out in self.outputs]
        return torch.stack(parts).mean() if len(parts) > 1 else parts[0]

    def _loss(self, out: JudgedOutput, value: Tensor, target: Tensor) -> Tensor:
        if out.measure is Measure.TOP1:
            divergence = functional.kl_div(
                torch.log_softmax(bounded_below(value) / _TEMPERATURE, out.axis),
                torch.log_softmax(bounded_below(target) / _TEMPERATURE, out.axis),
                reduction="sum",
                log_target=True,
            )
            positions = max(1, target.numel() // target.shape[out.axis])
            return _TEMPERATURE**2 * divergence / positions
        if out.measure is Measure.PROBABILITIES:
            goal = torch.sigmoid(target)
            least = functional.binary_cross_entropy_with_logits(target, goal)
            return functional.binary_cross_entropy_with_logits(value, goal) - least
        if out.measure is Measure.COSINE:
            return 1 - functional.cosine_similarity(value, target, out.axis).mean()
        return _difference(value, target).square().mean() / max(self.variances.get(out.name, 1.0), _TINY)

    def score(self, outputs: Outputs, targets: Targets) -> Tensor:
        """Return scores [n, outputs]; see the class.

        What is not finite counts as the least, in the original too, unless both are the same infinity.
        """
        assert not isinstance(targets, Tensor), "the targets are the original's outputs"
        columns = [self._score(out, outputs[out.name].float(), targets[out.name].float()) for out in self.outputs]
        return torch.stack(columns, 1)

    def _score(self, out: JudgedOutput, value: Tensor, target: Tensor) -> Tensor:
        if out.measure is Measure.TOP1:
            same = value.argmax(out.axis) == target.argmax(out.axis)
            return _per_sample((same & is_decided(value, out.axis) & is_decided(target, out.axis)).float())
        if out.measure is Measure.COSINE:
            found = _per_sample(functional.cosine_similarity(value, target, out.axis))
        else:
            variance = max(self.variances[out.name], _TINY)
            found = 1 - _per_sample(_difference(value, target).square()) / variance
        return torch.where(found.isfinite(), found.clamp(_LEAST_SCORE, 1.0), _LEAST_SCORE)

    def answers(self, outputs: Outputs) -> Tensor:
        """Return the classes of outputs that are class scores, and the values of the others [n, all of them]."""
        parts = [
            value.argmax(out.axis) if out.measure is Measure.TOP1 else value
            for out in self.outputs
            for value in [outputs[out.name]]
        ]
        return torch.cat([part.float().reshape(len(part), -1) for part in parts], 1)


def _difference(value: Tensor, target: Tensor) -> Tensor:
    """Return how far values are from others; not at all where both are the same infinity."""
    same = (target.isposinf() & value.isposinf()) | (is_masked(target) & is_masked(value))
    return torch.where(same, 0.0, value - target)


def _per_sample(values: Tensor) -> Tensor:
    """Return the mean of each sample's values [n]."""
    return values.reshape(len(values), -1).mean(1)


class _Moments:
    """Variance of a tensor's elements over the samples, each element around its own mean where sizes allow that.

    Numbers alone count, neither NaN nor infinities.
    """

    def __init__(self) -> None:
        self._sums: Tensor | None = None  # how many, their sum, and that of their squares [3, ...]

    def add(self, batch: Tensor) -> None:
        """Take in a batch [n, ...]."""
        finite = batch.isfinite() & ~is_masked(batch)
        values = torch.where(finite, batch, 0).double()
        sums = torch.stack([finite.double().sum(0), values.sum(0), values.square().sum(0)])
        if self._sums is not None and self._sums.shape != sums.shape:
            # sizes differ from batch to batch: one mean for all values from now on
            self._sums, sums = self._sums.reshape(3, -1).sum(1), sums.reshape(3, -1).sum(1)
        self._sums = sums if self._sums is None else self._sums + sums

    def variance(self) -> float:
        """Return the mean over the elements; over all values around one mean where batches differ in size."""
        if self._sums is None:
            return 1.0
        count, total, squares = self._sums
        mean, square = total / count.clamp(min=1), squares / count.clamp(min=1)
        found = float((square - mean.square()).clamp(min=0)[count > 0].mean())
        return found if found > _TINY else 1.0
