"""`check`: whether a model stays within limits against a baseline, for continuous integration."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from natonnx.architecture import cost
from natonnx.bench import CONFIDENCE, ratio_interval
from natonnx.contract.check import CheckReport, GateName, GateRow, gate_row
from natonnx.contract.schema import SCHEMA_VERSION
from natonnx.data import Data
from natonnx.errors import InputError
from natonnx.frontend import Source
from natonnx.verbs.model_comparison import Conditions, ModelComparison

if TYPE_CHECKING:
    from natonnx.verbs.judging import JudgedModels

__all__ = ["Thresholds", "check"]

_log = logging.getLogger(__name__)

_PROLONGATIONS = 3
_COSTS: tuple[tuple[GateName, str, str], ...] = (
    ("madds_ratio", "madds", "MAdds"),
    ("params_ratio", "params", "parameters"),
)
_Tell = Callable[[str], None]


@dataclass(frozen=True)
class Thresholds:
    """Limits; None is none.

    Attributes:
        max_madds_ratio: Most MAdds, as a multiple of the baseline's.
        max_params_ratio: Most parameters, likewise.
        max_latency_ratio: Most latency, likewise.
        min_accuracy: Least accuracy, 0 to 1.
        max_drop: Most points below the baseline on the same data, of accuracy, or of agreement where there are no
            labels; below 0 where it must be better.
        min_agreement: Least agreement with the baseline of every output: the share of samples given the same class
            where it is class scores, else the cosine or the explained variance; at most 1.

    Raises:
        InputError: If there is no limit at all, or one is out of its range.
    """

    max_madds_ratio: float | None = None
    max_params_ratio: float | None = None
    max_latency_ratio: float | None = None
    min_accuracy: float | None = None
    max_drop: float | None = None
    min_agreement: float | None = None

    def __post_init__(self) -> None:
        given = {name: value for name, value in asdict(self).items() if value is not None}
        if not given:
            options = ", ".join(f"--{field.name.replace('_', '-')}" for field in fields(self))
            raise InputError(f"no limit to check; give at least one of {options}")
        for name, value in given.items():
            option = f"--{name.replace('_', '-')} {value:g}"
            if name.endswith("ratio") and not (isfinite(value) and value > 0):
                raise InputError(f"{option}: must be above 0, such as 0.8")
            if name in ("min_accuracy", "min_agreement") and not 0 <= value <= 1:
                raise InputError(f"{option}: must be a share from 0 to 1, such as 0.88")
            if name == "max_drop" and not abs(value) <= 100:
                raise InputError(f"{option}: must be points from -100 to 100, such as 0.5")

    @property
    def need_data(self) -> bool:
        """Whether a limit is about what the models say of data."""
        return any(value is not None for value in (self.min_accuracy, self.max_drop, self.min_agreement))


def check(
    model: Path | str,
    baseline: Path | str,
    thresholds: Thresholds,
    data: Data | None = None,
    *,
    conditions: Conditions | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    objective: str = "auto",
    classes: Path | Mapping[str, int] | None = None,
    tell: _Tell = lambda _message: None,
) -> CheckReport:
    """Check a model against a baseline.

    A latency ratio is met if its confidence interval's upper end is within the limit, and failed if the lower end is
    above. Between, the measurement is prolonged up to three times by as much again; then the gate stays undecided,
    which counts as failed.

    Args:
        model: An ONNX file.
        baseline: An ONNX file that takes the same inputs.
        thresholds: The limits.
        data: See `natonnx.data.Data`; what the baseline's metadata names where None.
        conditions: What latency is measured under.
        preprocessing: Fields of `natonnx.data.Preprocessing` that override those of the models' metadata.
        objective: What a drop is measured by: "labels", "agreement" with the baseline, or "auto": labels where the data
            has any and the baseline is a classifier.
        classes: Which of the model's classes each class folder is; see `natonnx.optimize`.
        tell: Told in a few words what is being done.

    Returns:
        The payload of `natonnx check --json`.

    Raises:
        InputError: If a model, a condition, a limit or the data is bad.

    Example:
        >>> payload = check("model.onnx", "model.onnx", Thresholds(max_madds_ratio=1, min_agreement=0.99), "data.npz")
        >>> payload["status"]
        'passed'
    """
    models = ModelComparison([baseline, model], conditions or Conditions())
    judged: JudgedModels | None = None
    if thresholds.need_data:
        from natonnx.verbs.judging import judge_models  # torch loads only where outputs are scored

        tell("scores")
        judged = judge_models(models, data, preprocessing or {}, objective=objective, class_names=classes)
        models = judged.size(models)
        if judged.few is not None:
            _log.warning("%s", judged.few)
    gates: list[GateRow] = list(_cost_gates(models.sources, thresholds))
    if judged is not None:
        gates += _data_gates(judged, thresholds)
    if thresholds.max_latency_ratio is not None:
        gates.append(_latency_gate(models, thresholds.max_latency_ratio, tell))
    for gate in gates:
        _log.info("gate %(name)s: %(state)s, %(value)g against the limit %(limit)g, %(detail)s", gate)
    return {
        "schema": SCHEMA_VERSION,
        "status": "passed" if all(gate["state"] == "met" for gate in gates) else "failed",
        "model": str(model),
        "baseline": str(baseline),
        "gates": gates,
        "data": {"split": judged.split, "samples": judged.splits[judged.split].samples} if judged else None,
    }


def _cost_gates(sources: tuple[Source, ...], thresholds: Thresholds) -> Iterator[GateRow]:
    costs = [cost(source.network.architecture)._asdict() for source in sources]
    for name, key, noun in _COSTS:
        limit = getattr(thresholds, f"max_{key}_ratio")
        if limit is None:
            continue
        for source, counts in zip(sources, costs, strict=True):
            if counts[key] is None:
                raise InputError(f"{source.path}: its {noun} are unknown, some size is open; give --input-shape")
        before, after = (counts[key] for counts in costs)
        if not before:
            raise InputError(
                f"{sources[0].path}: its {noun} are 0, which has no multiples; leave out --max-{key}-ratio"
            )
        yield gate_row(name, limit, after / before, f"{noun} {after:,} against {before:,}")


def _data_gates(judged: "JudgedModels", thresholds: Thresholds) -> Iterator[GateRow]:
    found, measure = judged.splits[judged.split], judged.objective["measure"]
    where = f"{found.samples:,} {judged.split} samples"
    before, after = found.scores
    if before.broken == found.samples:
        raise InputError(f"the baseline gives NaN or infinity for all {where}; nothing can be compared with it")
    if thresholds.min_accuracy is not None:
        if found.labels is None:
            raise InputError(f"{judged.name}: has no labels, which --min-accuracy needs; use --min-agreement")
        detail = f"{_count(after.value, found.samples)} of {where} right"
        yield gate_row("accuracy", thresholds.min_accuracy, after.value, detail)
    if thresholds.max_drop is not None:
        if found.labels is None:
            detail = f"{measure} with the baseline {100 * after.value:.2f} % on {where}"
        else:
            detail = f"{_count(after.value, found.samples)} right against "
            detail += f"{_count(before.value, found.samples)} of {where}"
        lost = round(100 * (before.value - after.value), 9)
        yield gate_row("drop", thresholds.max_drop, lost, detail, label=f"{measure} lost")
    if thresholds.min_agreement is not None:
        for figure, value in zip(judged.figures, found.agreement[1].figures, strict=True):
            detail = f"{figure.measure} {value:.4f} on {where}"
            if figure.measure == "top-1 agreement":
                detail = f"{_count(value, found.samples)} of {where} given the same class"
            label = f"agreement of {figure.name}" if len(judged.figures) > 1 else None
            yield gate_row("agreement", thresholds.min_agreement, value, detail, label=label)


def _count(share: float, samples: int) -> str:
    """Return how many samples a share is; of positions of samples it need not be a whole number."""
    count = share * samples
    return f"{round(count):,}" if abs(count - round(count)) < 1e-6 * samples else f"{count:,.1f}"


def _latency_gate(models: ModelComparison, limit: float, tell: _Tell) -> GateRow:
    given = models.conditions
    inputs = models.inputs()
    for source, used in zip(models.sources, models.providers(inputs), strict=True):
        if used != models.provider:
            raise InputError(
                f"{source.path}: --provider {given.provider} cannot be used here, onnxruntime took {used}; install "
                "what it needs, or choose another"
            )
    timings = models.timings(inputs)
    for turn in range(1 + _PROLONGATIONS):
        tell(f"latency ({given.seconds:g} s)" + (f", still undecided, prolonged {turn} times" if turn else ""))
        timings.extend(given.seconds)
        ratio = ratio_interval(timings.blocks, 1, seed=given.seed)
        before, after = (float(np.median(timings.series(position))) for position in range(2))
        detail = (
            f"{after:.3f} ms against {before:.3f} ms, {100 * CONFIDENCE:g} % interval {ratio.low:.3f} to "
            f"{ratio.high:.3f} of {timings.rounds:,} rounds in {len(timings.blocks)} sessions"
        )
        gate = gate_row("latency_ratio", limit, ratio.value, detail, interval=(ratio.low, ratio.high))
        if gate["state"] != "undecided":
            break
    return gate
