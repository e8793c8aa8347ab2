"""Score several models on the same data: by its labels where it has any, and by agreement with the first model."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from natonnx import data
from natonnx.contract.objective import Objective as ObjectiveRow
from natonnx.contract.objective import SplitName
from natonnx.data.batches import Batch
from natonnx.errors import InputError, naming
from natonnx.frontend import Source
from natonnx.search.agreement import Agreement
from natonnx.search.finite import Origin, broken_samples, find_origin
from natonnx.search.objective import Figure, Labels, Objective, Outputs
from natonnx.search.outputs import JudgedOutput, judged_outputs
from natonnx.search.runner import Runner, TensorBatch, evaluation_batch, file_runner, to_device
from natonnx.search.score import Score, summarise
from natonnx.verbs.model_comparison import ModelComparison
from natonnx.verbs.model_data import LOADING, choose_data, load_parts, shapes_of, signature_of, tell_notes
from natonnx.verbs.objectives import FEWEST, Choice, choose, count_different, objective_row
from natonnx.verbs.watched import watched

__all__ = ["JudgedModels", "SplitScores", "judge_models", "judge_on_each"]

_log = logging.getLogger(__name__)

_CPU = torch.device("cpu")


class SplitScores(NamedTuple):
    """Scores of several models on a split.

    Attributes:
        samples: How many there are.
        labels: Of each model by the data's labels; None where it has none.
        agreement: Of each model by agreement with the first.
    """

    samples: int
    labels: tuple[Score, ...] | None
    agreement: tuple[Score, ...]

    @property
    def scores(self) -> tuple[Score, ...]:
        """By labels where there are any, else by agreement."""
        return self.agreement if self.labels is None else self.labels


@dataclass(frozen=True)
class JudgedModels:
    """Several models on the same data.

    Attributes:
        name: Of the data.
        objective: What `SplitScores.scores` mean.
        figures: What agreement is made up of.
        splits: Scores by split: `validation` and, where there is one, `test`.
        input_shapes: Sizes of the first model's inputs where its file leaves them open, as the data has them.
        few: What is to be said of samples too few to tell two models apart, in the split that gates go by.
    """

    name: str
    objective: ObjectiveRow
    figures: tuple[Figure, ...]
    splits: Mapping[SplitName, SplitScores]
    input_shapes: Mapping[str, Sequence[int]]
    few: str | None

    def size(self, comparison: ModelComparison) -> ModelComparison:
        """The models, read anew with the sizes of the data where files leave sizes open beside the batch's."""
        shapes = {**self.input_shapes, **comparison.conditions.input_shapes}
        if shapes == comparison.conditions.input_shapes:
            return comparison
        return comparison.sized(shapes)

    @property
    def split(self) -> SplitName:
        """The split that reports and gates go by."""
        return "test" if "test" in self.splits else "validation"

    def score(self, split: SplitName, model: int) -> float | None:
        """Return the score of a model by its position; None where there is no such split."""
        return self.splits[split].scores[model].value if split in self.splits else None

    def samples(self, split: SplitName) -> int | None:
        """Return how many samples a split has; None where there is no such split."""
        return self.splits[split].samples if split in self.splits else None


@dataclass(frozen=True, eq=False)
class _Model:
    """A model that is judged: its data, how its outputs are called, and what runs it."""

    source: Source
    parts: data.Parts
    judged: tuple[JudgedOutput, ...]
    labelled: Labels | None
    run: Runner


def judge_models(
    comparison: ModelComparison,
    given: data.Data | None,
    overrides: Mapping[str, Any],
    *,
    objective: str = "auto",
    class_names: Path | Mapping[str, int] | None = None,
    loading: data.LoadOptions = LOADING,
) -> JudgedModels:
    """Score all models on the same data, each preprocessed as its file or, where that is silent, the first's.

    Args:
        comparison: The models.
        given: See `natonnx.data.Data`; what the first model's metadata names where None.
        overrides: Fields of `natonnx.data.Preprocessing` that hold for all models; None is no override.
        objective: "auto", "labels" or "agreement"; see `natonnx.optimize`.
        class_names: Which output each class folder is.
        loading: How data is read.

    Raises:
        InputError: If the data is bad or does not fit a model, or the models' outputs do not belong together.
    """
    (found,) = judge_on_each(
        [comparison], given, overrides, objective=objective, class_names=class_names, loading=loading
    )
    return found


def judge_on_each(
    comparisons: Sequence[ModelComparison],
    given: data.Data | None,
    overrides: Mapping[str, Any],
    *,
    objective: str = "auto",
    class_names: Path | Mapping[str, int] | None = None,
    loading: data.LoadOptions = LOADING,
) -> list[JudgedModels]:
    """Score the same models on several providers, on data that is loaded once; see `judge_models`."""
    chosen, _ = choose_data(comparisons[0].sources[0], given, overrides)
    loaded: dict[Any, data.Parts] = {}
    return [_judge(each, chosen, overrides, objective, class_names, loading, loaded) for each in comparisons]


def _judge(
    comparison: ModelComparison,
    chosen: data.Data,
    overrides: Mapping[str, Any],
    objective: str,
    class_names: Path | Mapping[str, int] | None,
    loading: data.LoadOptions,
    loaded: dict[Any, data.Parts],
) -> JudgedModels:
    first, is_known = comparison.sources[0], bool(loaded)
    choice = choose(first, objective)
    models: list[_Model] = []
    for source in comparison.sources:
        own = choose(source, objective, choice)
        if choice.classes is not None and own.classes is None:
            own = replace(own, kind="agreement")
        _, preprocessing = choose_data(source, chosen, overrides, first)
        classes = choice.classes if own.classes is None else own.classes
        key = (replace(signature_of(source, classes), batch=None), preprocessing)
        if key not in loaded:
            loaded[key] = load_parts(
                source,
                chosen,
                preprocessing,
                classes=classes,
                targets=choice.targets,
                seed=comparison.conditions.seed,
                class_names=class_names,
                loading=loading,
            )
        models.append(_open(comparison, source, loaded[key], choice, own))
    labels = models[0].labelled is not None
    _check_outputs(models)
    models = [replace(model, judged=_in_order(model.judged, models[0].judged)) for model in models]
    if not is_known:
        tell_notes(models[0].parts)
    splits: dict[SplitName, SplitScores] = {"validation": _score(models, "validation", labels=labels)}
    if models[0].parts.test is not None:
        splits["test"] = _score(models, "test", labels=labels)
    figures = Agreement(models[0].judged, {}).figures
    judged: Objective = models[0].labelled or Agreement(models[0].judged, {})
    shapes = shapes_of(models[0].source, models[0].parts)
    return JudgedModels(models[0].parts.name, objective_row(judged), figures, splits, shapes, _few(models[0].parts))


def _open(comparison: ModelComparison, source: Source, parts: data.Parts, choice: Choice, own: Choice) -> _Model:
    labels = choice.uses_labels(parts, source)
    named = own.scores[0] if labels and own.scores is not None else None
    if labels and named is None:
        raise InputError(f"{source.path}: no output is one score a class, which the labels of {parts.name} are")
    judged = judged_outputs(source.network, named)
    if not judged:
        raise InputError(f"{source.path}: none of its outputs depends on its inputs by floating-point numbers")
    labelled = next((Labels(out) for out in judged if out.name == named), None)
    captures = {out.name: out.batch_axis for out in judged}
    runtime = comparison.open(source, further=captures)
    return _Model(source, parts, judged, labelled, file_runner(runtime, source.network.batch_axes, captures))


def _few(parts: data.Parts) -> str | None:
    name, split = ("validation", parts.validation) if parts.test is None else ("test", parts.test)
    count = split.count()
    different = count_different(split, FEWEST) if count >= FEWEST else count
    if different == FEWEST:
        return None
    told = f"{different} {name} sample{'s' * (different != 1)}{' that differ' * (count >= FEWEST)}"
    return f"{parts.name}: {told} cannot tell one model from another: give at least {FEWEST}"


def _in_order(own: tuple[JudgedOutput, ...], first: tuple[JudgedOutput, ...]) -> tuple[JudgedOutput, ...]:
    """A model's outputs in the first model's order where their names are the same, else in its own."""
    named = {out.name: out for out in own}
    names = [out.name for out in first]
    return tuple(named[name] for name in names) if named.keys() == set(names) else own


def _check_outputs(models: Sequence[_Model]) -> None:
    """Refuse models whose outputs cannot be told to belong together."""
    first = models[0]
    for model in models[1:]:
        if len(model.judged) != len(first.judged):
            names = [", ".join(out.name for out in each.judged) for each in (first, model)]
            raise InputError(
                f"{model.source.path}: is judged by {names[1]}, {first.source.path} by {names[0]}; models are compared "
                "by as many outputs"
            )


def _score(models: Sequence[_Model], split: SplitName, *, labels: bool) -> SplitScores:
    """Run all models on a split, batch by batch."""
    first = models[0]
    agreement = Agreement.of(first.judged, lambda: (outputs[0] for _, outputs in _runs([first], split)))
    by_labels: list[list[torch.Tensor]] = [[] for _ in models]
    by_agreement: list[list[torch.Tensor]] = [[] for _ in models]
    broken = [_Broken() for _ in models]
    count = 0
    for batches, outputs in _runs(models, split):
        count += batches[0].size
        for position, (model, found) in enumerate(zip(models, outputs, strict=True)):
            if model.labelled is not None and (targets := batches[0].targets) is not None:
                with naming(model.source.path):
                    by_labels[position].append(model.labelled.score(found, targets))
            by_agreement[position].append(_agreement(agreement, model, found, outputs[0]))
            broken[position].add(model, batches[position], found)
    if not count:
        raise InputError(f"{first.parts.name}: has no {split} samples")
    for model, part in zip(models, broken, strict=True):
        part.tell(model, f"{count:,} {split} samples")
    scored = _summaries(by_labels, broken) if labels else None
    return SplitScores(count, scored, _summaries(by_agreement, broken))


@dataclass
class _Broken:
    """How many samples a model gives NaN or infinity for, and where that begins for the first of them."""

    count: int = 0
    origin: Origin | None = None

    def add(self, model: _Model, batch: TensorBatch, outputs: Outputs) -> None:
        found = broken_samples(outputs, outputs)
        if not self.count and found.any():
            self.origin = find_origin(model.source.network, batch.inputs, int(found.nonzero()[0]))
        self.count += int(found.sum())

    def tell(self, model: _Model, of: str) -> None:
        if self.count:
            where = "" if self.origin is None else f"; {self.origin}"
            what = f"NaN or infinity for {self.count:,} of {of}, which count as wrong"
            _log.warning("%s: gives %s%s", model.source.path, what, where)


def _summaries(scores: Sequence[Sequence[torch.Tensor]], broken: Sequence[_Broken]) -> tuple[Score, ...]:
    return tuple(
        summarise(torch.cat([*parts]).double(), np.nan)._replace(broken=own.count)
        for parts, own in zip(scores, broken, strict=True)
    )


def _agreement(agreement: Agreement, model: _Model, found: Outputs, first: Outputs) -> torch.Tensor:
    """Score agreement of a model with the first; outputs belong together by name, or else by position."""
    pairs = zip(agreement.outputs, model.judged, strict=True)
    named = {out.name: found[own.name] for out, own in pairs}
    for name, value in named.items():
        if value.shape != first[name].shape:
            raise InputError(
                f"{model.source.path}: output {name!r} is {list(value.shape[1:])} a sample, the first model's "
                f"{list(first[name].shape[1:])}; models are compared by outputs of one shape"
            )
    return agreement.score(named, first)


def _runs(models: Sequence[_Model], split: SplitName) -> Iterator[tuple[list[TensorBatch], list[Outputs]]]:
    """Yield the same samples for each model, and its outputs, batch by batch.

    Raises:
        InputError: If the models get different samples.
    """
    parts = list({id(model.parts): model.parts for model in models}.values())  # what models share is read once
    for read in zip_longest(*(_batches(part, split) for part in parts)):
        if any(batch is None or not _same(batch, read[0]) for batch in read):
            raise InputError(
                f"{models[0].parts.name}: gives other samples each time; models are compared on the same data"
            )
        by_part = {id(part): to_device(batch, _CPU) for part, batch in zip(parts, read, strict=True)}
        tensors = [by_part[id(model.parts)] for model in models]
        outputs: list[Outputs] = []
        for model, batch in zip(models, tensors, strict=True):
            with naming(model.source.path), torch.inference_mode():
                outputs.append(model.run(batch.inputs, batch.size))
        yield tensors, outputs


def _batches(parts: data.Parts, split: SplitName) -> Iterable[Batch]:
    part = parts.test if split == "test" else parts.validation
    return watched(part, f"{parts.name}: {split}, run on").batches(evaluation_batch(part)) if part is not None else ()


def _same(one: Batch, other: Batch | None) -> bool:
    """Return whether two batches are the same samples, as far as labels tell."""
    if other is None or one.size != other.size or (one.targets is None) != (other.targets is None):
        return False
    return one.targets is None or other.targets is None or np.array_equal(one.targets, other.targets)
