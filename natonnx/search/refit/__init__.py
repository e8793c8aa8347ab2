"""Recompute weights in closed form after an edit, so that feature maps stay as near as they can to the original's.

In topological order, for each linear operator whose input or join has changed: ridge regression of what its join lacks
(docs/design/search.md#refit). No labels, no gradient; the cost stays as it is, and the ONNX file that is written
computes the same.
"""

import math
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from natonnx.architecture import Architecture, Cut
from natonnx.search.refit.aim import Aim, find_aims
from natonnx.search.refit.least_squares import Affine, NormalEquations
from natonnx.search.refit.original import MOST_KEPT, Original, Sampled, Target
from natonnx.search.refit.schedule import Schedule
from natonnx.search.refit.site import Site, find_sites, settable_names
from natonnx.supernet import Supernet
from natonnx.supernet.linear import rows_of
from natonnx.supernet.ops.placement import moved

__all__ = ["MOST_KEPT", "Refit", "SiteFit"]

_RIDGE = 2.5
"""Share of the features' mean square times the number of samples; from 1 to 2.5 little differs (docs)."""

_LEAST_ROWS = 1024
"""Positions of a regression, however few its features."""


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
        per_feature: Positions that suffice for a regression, for each feature of it; but never fewer than 1,024.
            None where all of `rows` are looked at.
        largest: Most features of an operator that is solved as a whole; of a larger one, output channels are mixed.
        ridge: λ, as a share of the features' mean square; 2.5 over the number of samples where None.
        seed: Of the choice of positions.
        most_bytes: Of the original's tensors that are kept.

    Raises:
        ValueError: If there is no batch.
    """

    def __init__(
        self,
        supernet: Supernet,
        batches: Sequence[Mapping[str, Tensor]],
        *,
        rows: int = 8192,
        per_feature: float | None = None,
        largest: int = 1280,
        ridge: float | None = None,
        seed: int = 0,
        most_bytes: int = MOST_KEPT,
    ) -> None:
        self._supernet, self._largest, self._per_feature = supernet, largest, per_feature
        network = supernet.network
        self._settable = settable_names(network, supernet.named_tensors())
        plan = supernet.plan(network.architecture)
        sites = find_sites(network, plan, supernet.constants(), self._settable)
        own = [_target(site, aim) for site, aim in find_aims(network, network.architecture, plan, sites)]
        self._original = Original(supernet, batches, rows, seed, own, most_bytes)
        self._ridge = _RIDGE / self._original.samples if ridge is None else ridge

    def run(self, alpha: Architecture) -> tuple[dict[str, Tensor], tuple[SiteFit, ...]]:
        """Recompute the weights of an architecture.

        An operator keeps its weights where none are nearer, such as where activations are no numbers.

        Returns:
            The tensors that change, whole, by ONNX name, and what each operator that changes brought.
        """
        with torch.inference_mode():
            walk = _Walk(
                self._supernet, self._original, self._settable, alpha, self._largest, self._ridge, self._per_feature
            )
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
        per_feature: float | None,
    ) -> None:
        network, plan = supernet.network, supernet.plan(alpha)
        self.changed: dict[str, Tensor] = {}
        self.fits: list[SiteFit] = []
        self._largest, self._ridge, self._steps = largest, ridge, plan.steps
        self._per_feature = per_feature
        given = supernet.constants()
        self._constants = ChainMap(self.changed, given)
        aims = find_aims(network, alpha, plan, find_sites(network, plan, given, settable))
        self._schedule = Schedule.of(plan, supernet.plan(network.architecture), aims, given.keys())
        fitted = [_target(site, aim) for found in self._schedule.fits.values() for site, aim in found]
        tensors, self._targets = original.fetch(self._schedule.given, fitted)
        self._values = [{name: parts[i] for name, parts in tensors.items()} for i in range(len(original))]
        self._cut = plan.cut
        firsts = (found[0] for found in self._schedule.fits.values())
        self._awaited = {i for site, aim in firsts if aim.end == site.steps[-1] for i in site.steps}

    def run(self) -> None:
        """Run all steps that matter; those of a site that is fitted at once only by the weights that it gets."""
        for i in self._schedule.steps:
            if i not in self._awaited:
                self._run((i,))
            for site, aim in self._schedule.fits.get(i, ()):
                self._fit(site, aim)
            for values in self._values:
                for name in self._schedule.spent[i]:
                    values.pop(name, None)

    def _run(self, positions: Iterable[int]) -> None:
        for i in positions:
            for values in self._values:
                self._call(i, values, self._constants)

    def _call(self, position: int, values: MutableMapping[str, Tensor], constants: MutableMapping[str, Tensor]) -> None:
        values.update(self._steps[position].call(ChainMap(values, constants), momentum=0.0))

    def _fit(self, site: Site, aim: Aim) -> None:
        """Fit one operator, and take the new weights if they are nearer."""
        made = self._steps[aim.end].outputs[0]
        cut = self._cut.get(made)
        sampled = self._enough(site, self._targets[_target(site, aim)])
        targets = [_without(target, cut, site.linear.is_convolution) for target in sampled]
        fitted = self._fitted(site, made, targets)
        if fitted is not None:
            before, changed = fitted
            remade = [self._remake(site, aim, values, changed) for values in self._values]
            after = _mean_square(
                [_residual(site, fresh[made], target) for fresh, target in zip(remade, targets, strict=True)]
            )
            if after < before:
                self.changed.update(changed)
                for values, fresh in zip(self._values, remade, strict=True):
                    values.update({name: fresh[name] for name in (site.output, made)})
                self.fits.append(SiteFit(aim.tensor, before, after))
        self._run(i for i in site.steps if site.output not in self._values[0])

    def _enough(self, site: Site, targets: Sequence[Sampled]) -> Sequence[Sampled]:
        """Return targets at so many positions as the site's regression takes."""
        if self._per_feature is None:
            return targets
        _, outputs, features = site.linear.to_matrix(site.weight.get(self._constants)).shape
        wanted = max(_LEAST_ROWS, self._per_feature * (outputs if features > self._largest else features))
        share = wanted / max(1, sum(len(target.chosen) for target in targets))
        return targets if share >= 1 else [target.thinned(share) for target in targets]

    def _fitted(self, site: Site, made: str, targets: Sequence[Sampled]) -> tuple[float, dict[str, Tensor]] | None:
        """Return the mean square of what is missing, and the constants by which a site makes most of that.

        None where there are none, or it cannot be compared, since shapes depend on values.
        """
        given = site.get(self._constants)
        groups, outputs, features = given.matrix.shape
        mixes = features > self._largest
        if mixes and outputs > self._largest:
            return None
        weight = site.weight.get(self._constants)
        if made not in self._values[0] and (mixes or not self._fits_shapes(site, weight, targets)):
            self._run(site.steps)
        equations = NormalEquations(groups, outputs if mixes else features, outputs, given.matrix.device)
        for values, target in zip(self._values, targets, strict=True):
            if made in values and values[made].shape != target.shape:
                return None
            missing = _precise(target.rows) if made not in values else _residual(site, values[made], target)
            residual = missing.reshape(len(missing), groups, outputs).transpose(0, 1)
            if mixes:
                rows = rows_of(values[site.output], convolution=site.linear.is_convolution)
                chosen = rows.index_select(0, target.chosen).reshape(len(missing), groups, outputs)
                equations.add([(_precise(chosen.transpose(0, 1)), residual)])
            else:
                parts = map(_precise, site.linear.features(values[site.input], weight, target.shape, target.chosen))
                equations.add(_paired(parts, residual, None if made in values else given))
        before = equations.mean_square
        change = equations.solve(self._ridge, has_bias=site.has_bias) if 0 < before < math.inf else None
        if change is None:
            return None
        if mixes:
            eye = torch.eye(outputs, dtype=change.matrix.dtype, device=change.matrix.device)
            change = Affine(eye + change.matrix, change.bias)
        wanted = change.after(given) if mixes else given.plus(change)
        fitted = change if mixes else wanted
        return before, site.put(self._constants, wanted, lambda: equations.moments(fitted))

    def _fits_shapes(self, site: Site, weight: Tensor, targets: Sequence[Sampled]) -> bool:
        """Tell whether what a site makes surely has the shapes of its targets."""
        shapes = (site.linear.output_shape(values[site.input].shape, weight.shape) for values in self._values)
        return all(shape == target.shape for shape, target in zip(shapes, targets, strict=True))

    def _remake(
        self, site: Site, aim: Aim, values: Mapping[str, Tensor], changed: dict[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """Return what a site and its join make by other weights."""
        fresh: ChainMap[str, Tensor] = ChainMap({}, dict(values))
        for position in dict.fromkeys((*site.steps, aim.end)):
            self._call(position, fresh, ChainMap(changed, self._constants))
        return fresh


def _residual(site: Site, made: Tensor, target: Sampled) -> Tensor:
    """Return what is missing at the positions that are looked at [positions, channels]; nothing of another shape."""
    if made.shape != target.shape:
        return made.new_empty(0)
    rows = rows_of(made, convolution=site.linear.is_convolution).index_select(0, target.chosen)
    return _precise(target.rows) - _precise(rows)


def _paired(parts: Iterable[Tensor], residual: Tensor, given: Affine | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield features of groups with what is missing there; less what a map makes of them, where it has not run yet."""
    first = 0
    for x in parts:
        groups = slice(first, first + len(x))
        missing = residual[groups]
        if given is not None:
            matrix, bias = given.matrix[groups].to(x.dtype), given.bias[groups, None].to(x.dtype)
            missing = missing - torch.baddbmm(bias, x, matrix.mT)
        yield x, missing
        first += len(x)


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
    squares = [torch.linalg.vector_norm(part, dtype=torch.float64) ** 2 for part in residuals]
    return float(sum(squares)) / count if count else float("nan")
