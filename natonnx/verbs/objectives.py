"""Choose what is good for a model and its data: labels, agreement with the original, or the user's own."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from natonnx import data
from natonnx.contract.objective import Objective as ObjectiveRow
from natonnx.contract.objective import Unit as UnitRow
from natonnx.data.batches import sample_keys
from natonnx.errors import InputError
from natonnx.frontend import Network, Source
from natonnx.importing import import_named
from natonnx.search.agreement import Agreement
from natonnx.search.decide import CONFIDENCE
from natonnx.search.objective import Labels, Objective, Outputs, Unit
from natonnx.search.outputs import JudgedOutput, judged_outputs, scores_output
from natonnx.search.own import OwnObjective, name_of
from natonnx.search.runner import EVALUATION_BATCH, Runner, evaluation_batch, tensor_batches
from natonnx.search.score import Score
from natonnx.verbs.model_data import Targets
from natonnx.verbs.watched import watched

__all__ = [
    "FEWEST",
    "KINDS",
    "Choice",
    "check_chance",
    "check_samples",
    "choose",
    "count_different",
    "make_objective",
    "objective_row",
    "original_outputs",
    "refuse_unless",
    "unit_row",
]

_log = logging.getLogger(__name__)

KINDS = ("auto", "labels", "agreement")
FEWEST = 100
"""Samples of which a loss of 5 points is beyond chance: 5 lost and none won is likelier by luck in 1 of 32 cases."""
_BETTER_THAN_CHANCE = 0.1
"""Minimum fraction of the gap between chance and perfect; below it, warn."""


@dataclass(frozen=True, eq=False)
class Choice:
    """What the user asked for, before the data is seen.

    Attributes:
        kind: One of `KINDS`, or "own".
        own: The user's own object.
        scores: The output that labels are compared with, and its number of classes; None where no output is such.
    """

    kind: str
    own: Any
    scores: tuple[str, int] | None

    @property
    def classes(self) -> int | None:
        """Number of classes that labels may name; None where labels are not class indices."""
        return self.scores[1] if self.scores is not None and self.kind in ("auto", "labels") else None

    @property
    def targets(self) -> Targets:
        """What is made of labels in the data."""
        if self.kind == "own":
            return "any"
        return "labels" if self.classes is not None else "none"

    def uses_labels(self, parts: data.Parts, source: Source) -> bool:
        """Return whether data is judged by its labels; all parts have them or none (`natonnx.data.load`).

        Raises:
            InputError: If labels are asked for and there are none.
        """
        if self.kind == "labels" and not parts.train.has_targets:
            raise InputError(
                f"{parts.name}: has no labels, which --objective labels needs; add them, or leave --objective out to "
                f"follow the outputs of {source.path} itself"
            )
        return self.kind != "agreement" and parts.train.has_targets and (self.kind == "own" or self.scores is not None)


def choose(source: Source, asked: Any, like: Choice | None = None) -> Choice:
    """Read what the user asked for.

    Args:
        source: The model.
        asked: "auto", "labels", "agreement", "package.module:object", or an object with a method `score`.
        like: Of a model that this one is compared with; labels are for the output of the same name.

    Raises:
        InputError: If it is none of these, or the model has no class scores for labels.
    """
    scores = scores_output(source.network, like.scores[0] if like is not None and like.scores is not None else None)
    if isinstance(asked, str) and asked not in KINDS:
        asked = _own_object(asked, "--objective")
    if not isinstance(asked, str):
        if not callable(getattr(asked, "score", None)):
            raise InputError(
                f"objective {name_of(asked)}: has no method score(outputs, targets); see --objective in the docs"
            )
        return Choice("own", asked, scores)
    if asked == "labels" and scores is None:
        raise InputError(
            f"{source.path}: no output is one score a class, which --objective labels needs; leave it out to follow "
            "the model's own outputs"
        )
    return Choice(asked, None, scores)


def _own_object(spec: str, option: str) -> Any:
    """Import what `package.module:name` names; a class is called without arguments.

    Raises:
        InputError: If there is no such thing.
    """
    found = import_named(spec, option)
    if not isinstance(found, type):
        return found
    try:
        return found()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{option} {spec}: calling it without arguments failed ({reason})") from error


def make_objective(
    network: Network,
    choice: Choice,
    original: Callable[[tuple[JudgedOutput, ...]], Iterable[Outputs]],
    *,
    labels: bool,
    train: data.Batches,
) -> tuple[Objective, Agreement]:
    """Make the objective, and agreement with the original model, which training follows beside it.

    Args:
        network: The model.
        choice: What was asked for.
        original: Runs the original model over the validation data: its judged outputs, batch by batch.
        labels: Whether the data is judged by its labels.
        train: The training data, for what an object of the user's own is trained by.

    Raises:
        InputError: If no output can be judged.
    """
    by_class = labels and choice.scores is not None
    if choice.kind == "own" and choice.scores is not None and labels:
        by_class = _are_classes(network, *choice.scores, train)
    named = choice.scores[0] if by_class and choice.scores is not None else None
    judged = judged_outputs(network, None if choice.kind == "own" else named)
    if not judged:
        raise InputError(
            "none of the model's outputs depends on its inputs by floating-point numbers; nothing to judge"
        )
    agreement = Agreement.of(judged, lambda: original(judged))
    training: Objective = agreement
    if named is not None:
        output = next(out for out in judged_outputs(network, named) if out.name == named)
        training = Labels(output)
    if choice.kind != "own":
        return training, agreement
    return OwnObjective(choice.own, network.batch_axes.outputs, training, labels), agreement


def _are_classes(network: Network, output: str, classes: int, train: data.Batches) -> bool:
    """Return whether labels that may be anything are class indices, one for each position of an output."""
    labels = train.sample(EVALUATION_BATCH).targets if isinstance(train, data.StreamBatches) else train.all_targets()
    if labels is None or labels.dtype.kind not in "ui" or labels.min() < 0 or labels.max() >= classes:
        return False
    batch_axis = network.batch_axes.outputs.get(output)
    shape = [size for axis, size in enumerate(network.shapes.get(output, ())) if axis != batch_axis and size != 1]
    return labels.ndim == max(1, len(shape))


def original_outputs(run: Runner, split: data.Batches, device: torch.device) -> Iterable[Outputs]:
    """Run a model over data, batch by batch."""
    for batch in tensor_batches(watched(split, "the original: run on"), evaluation_batch(split), device):
        yield run(batch.inputs, batch.size)


def check_samples(
    path: Path, objective: Objective, split: data.Batches, *, force: bool, name: str = "validation"
) -> None:
    """Refuse held-out data of too few samples to tell whether a model is worse than another.

    Args:
        path: The model.
        objective: What is good.
        split: The data.
        force: Warn only.
        name: What the data is.

    Raises:
        InputError: If they are too few, unless forced.
    """
    count = split.count()
    samples = f"{count} {name} sample{'s' * (count != 1)}"
    lost = "a loss of 5 points" if objective.unit.difference == "points" else "which of two models is better"
    if count < FEWEST:
        refuse_unless(force, f"{path}: {samples} cannot tell {lost}: give at least {FEWEST}")
    elif (different := count_different(split, FEWEST)) < FEWEST:
        told = f"only {different} of {count:,} {name} samples differ, which cannot tell {lost}"
        refuse_unless(force, f"{path}: {told}: give at least {FEWEST} that do")


def count_different(split: data.Batches, most: int) -> int:
    """Return how many inputs differ from all others, counted up to so many."""
    seen: set[int] = set()
    for key in sample_keys(split):
        seen.add(key)
        if len(seen) == most:
            break
    return len(seen)


def check_chance(path: Path, objective: Objective, score: Score, split: data.Batches, *, force: bool) -> None:
    """Refuse a classifier that only guesses on the validation data, and warn of one that hardly does better.

    Args:
        path: The model.
        objective: What is good.
        score: What the model scores on the split.
        split: The data.
        force: Warn only.

    Raises:
        InputError: If it is no better than always saying the same class, or only by luck, unless forced.
    """
    if objective.name != "labels":
        return
    targets = split.all_targets()
    assert targets is not None, "labels are what such a model is judged by"
    labels = targets.reshape(len(targets), -1)
    classes, counts = np.unique(labels, return_counts=True)
    usual = (labels == classes[counts.argmax()]).mean(1)
    chance, right = float(usual.mean()), score.figures[0]
    told = f"{path}: gets {100 * right:.1f} % of the validation samples right, and always the same class"
    asked = (
        "do the labels count classes as it does, and is the preprocessing (mean, std, scale, layout) the one that it "
        "was trained with?"
    )
    gain = np.subtract(score.each, usual) if len(score.each) == len(usual) else np.zeros(0)
    if len(classes) == 1:
        what = f"{path}: all {len(labels):,} validation samples have the label {classes[0]}, which cannot tell a loss"
        refuse_unless(force, f"{what}: give samples of several classes")
    elif right <= chance:
        refuse_unless(force, f"{told} {100 * chance:.1f} %; {asked}")
    elif len(gain) > 1 and gain.mean() <= CONFIDENCE * gain.std(ddof=1) / len(gain) ** 0.5:
        luck = f"which {len(gain):,} samples cannot tell from luck"
        refuse_unless(force, f"{told} {100 * chance:.1f} %, {luck}: give more samples; {asked}")
    elif right - chance < _BETTER_THAN_CHANCE * (1 - chance):
        _log.warning("%s", f"{told} {100 * chance:.1f} %; {asked}")


def refuse_unless(force: bool, what: str) -> None:
    """Refuse, or warn where that is forced.

    Raises:
        InputError: Unless forced.
    """
    if not force:
        raise InputError(f"{what}; or --force to go on all the same")
    _log.warning("%s", what)


def objective_row(objective: Objective, reward: object = None) -> ObjectiveRow:
    """Describe what scores mean, as payloads have it.

    Args:
        objective: What is good.
        reward: The user's own function, where that judges in the objective's place.
    """
    return {
        "name": objective.name if reward is None else name_of(reward),
        "measure": objective.measure if reward is None else "reward",
        "unit": unit_row(objective.unit if reward is None else Unit()),
        "outputs": [{"name": figure.name, "measure": figure.measure} for figure in objective.figures if reward is None],
    }


def unit_row(unit: Unit) -> UnitRow:
    """Describe a unit as payloads have it."""
    return {"symbol": unit.symbol, "scale": unit.scale, "difference": unit.difference}
