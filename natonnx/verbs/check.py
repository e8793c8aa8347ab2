"""`check`: whether a model stays within limits against a baseline, for continuous integration."""

import logging
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from natonnx.contract.baseline import parse_report
from natonnx.contract.check import CheckReport, DataRow, status_of
from natonnx.contract.schema import SCHEMA_VERSION
from natonnx.data import Data, LoadOptions
from natonnx.errors import InputError
from natonnx.files import read_bytes, text_of
from natonnx.verbs.earlier import Earlier
from natonnx.verbs.gates import Tell, cost_gates, data_gates, memory_gate
from natonnx.verbs.latency_gate import latency_gate
from natonnx.verbs.model_comparison import Conditions, ModelComparison
from natonnx.verbs.thresholds import Thresholds

if TYPE_CHECKING:
    from natonnx.verbs.judging import JudgedModels

__all__ = ["Thresholds", "check"]

_log = logging.getLogger(__name__)


def check(
    model: Path | str,
    baseline: Path | str | None,
    thresholds: Thresholds,
    data: Data | None = None,
    *,
    conditions: Conditions | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    objective: str = "auto",
    classes: Path | Mapping[str, int] | None = None,
    workers: int | None = None,
    cache: float | str | None = None,
    memory: float | str | None = None,
    baseline_report: Path | str | None = None,
    tell: Tell = lambda _message: None,
) -> CheckReport:
    """Check a model against a baseline, on each provider of the conditions.

    A latency ratio is met if its confidence interval's upper end is within the limit, and failed if the lower end is
    above. Between, the measurement is prolonged up to three times by as much again; then the gate stays undecided.

    Args:
        model: An ONNX file.
        baseline: An ONNX file that takes the same inputs; None where there is an earlier report. Beside one it is what
            the report's latency is compared through, and what outputs are compared with.
        thresholds: The limits.
        data: See `natonnx.data.Data`; what the baseline's metadata names where None.
        conditions: What latency is measured under.
        preprocessing: Fields of `natonnx.data.Preprocessing` that override those of the models' metadata.
        objective: What a drop is measured by: "labels", "agreement" with the baseline, or "auto": labels where the data
            has any and the baseline is a classifier.
        classes: Which of the model's classes each class folder is; see `natonnx.optimize`.
        workers: Threads that decode pictures while the model runs, or processes that read a torch data set; 0 for none.
        cache: Most memory for samples: a share of what is free, such as 0.25, or bytes, such as "4GiB".
        memory: Most that the whole process takes, such as "1GiB": what samples, look-ups and refits hold is a part
            of it. No limit where None.
        baseline_report: What `natonnx bench --json` or `natonnx optimize --json` printed earlier: its figures of the
            only model, or of the one whose file is called like this one, are those that limits are multiples of.
        tell: Told in a few words what is being done.

    Returns:
        The payload of `natonnx check --json`.

    Raises:
        InputError: If a model, a condition, a limit, the report or the data is bad, or a provider cannot be used.

    Example:
        >>> payload = check("model.onnx", "model.onnx", Thresholds(max_madds_ratio=1, min_agreement=0.99), "data.npz")
        >>> payload["status"]
        'passed'
    """
    conditions = conditions or Conditions()
    if baseline is None and baseline_report is None:
        raise InputError("nothing to compare with; give --baseline MODEL or --baseline-report FILE")
    earlier = None if baseline_report is None else _read_report(Path(baseline_report), str(model))
    if baseline is None and thresholds.min_agreement is not None:
        raise InputError("--min-agreement compares outputs, which a report does not have; give --baseline too")
    models = ModelComparison([path for path in (baseline, model) if path is not None], conditions)
    if thresholds.need_runs:
        for provider in models.providers:
            if (fallback := models.on(provider).fallback()) is not None:
                raise InputError(
                    f"{fallback}, onnxruntime took {fallback.took}; install what it needs, or choose another --provider"
                )
    judged: list[JudgedModels] = []
    if thresholds.need_data:
        from natonnx.verbs.judging import judge_on_each  # torch loads only where outputs are scored

        tell("scores")
        runs = [models.on(provider) for provider in models.providers]
        judged = judge_on_each(
            runs,
            data,
            preprocessing or {},
            objective=objective,
            class_names=classes,
            loading=LoadOptions(workers, cache, memory),
        )
        models = judged[0].size(models)
        if judged[0].few is not None:
            _log.warning("%s", judged[0].few)
    gates = list(cost_gates(models, thresholds, earlier))
    for provider, found in zip_longest(models.providers, judged):
        run = models.on(provider)
        if found is not None:
            gates += data_gates(found, thresholds, run, earlier)
        if thresholds.max_memory_ratio is not None:
            gates.append(memory_gate(run, thresholds.max_memory_ratio, earlier, tell))
        if thresholds.max_latency_ratio is not None:
            gates.append(latency_gate(run, thresholds.max_latency_ratio, earlier, tell))
    for gate in gates:
        _log.info("gate %(name)s: %(state)s, %(value)s against the limit %(limit)g, %(detail)s", gate)
    return {
        "schema": SCHEMA_VERSION,
        "status": status_of(gates),
        "model": str(model),
        "baseline": None if baseline is None else str(baseline),
        "baseline_report": None if baseline_report is None else str(baseline_report),
        "gates": gates,
        "data": _data(judged[0]) if judged else None,
    }


def _read_report(path: Path, model: str) -> Earlier:
    try:
        text = text_of(read_bytes(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is no text; give what natonnx bench --json printed") from None
    report = parse_report(text, str(path))
    return Earlier(report, report.figures_of(model))


def _data(judged: "JudgedModels") -> DataRow:
    return {"split": judged.split, "samples": judged.splits[judged.split].samples}
