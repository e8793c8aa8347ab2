"""Recompute weights in closed form after an edit, so that feature maps stay as near as they can to the original's.

In topological order, for each linear operator whose input or join has changed: ridge regression of what its join lacks
(docs/design/search.md#refit). No labels, no gradient; the cost stays as it is, and the ONNX file that is written
computes the same.
"""

import math
import sys
from bisect import bisect_right
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from natonnx.architecture import Architecture, Cut
from natonnx.search.refit.aim import Aim, find_aims
from natonnx.search.refit.least_squares import Affine, NormalEquations
from natonnx.search.refit.original import MOST_KEPT, Original, Part, Sampled, Target
from natonnx.search.refit.schedule import Schedule
from natonnx.search.refit.site import Site, find_sites, settable_names
from natonnx.supernet import Supernet
from natonnx.supernet.linear import rows_of
from natonnx.supernet.ops.placement import moved

__all__ = ["MOST_KEPT", "Refit", "SiteFit"]

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
        held: Samples of which whole tensors may be held at once. Of more, parts of a batch run one after the other, and
            from the input again for each operator: what is found is the same, as far as a sample's numbers do not
            depend on how many run beside it.
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
        largest: int = 1280,
        ridge: float | None = None,
        seed: int = 0,
        held: int = sys.maxsize,
        most_bytes: int = MOST_KEPT,
    ) -> None:
        self._supernet, self._largest = supernet, largest
        self._original = Original(supernet, batches, rows, seed, held=held, most_bytes=most_bytes)
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
    """Runs one architecture on all calibration samples, step by step, and refits on the way.

    Whole tensors of all samples are held; or each part of them runs anew, by the weights as they are, up to where it is
    looked at.
    """

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
        self._original, self._largest, self._ridge, self._steps = original, largest, ridge, plan.steps
        given = supernet.constants()
        self._constants = ChainMap(self.changed, given)
        aims = find_aims(network, alpha, plan, find_sites(network, plan, given, settable))
        self._schedule = Schedule.of(plan, supernet.plan(network.architecture), aims, given.keys())
        fitted = [_target(site, aim) for found in self._schedule.fits.values() for site, aim in found]
        tensors, self._targets = original.fetch(self._schedule.given, fitted)
        self._held: list[dict[str, Tensor]] = []
        if original.is_held:
            self._held = [{name: parts[i] for name, parts in tensors.items()} for i in range(len(original.parts))]
        self._cut = plan.cut
        firsts = (found[0] for found in self._schedule.fits.values())
        self._awaited = {i for site, aim in firsts if aim.end == site.steps[-1] for i in site.steps}

    def run(self) -> None:
        """Run all steps that matter; those of a site that is fitted at once only by the weights that it gets."""
        for i in self._schedule.steps:
            for values in self._held if i not in self._awaited else ():
                self._call(i, values, self._constants)
            for site, aim in self._schedule.fits.get(i, ()):
                self._fit(i, site, aim)
            for values in self._held:
                self._forget(i, values)

    def _states(self, position: int) -> Iterator[tuple[Part, dict[str, Tensor]]]:
        """Yield what each part of the samples has, once a step has run."""
        if self._original.is_held:
            yield from zip(self._original.parts, self._held, strict=True)
            return
        for part in self._original.parts:
            made = self._original.run(part, self._schedule.given)
            values = {name: made[name] for name in self._schedule.given}
            del made
            for i in self._schedule.steps[: bisect_right(self._schedule.steps, position)]:
                if i not in self._awaited:
                    self._call(i, values, self._constants)
                if i < position:
                    self._forget(i, values)
            yield part, values

    def _forget(self, position: int, values: dict[str, Tensor]) -> None:
        for name in self._schedule.spent[position]:
            values.pop(name, None)

    def _call(self, position: int, values: MutableMapping[str, Tensor], constants: MutableMapping[str, Tensor]) -> None:
        values.update(self._steps[position].call(ChainMap(values, constants), momentum=0.0))

    def _run(self, site: Site, values: dict[str, Tensor]) -> None:
        for i in site.steps:
            self._call(i, values, self._constants)

    def _fit(self, position: int, site: Site, aim: Aim) -> None:
        """Fit one operator, and take the new weights if they are nearer."""
        made = self._steps[aim.end].outputs[0]
        cut = self._cut.get(made)
        targets = [_without(target, cut, site.linear.is_convolution) for target in self._targets[_target(site, aim)]]
        fitted = self._fitted(position, site, made, targets)
        if fitted is not None:
            before, changed = fitted
            remade: list[dict[str, Tensor]] = []
            residuals: list[list[Tensor]] = [[] for _ in targets]
            for part, values in self._states(position):
                fresh = self._remake(site, aim, values, changed)
                residuals[part.batch].append(_residual(site, fresh[made], targets[part.batch].within(part)))
                if self._held:
                    remade.append({name: fresh[name] for name in (site.output, made)})
            after = _mean_square([torch.cat(parts) for parts in residuals])
            if after < before:
                self.changed.update(changed)
                for values, new in zip(self._held, remade, strict=True):
                    values.update(new)
                self.fits.append(SiteFit(aim.tensor, before, after))
        self._awaited.difference_update(site.steps)
        for values in self._held:
            if site.output not in values:
                self._run(site, values)

    def _fitted(
        self, position: int, site: Site, made: str, targets: Sequence[Sampled]
    ) -> tuple[float, dict[str, Tensor]] | None:
        """Return the mean square of what is missing, and the constants by which a site makes most of that.

        None where there are none, or it cannot be compared, since shapes depend on values.
        """
        given = site.get(self._constants)
        groups, outputs, features = given.matrix.shape
        mixes = features > self._largest
        if mixes and outputs > self._largest:
            return None
        weight = site.weight.get(self._constants)
        equations = NormalEquations(groups, outputs if mixes else features, outputs, given.matrix.device)
        for batch, states in groupby(self._states(position), lambda state: state[0].batch):
            seen, missing = list[Iterable[Tensor]](), list[Tensor]()
            for part, values in states:
                target = targets[batch].within(part)
                if made not in values and (mixes or not _fits_shape(site, values, weight, target)):
                    self._run(site, values)
                if made in values and values[made].shape != target.shape:
                    return None
                missing.append(_precise(target.rows) if made not in values else _residual(site, values[made], target))
                if mixes:
                    rows = rows_of(values[site.output], convolution=site.linear.is_convolution)
                    chosen = rows.index_select(0, target.chosen).reshape(-1, groups, outputs)
                    some: Iterable[Tensor] = [_precise(chosen.transpose(0, 1))]
                else:
                    some = map(_precise, site.linear.features(values[site.input], weight, target.shape, target.chosen))
                seen.append(some if part.size is None else [*some])  # of a part, before the next one runs
                is_map = not mixes and made not in values
            residual = torch.cat(missing)
            residual = residual.reshape(len(residual), groups, outputs).transpose(0, 1)
            features_seen = seen[0] if len(seen) == 1 else (torch.cat(few, 1) for few in zip(*seen, strict=True))
            equations.add(_paired(features_seen, residual, given if is_map else None))
        before = equations.mean_square
        change = equations.solve(self._ridge, has_bias=site.has_bias) if 0 < before < math.inf else None
        if change is None:
            return None
        if mixes:
            eye = torch.eye(outputs, dtype=change.matrix.dtype, device=change.matrix.device)
            change = Affine(eye + change.matrix, change.bias)
        wanted = change.after(given) if mixes else given.plus(change)
        return before, site.put(self._constants, wanted, equations.moments(change if mixes else wanted))

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


def _fits_shape(site: Site, values: Mapping[str, Tensor], weight: Tensor, target: Sampled) -> bool:
    """Tell whether what a site makes surely has the shape of its target."""
    return site.linear.output_shape(values[site.input].shape, weight.shape) == target.shape


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
