"""Compare a rewritten model with a reference, as far as both and onnxruntime can run it."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import onnx

from natonnx.errors import InputError
from natonnx.frontend import Network
from natonnx.frontend.constants import ancestors
from natonnx.frontend.view import reads
from natonnx.rewrite.trial import Outputs, Reference, Trial, sensitivity

__all__ = ["Comparison", "Verdict"]

_SATURATING = {"Sigmoid", "Softmax"}

_CHOOSING = {"ArgMax", "ArgMin", "Ceil", "Floor", "NonMaxSuppression", "Round", "Sign", "TopK"}
"""Operators whose outputs jump where their inputs change in the last bit."""


class Verdict(NamedTuple):
    """Whether a comparison passed, what it saw, and whether it could be made at all."""

    passed: bool
    detail: str
    made: bool = True


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    A model may hold operators that onnxruntime does not know, a batch size that only seems to be open, or randomness.
    So where something is wrong, the source is asked: what it cannot do either is not asked of the result.

    Attributes:
        network: The source.
        model: The rewritten model.
        reference: The supernet, or a replay; without it the model need only run.
        rounded: Makes the reference anew, by a seed, with weights that differ in the last bit.
        optimise: Let onnxruntime fuse and reorder nodes.
    """

    network: Network
    model: onnx.ModelProto
    reference: Reference | None
    rounded: Callable[[int], Reference] | None = None
    optimise: bool = True

    def run(self, samples: Sequence[Outputs]) -> Verdict:
        """Compare on samples."""
        trial = self._trial(self.model, samples)
        if not trial.complete and not trial.obstacle:
            trial = self._before_saturation(samples) or trial
        if not trial.complete and not trial.obstacle:
            trial = self._before_choices(samples) or trial
        if not trial.complete and not trial.obstacle and self.reference and self.rounded:
            trial.allow_for(sensitivity(self.reference, self.rounded, samples, trial.names, self._coarse))
        if trial.complete:
            return Verdict(True, trial.detail)
        source = Trial(self.network.model, self.network.folder, samples, None, optimise=self.optimise)
        if source.runtime is None:
            return self._frontier(samples, source.obstacle)
        able = [sample for sample, result in zip(samples, source.results, strict=True) if result is not None]
        if not able:
            return Verdict(True, f"not run, since the input model does not run either: {source.obstacle}")
        random = frozenset(source.random())
        trial = self._trial(self.model, able, random=random)
        return Verdict(trial.complete, trial.detail)

    def worst(self, samples: Sequence[Outputs]) -> float:
        """The largest relative difference on samples; inf where a side does not run them."""
        trial = self._trial(self.model, samples)
        return float("inf") if trial.obstacle else trial.worst

    def _trial(
        self,
        model: onnx.ModelProto,
        samples: Sequence[Outputs],
        names: Sequence[str] | None = None,
        random: frozenset[str] = frozenset(),
    ) -> Trial:
        folder, axes = self.network.folder, self.network.batch_axes
        coarse = self._coarse
        return Trial(model, folder, samples, self.reference, random, names, axes, coarse=coarse, optimise=self.optimise)

    @functools.cached_property
    def _coarse(self) -> Mapping[str, str]:
        """Tensors that are computed from some in float16; a constant that is only kept in it does not count."""
        nodes, dtypes = self.network.extended.graph.node, self.network.dtypes
        constants = {name for i in self.network.constant_nodes for name in nodes[i].output}
        constants.update(tensor.name for tensor in self.network.extended.graph.initializer)
        found: set[str] = set()
        for node in self.model.graph.node:
            read = set(reads(node)) - constants
            if read & found or any(dtypes.get(name) == onnx.TensorProto.FLOAT16 for name in read):
                found.update(node.output)
        return dict.fromkeys(found, "float16")

    def _before_saturation(self, samples: Sequence[Outputs]) -> Trial | None:
        """Compare what a final Sigmoid or Softmax reads in place of what it makes.

        Where all of its output is next to nothing, a difference that is large relative to that says little.
        """
        makers = {name: node for node in self.model.graph.node for name in node.output}
        ends = {name: makers[name] for name in self.network.outputs if name in makers}
        names = [node.input[0] if node.op_type in _SATURATING else name for name, node in ends.items()]
        if self.reference is None or names == list(ends):
            return None
        trial = self._trial(ancestors(self.model, names), samples, names)
        trial.detail += ", before the last " + " and ".join(sorted({n.op_type for n in ends.values()} & _SATURATING))
        return trial

    def _before_choices(self, samples: Sequence[Outputs]) -> Trial | None:
        """Compare what the first choosing operators read in place of the outputs that depend on what they choose.

        Two boxes of equal scores may be chosen in either order. What follows a choice must be as in the source.
        """
        own = {node.SerializeToString() for node in self.network.extended.graph.node}
        made = {name for node in self.model.graph.node for name in node.output}
        chosen: set[str] = set()
        names: list[str] = []
        kinds: set[str] = set()
        for node in self.model.graph.node:
            if not chosen.isdisjoint(reads(node)):
                if node.SerializeToString() not in own:
                    return None
            elif node.op_type in _CHOOSING:
                names += (name for name in node.input if name in made)
                kinds.add(node.op_type)
            else:
                continue
            chosen.update(filter(None, node.output))
        if self.reference is None or chosen.isdisjoint(self.network.outputs):
            return None
        names += (name for name in self.network.outputs if name not in chosen)
        names = list(dict.fromkeys(names))
        trial = self._trial(ancestors(self.model, names), samples, names)
        trial.detail += f", before the first {' and '.join(sorted(kinds))}"
        return trial

    def _frontier(self, samples: Sequence[Outputs], obstacle: str) -> Verdict:
        """Compare up to the operators that onnxruntime does not know."""
        nothing = f"not run, since the input model does not run either: {obstacle}"
        try:
            names = tuple(self.reference(samples[0])) if self.reference is not None else ()
        except InputError:
            names = ()
        if not names:
            return Verdict(True, nothing)
        trial = self._trial(ancestors(self.model, names), samples)
        if trial.runtime is not None:
            return Verdict(trial.complete, f"{trial.detail}, up to what onnxruntime cannot run ({obstacle})")
        same = Trial(ancestors(self.network.model, names), self.network.folder, samples, None)
        return Verdict(same.runtime is None, nothing)
