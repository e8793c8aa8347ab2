"""Recompute weights in closed form after an edit, so that feature maps stay as near as they can to the original's.

In topological order, for each linear operator whose input or join has changed: ridge regression of what its join lacks
(docs/design/search.md#refit). No labels, no gradient; the cost stays as it is, and the ONNX file that is written
computes the same.
"""

from collections import ChainMap
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from natonnx.architecture import Architecture, Cut
from natonnx.frontend import lower
from natonnx.search.refit.aim import Aim, find_aims
from natonnx.search.refit.least_squares import Affine, NormalEquations
from natonnx.search.refit.original import Original, Sampled, Target
from natonnx.search.refit.schedule import Schedule
from natonnx.search.refit.site import Site, find_sites, settable_names
from natonnx.supernet import Supernet
from natonnx.supernet.linear import rows_of
from natonnx.supernet.ops.placement import moved

__all__ = ["Refit", "SiteFit"]

_RIDGE = 2.5
"""Share of the features' mean square times the number of samples; from 1 to 2.5 little differs (docs)."""


@dataclass(frozen=True)
class SiteFit:
    """How near a join came to what it should be, by the weights of one operator.

    Attributes:
        tensor: The original's tensor that it should equal.
        before: Mean squared error by the weights that were given.
        after: By the new ones; always less.
    """

    tensor: str
    before: float
    after: float


class Refit:
    """Recomputes weights of architectures of one network.

    Args:
        supernet: The original; nothing changes its weights meanwhile. It runs in evaluation mode whatever its own.
        batches: Calibration inputs by name, in the model's own layout, a mapping a batch; of the batch size that the
            file fixes, where it does.
        rows: Positions of a tensor that are looked at, of all samples together.
        largest: Most features of an operator that is solved as a whole; of a larger one, output channels are mixed.
        ridge: λ, as a share of the features' mean square; 2.5 over the number of samples where None.
        seed: Of the choice of positions.

    Raises:
        ValueError: If there is no batch.
    """

    def __init__(
        self,
        supernet: Supernet,
        batches: Sequence[Mapping[str, Tensor]],
        *,
        rows: int = 8192,
        largest: int = 1280,
        ridge: float | None = None,
        seed: int = 0,
    ) -> None:
        self._supernet, self._largest = supernet, largest
        self._original = Original(supernet, batches, rows, seed)
        self._ridge = _RIDGE / self._original.samples if ridge is None else ridge
        self._settable = settable_names(supernet.network, supernet.named_tensors())

    def run(self, alpha: Architecture) -> tuple[dict[str, Tensor], tuple[SiteFit, ...]]:
        """Recompute the weights of an architecture.

        An operator keeps its weights where none are nearer, such as where activations are no numbers.

        Returns:
            The tensors that change, whole, by ONNX name, and what each operator that changes brought.
        """
        with torch.inference_mode():
            walk = _Walk(self._supernet, self._original, self._settable, alpha, self._largest, self._ridge)
            walk.run()
        return {name: value.clone() for name, value in walk.changed.items()}, tuple(walk.fits)


class _Walk:
    """Runs one architecture on all calibration samples at once, step by step, and refits on the way."""

    def __init__(
        self,
        supernet: Supernet,
        original: Original,
        settable: frozenset[str],
        alpha: Architecture,
        largest: int,
        ridge: float,
    ) -> None:
        network, plan = supernet.network, supernet.plan(alpha)
        self.changed: dict[str, Tensor] = {}
        self.fits: list[SiteFit] = []
        self._largest, self._ridge, self._steps = largest, ridge, plan.steps
        given = supernet.constants()
        self._constants = ChainMap(self.changed, given)
        aims = find_aims(network, alpha, plan, find_sites(network, plan, given, settable))
        self._schedule = Schedule.of(plan, supernet.plan(network.architecture), aims, given.keys())
        fitted = [_target(site, aim) for found in self._schedule.fits.values() for site, aim in found]
        tensors, self._targets = original.fetch(self._schedule.given, fitted)
        self._values = [{name: parts[i] for name, parts in tensors.items()} for i in range(len(original))]
        self._cut = lower(network, alpha).cut

    def run(self) -> None:
        """Run all steps that matter."""
        for i in self._schedule.steps:
            for values in self._values:
                self._call(i, values, self._constants)
            for site, aim in self._schedule.fits.get(i, ()):
                self._fit(site, aim)
            for values in self._values:
                for name in self._schedule.spent[i]:
                    values.pop(name, None)

    def _call(self, position: int, values: MutableMapping[str, Tensor], constants: MutableMapping[str, Tensor]) -> None:
        values.update(self._steps[position].call(ChainMap(values, constants), momentum=0.0))

    def _fit(self, site: Site, aim: Aim) -> None:
        """Fit one operator, and take the new weights if they are nearer."""
        made = self._steps[aim.end].outputs[0]
        residuals = self._residuals(site, aim, [values[made] for values in self._values])
        if residuals is None:
            return
        before = _mean_square(residuals)
        changed = self._solve(site, aim, residuals) if 0 < before < float("inf") else None
        if changed is None:
            return
        remade = [self._remake(site, aim, values, changed) for values in self._values]
        after = _mean_square(self._residuals(site, aim, [fresh[made] for fresh in remade]) or [])
        if after < before:
            self.changed.update(changed)
            for values, fresh in zip(self._values, remade, strict=True):
                values.update({name: fresh[name] for name in (site.output, made)})
            self.fits.append(SiteFit(aim.tensor, before, after))

    def _residuals(self, site: Site, aim: Aim, made: Sequence[Tensor]) -> list[Tensor] | None:
        """Return what is missing at the positions that are looked at [positions, channels], a tensor a batch.

        None where it cannot be compared, since shapes depend on values.
        """
        cut = self._cut.get(self._steps[aim.end].outputs[0])
        residuals = []
        for value, target in zip(made, self._targets[_target(site, aim)], strict=True):
            wanted = _without(target, cut, site.linear.is_convolution)
            if wanted.shape != value.shape:
                return None
            rows = rows_of(value, convolution=site.linear.is_convolution)[target.chosen]
            residuals.append(_precise(wanted.rows) - _precise(rows))
        return residuals

    def _solve(self, site: Site, aim: Aim, residuals: Sequence[Tensor]) -> dict[str, Tensor] | None:
        """Return the constants by which a site makes most of what is missing; None where there are none."""
        given = site.get(self._constants)
        groups, outputs, features = given.matrix.shape
        mixes = features > self._largest
        if mixes and outputs > self._largest:
            return None
        equations = NormalEquations(groups, outputs if mixes else features, outputs, given.matrix.device)
        weight = site.weight.get(self._constants)
        targets = self._targets[_target(site, aim)]
        for values, target, residual in zip(self._values, targets, residuals, strict=True):
            if mixes:
                rows = rows_of(values[site.output], convolution=site.linear.is_convolution)[target.chosen]
                x = rows.reshape(len(rows), groups, outputs).transpose(0, 1)
            else:
                x = site.linear.features(values[site.input], weight, values[site.output].shape, target.chosen)
            equations.add(_precise(x), residual.reshape(len(residual), groups, outputs).transpose(0, 1))
        change = equations.solve(self._ridge, has_bias=site.has_bias)
        if change is None:
            return None
        if mixes:
            eye = torch.eye(outputs, dtype=change.matrix.dtype, device=change.matrix.device)
            mixed = Affine(eye + change.matrix, change.bias)
            return site.put(self._constants, mixed.after(given), equations.moments(mixed))
        wanted = given.plus(change)
        return site.put(self._constants, wanted, equations.moments(wanted))

    def _remake(
        self, site: Site, aim: Aim, values: Mapping[str, Tensor], changed: dict[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """Return what a site and its join make by other weights."""
        fresh: ChainMap[str, Tensor] = ChainMap({}, dict(values))
        for position in dict.fromkeys((*site.steps, aim.end)):
            self._call(position, fresh, ChainMap(changed, self._constants))
        return fresh


def _target(site: Site, aim: Aim) -> Target:
    return Target(aim.tensor, site.linear.is_convolution)


def _without(target: Sampled, cut: Cut | None, convolution: bool) -> Sampled:
    """Return a target without the channels that α has cut."""
    axis = 1 if convolution else len(target.shape) - 1
    if cut is None or cut.axis != axis:
        return target
    kept = moved(torch.from_numpy(np.flatnonzero(cut.kept)), target.rows.device)
    shape = [*target.shape]
    shape[axis] = int(cut.kept.sum())
    return target._replace(rows=target.rows.index_select(1, kept), shape=torch.Size(shape))


def _precise(value: Tensor) -> Tensor:
    """Return a tensor in single precision at least."""
    return value.to(torch.promote_types(value.dtype, torch.float32))


def _mean_square(residuals: Sequence[Tensor]) -> float:
    """Return the mean of squares; no number where there are none."""
    count = sum(part.numel() for part in residuals)
    return float(sum(part.double().square().sum() for part in residuals)) / count if count else float("nan")
