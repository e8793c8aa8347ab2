"""Recompute weights in closed form after an edit, so that feature maps stay as near as they can to the original's.

In topological order, for each linear operator whose input or join has changed: ridge regression of what it makes towards
the original's own value of the join (docs/design/search.md#refit). No labels, no gradient; the cost stays as it is, and
the ONNX file that is written computes the same.
"""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from natonnx.architecture import Architecture
from natonnx.frontend import RunSkip, lower
from natonnx.search.refit.aim import Aim, Aims
from natonnx.search.refit.least_squares import Fit, NormalEquations
from natonnx.search.refit.original import Original, Sampled
from natonnx.search.refit.site import Site, find_sites, settable_names
from natonnx.supernet import Supernet
from natonnx.supernet.linear import rows_of
from natonnx.supernet.module import as_channels_last

__all__ = ["Refit", "SiteFit"]


@dataclass(frozen=True)
class SiteFit:
    """How near an operator's output came to what it should be.

    Attributes:
        tensor: The original's tensor that it should equal, with the join's other members.
        before: Mean squared error by the weights that were given.
        after: By the new ones.
    """

    tensor: str
    before: float
    after: float


class Refit:
    """Recomputes weights of architectures of one network.

    Args:
        supernet: The original, in evaluation mode; nothing changes its weights meanwhile.
        batches: Calibration inputs by name, in the model's own layout, a mapping a batch.
        rows: Positions of a tensor that are looked at, of all samples together.
        largest: Most features of an operator that is solved as a whole; of a larger one, output channels are mixed.
        ridge: λ, as a share of the features' mean square.
        seed: Of the choice of positions.
    """

    def __init__(
        self,
        supernet: Supernet,
        batches: Sequence[Mapping[str, Tensor]],
        *,
        rows: int = 8192,
        largest: int = 1280,
        ridge: float = 0.01,
        seed: int = 0,
    ) -> None:
        self._supernet, self._largest, self._ridge = supernet, largest, ridge
        self._original = Original(supernet, batches, rows, seed)
        self._settable = settable_names(supernet.network, supernet.named_tensors())

    @torch.inference_mode()
    def run(self, alpha: Architecture) -> tuple[dict[str, Tensor], tuple[SiteFit, ...]]:
        """Recompute the weights of an architecture.

        Returns:
            The tensors that change, by ONNX name, and how well each operator was fitted.
        """
        walk = _Walk(self._supernet, self._original, self._settable, alpha, self._largest, self._ridge)
        walk.run()
        given = self._supernet.constants()
        changed = {name: value for name, value in walk.constants.items() if value is not given[name]}
        return changed, tuple(walk.fits)


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
        network = supernet.network
        self.constants = dict(supernet.constants())
        self.fits: list[SiteFit] = []
        self._original, self._largest, self._ridge = original, largest, ridge
        self._plan = supernet.plan(alpha)
        given = supernet.plan(network.architecture)
        self._unchanged = {step.instruction for step in given.steps}
        self._named = {name for step in given.steps for name in step.outputs}
        self._cut = lower(network, alpha).cut
        self._changed: set[str] = set()
        aims = Aims(network, alpha, self._plan)
        sites = find_sites(self._plan, self.constants, settable)
        self._sites = {site.first: (site, aims.of(site.node, site.output)) for site in sites}
        self._values = [as_channels_last(batch) for batch in original.batches]
        self._targets = original.fetch(
            (aim.tensor, site.linear.is_convolution) for site, aim in self._affected() if aim.tensor in self._named
        )

    def _affected(self) -> list[tuple[Site, Aim]]:
        """List the sites that will be refitted: those whose input, aim or join has changed."""
        changed: set[str] = set()
        found = []
        for i, step in enumerate(self._plan.steps):
            touched = step.instruction not in self._unchanged or not changed.isdisjoint(step.inputs)
            if i in self._sites:
                site, aim = self._sites[i]
                if touched or self._is_moved(site, aim) or not changed.isdisjoint(aim.others):
                    found.append((site, aim))
                    touched = True
            if touched:
                changed.update(step.outputs)
        self._refitted = {site.first for site, _ in found}
        return found

    def _is_moved(self, site: Site, aim: Aim) -> bool:
        """Tell whether what a site makes is joined in another way than in the original."""
        if aim.join is None:
            own = self._plan.steps[site.last].instruction
            return own not in self._unchanged
        return self._plan.steps[aim.join].instruction not in self._unchanged

    def run(self) -> None:
        """Run all steps."""
        for i, step in enumerate(self._plan.steps):
            if i in self._refitted:
                site, aim = self._sites[i]
                if (aim.tensor, site.linear.is_convolution) in self._targets:
                    self._refit(site, aim)
            for values in self._values:
                values.update(step.call(ChainMap(values, self.constants)))
                for name in step.spent:
                    del values[name]

    def _refit(self, site: Site, aim: Aim) -> None:
        given, bias = site.given(self.constants)
        groups, outputs, features = given.shape
        mixes = features > self._largest or site.linear.spec.op_type == "ConvTranspose"
        if mixes and outputs > self._largest:
            return
        equations = NormalEquations(groups, outputs if mixes else features, outputs, given.device)
        for batch in range(len(self._values)):
            target = self._targets[aim.tensor, site.linear.is_convolution][batch]
            wanted = self._wanted(batch, site, aim, target)
            x = self._made(batch, site, target) if mixes else self._read(batch, site, target)
            if x is None:
                return
            equations.add(x, wanted.reshape(len(wanted), groups, outputs).transpose(0, 1))
        free = bias if site.has_bias else None
        if mixes:
            eye = torch.eye(outputs, dtype=given.dtype, device=given.device).expand(groups, -1, -1)
            found = equations.solve(eye, None if free is None else torch.zeros_like(free), self._ridge)
            if found is not None:
                mixed = (found.matrix @ bias[..., None])[..., 0] + found.bias
                fit = Fit(found.matrix @ given, mixed, found.mean, found.variance, found.before, found.after)
        else:
            found = fit = equations.solve(given, free, self._ridge)
        if found is None:
            return
        site.put(self.constants, fit)
        self.fits.append(SiteFit(aim.tensor, fit.before, fit.after))

    def _wanted(self, batch: int, site: Site, aim: Aim, target: Sampled) -> Tensor:
        """Return what a site's output should be, at the positions that are looked at [positions, channels]."""
        rows = target.rows
        cut = self._cut.get(site.output)
        if cut is not None:
            rows = rows[:, torch.from_numpy(cut.kept).to(rows.device)]
        for name in aim.others:
            value = self._member(batch, name)
            if value is not None:
                rows = rows - rows_of(value, convolution=site.linear.is_convolution)[target.chosen]
            elif name in self._named:
                rows = (
                    rows
                    - self._original.fetch([(name, site.linear.is_convolution)])[name, site.linear.is_convolution][
                        batch
                    ].rows
                )
        return rows

    def _member(self, batch: int, name: str) -> Tensor | None:
        """Return another member of a join; None where it is yet to be computed by weights."""
        values = ChainMap(self._values[batch], self.constants)
        if name in values:
            return values[name]
        step = next(step for step in self._plan.steps if name in step.outputs)
        if isinstance(step.instruction, RunSkip) and step.inputs[0] in values:
            return step.call(values)[name]
        return None

    def _read(self, batch: int, site: Site, target: Sampled) -> Tensor | None:
        values = ChainMap(self._values[batch], self.constants)
        return site.linear.features(values[site.input], site.weight.get(self.constants), target.shape, target.chosen)

    def _made(self, batch: int, site: Site, target: Sampled) -> Tensor:
        """Return what a site makes by its given weights [groups, positions, outputs of a group]."""
        values = ChainMap({}, self._values[batch], self.constants)
        for step in self._plan.steps[site.first : site.last + 1]:
            values.update(step.call(values))
        rows = rows_of(values[site.output], convolution=site.linear.is_convolution)[target.chosen]
        return rows.reshape(len(rows), site.linear.groups, -1).transpose(0, 1)
