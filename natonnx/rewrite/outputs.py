"""Judge the outputs of a rewritten model by two references: the source replayed, and the supernet."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import onnx

from natonnx.architecture import Architecture
from natonnx.errors import InputError
from natonnx.frontend import Network
from natonnx.frontend.example_inputs import example_inputs, open_size
from natonnx.rewrite.build import build
from natonnx.rewrite.compare import Comparison, Verdict
from natonnx.rewrite.proof import is_proven
from natonnx.rewrite.replay import Replay
from natonnx.rewrite.trial import TOLERANCE, Outputs, Reference, guarded, remembered
from natonnx.session import run, session

__all__ = ["OutputsCheck", "References", "sample_inputs"]

_FEW = (1, 2)
"""Batch sizes at which a model is run whose values are compared with nothing."""

_MARGIN = 10.0

_QUANTUM = 5e-2
"""What rounding one entry the other way makes of a quantised model's outputs at most."""

_QUANTISING = {"DynamicQuantizeLinear", "QuantizeLinear", "Round"}


class References(NamedTuple):
    """What a model is compared with beside the replay.

    Attributes:
        reference: Runs the same architecture elsewhere (the supernet), from named inputs to named outputs.
        rounded: Makes it anew, by a seed, with weights that differ in the last bit.
        beta: Runs β where the reference runs the architecture, with the same weights.
    """

    reference: Reference
    rounded: Callable[[int], Reference] | None = None
    beta: Reference | None = None


@dataclass(frozen=True)
class OutputsCheck:
    """What is judged, and on what.

    Attributes:
        network: The source.
        architecture: What the model was built from.
        model: The rewritten model.
        weights: What the model was built with.
        samples: Inputs to run, one mapping a batch size; made up where there are none.
    """

    network: Network
    architecture: Architecture
    model: onnx.ModelProto
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    samples: tuple[Outputs, ...] = ()

    @functools.cached_property
    def _tried(self) -> Sequence[Outputs]:
        return self.samples or sample_inputs(self.network)

    @functools.cached_property
    def is_proven(self) -> bool:
        """Whether the outputs are, node by node, what the edited source makes of its own weights."""
        return not self.weights and is_proven(self.network, self.architecture, self.model)

    @functools.cached_property
    def runs(self) -> Verdict:
        """Whether onnxruntime runs the model, at two batch sizes where the batch is free."""
        samples = self.samples or sample_inputs(self.network, _FEW)
        if not samples:
            return self._judge(Comparison(self.network, self.model, None))
        try:
            runtime = session(self.model, folder=self.network.folder, lay_out=False)
            for sample in samples:
                run(runtime, sample)
        except InputError:  # which may be no fault of the edits
            return self._judge(Comparison(self.network, self.model, None))
        return Verdict(True, f"batch sizes {[self.network.batch_axes.count(sample) for sample in samples]}")

    @functools.cached_property
    def replayed(self) -> Verdict:
        """The comparison with the source run in onnxruntime, the edits carried out on its values."""
        return self._against_replay(optimise=False)

    @functools.cached_property
    def optimised(self) -> Verdict:
        """The same with the model as onnxruntime optimises it."""
        return self._against_replay(optimise=True)

    def _against_replay(self, *, optimise: bool) -> Verdict:
        try:
            for sample in self._tried:
                self._replay(sample)
        except InputError as error:
            return Verdict(True, f"not run: {error}", made=False)
        replay = guarded(self._replay, "the replay")
        return self._judge(Comparison(self.network, self.model, replay, optimise=optimise))

    @functools.cached_property
    def _replay(self) -> Reference:
        return remembered(Replay(self.network, self.architecture, self.weights))

    def against_supernet(self, references: References | None = None) -> Verdict:
        """Compare with the supernet.

        Where onnxruntime's optimised graph differs from it, the graph as it is decides. Where that differs too, as
        quantised models do by a quantum, a difference is allowed for that the source itself shows beside the supernet.

        Args:
            references: The supernet's; without them the model need only run.
        """
        reference, rounded, beta = references or (None, None, None)
        comparison = Comparison(self.network, self.model, guarded(reference) if reference else None, rounded)
        verdict = self._judge(comparison)
        if verdict.passed or reference is None:
            return verdict
        plain = replace(comparison, optimise=False)
        found = self._judge(plain)
        if found.passed:
            detail = f"{found.detail}, without onnxruntime's graph optimisations; with them {verdict.detail}"
            return Verdict(True, detail)
        if beta is not None and self.model == self.network.model:
            return Verdict(True, f"{verdict.detail}; the supernet differs, and the model is the input unchanged")
        if beta is None or not (self.replayed.passed and self.replayed.made):
            return verdict
        samples = self._tried
        whole = build(self.network, self.network.architecture, self.weights)
        source = replace(plain, model=whole, reference=guarded(beta)).worst(samples)
        quantised = any(node.op_type in _QUANTISING for node in whole.graph.node)
        worst = plain.worst(samples)
        if worst <= max(_MARGIN * source if source > TOLERANCE else 0.0, _QUANTUM if quantised else 0.0):
            detail = f"max relative difference {worst:.1e}, and {source:.1e} between the input and its supernet"
            return Verdict(True, f"{detail}, which round differently")
        return verdict

    def _judge(self, comparison: Comparison) -> Verdict:
        if self.samples:
            return comparison.run(self.samples)
        made_up = self._tried
        if not made_up:
            return Verdict(True, "not run: an input is no tensor of numbers", made=False)
        first = comparison.run(made_up)
        if not first.passed and any(value.dtype.kind in "iub" for value in made_up[0].values()):
            second = comparison.run(sample_inputs(self.network, integer=1))  # zeros are odd divisors and lengths
            first = second if second.passed else first
        return first


def sample_inputs(network: Network, sizes: Sequence[int] = (1, 3), integer: int = 0) -> list[dict[str, np.ndarray]]:
    """Standard normal inputs at several batch sizes, at one where the batch is fixed.

    Integer and boolean inputs are zeros, which any index or mask may be, or another number. Sizes other than the batch
    that are open get a size at which onnxruntime runs the source.

    Returns:
        Nothing where an input is no tensor of numbers.

    Raises:
        InputError: If onnxruntime does not run the source at any size that is tried.
    """
    model, shapes, axes = network.model, network.shapes, network.batch_axes
    chosen = open_size(model, shapes, axes.inputs, network.folder)
    generator = np.random.default_rng(0)
    sizes = sizes if axes.symbols(shapes) else sizes[:1]
    batches = [example_inputs(model, shapes, axes.inputs, size, chosen, integer, generator) for size in sizes]
    return [batch for batch in batches if batch]
