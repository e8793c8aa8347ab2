"""`benchmark`: what models cost and what they are worth, measured side by side."""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from natonnx.bench import CONFIDENCE, Timings, peak_memory, profile, ratio_interval
from natonnx.contract.bench import BenchReport, DataRow, Latency, MeasuredModel, OperatorTimeRow, Ratio, SampleCounts
from natonnx.contract.rows import cost_row
from natonnx.contract.schema import SCHEMA_VERSION
from natonnx.data import Data
from natonnx.verbs.model_comparison import Conditions, ModelComparison

if TYPE_CHECKING:
    from natonnx.verbs.judging import JudgedModels

__all__ = ["Conditions", "benchmark"]

_log = logging.getLogger(__name__)


def benchmark(
    models: Iterable[Path | str] | Path | str,
    data: Data | None = None,
    *,
    conditions: Conditions | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    objective: str = "auto",
    classes: Path | Mapping[str, int] | None = None,
    profiled: bool = False,
    tell: Callable[[str], None] = lambda _message: None,
) -> BenchReport:
    """Measure models in onnxruntime.

    Args:
        models: ONNX files that take the same inputs, or one file. Ratios are to the first.
        data: See `natonnx.data.Data`; no scores where None.
        conditions: What they are measured under.
        preprocessing: Fields of `natonnx.data.Preprocessing` that override those of the models' metadata.
        objective: What models are scored by: "labels", "agreement" with the first model, or "auto".
        classes: Which of the model's classes each class folder is; see `natonnx.optimize`.
        profiled: Whether to ask where the time goes.
        tell: Told in a few words what is being done.

    Returns:
        The payload of `natonnx bench --json`.

    Raises:
        InputError: If a model, a condition or the data is bad, or models take different inputs.

    Example:
        >>> payload = benchmark(["model.onnx", "model.onnx"], conditions=Conditions(seconds=0.1))
        >>> ratio = payload["models"][1]["ratio"]
        >>> ratio["low"] < ratio["value"] < ratio["high"]
        True
    """
    conditions = conditions or Conditions()
    comparison = ModelComparison([models] if isinstance(models, Path | str) else models, conditions)
    judged: JudgedModels | None = None
    if data is not None:
        from natonnx.verbs.judging import judge_models  # torch loads only where outputs are scored

        tell("scores")
        judged = judge_models(comparison, data, preprocessing or {}, objective=objective, class_names=classes)
        comparison = judged.size(comparison)  # what the files leave open is as the data has it
    inputs = comparison.inputs()
    tell("loading")
    used = comparison.providers(inputs)
    for source, provider in zip(comparison.sources, used, strict=True):
        if provider != comparison.provider:
            _log.warning("%s: %s cannot be used here; onnxruntime took %s", source.path, comparison.provider, provider)
    tell("memory")
    memory = [
        peak_memory(source.path, inputs, threads=conditions.threads, provider=provider)
        for source, provider in zip(comparison.sources, used, strict=True)
    ]
    profiles: list[list[OperatorTimeRow] | None] = [None] * len(comparison.sources)
    if profiled:
        tell("profile")
        profiles = [
            [
                {"op_type": row.op_type, "provider": row.provider, "nodes": row.nodes, "ms": row.ms, "share": row.share}
                for row in profile(partial(comparison.open, source), inputs)
            ]
            for source in comparison.sources
        ]
    tell(f"latency ({conditions.seconds:g} s)")
    timings = comparison.timings(inputs)
    timings.extend(conditions.seconds)
    rows = zip(comparison.sources, used, memory, profiles, strict=True)
    measured: list[MeasuredModel] = []
    for position, (source, provider, bytes_used, by_operator) in enumerate(rows):
        measured.append(
            {
                "path": str(source.path),
                "provider": provider,
                **cost_row(source.network.architecture),
                "size_bytes": source.size_bytes,
                "peak_memory_bytes": bytes_used,
                "score": {
                    "validation": judged.score("validation", position) if judged else None,
                    "test": judged.score("test", position) if judged else None,
                },
                "latency_ms": _latency(timings, position),
                "ratio": _ratio(timings, position, conditions.seed),
                "profile": by_operator,
            }
        )
    return {
        "schema": SCHEMA_VERSION,
        "models": measured,
        "conditions": {
            "provider": comparison.provider,
            "threads": conditions.threads,
            "seconds": conditions.seconds,
            "warm_up": conditions.warm_up,
            "seed": conditions.seed,
            "inputs": [
                {"name": name, "dtype": str(array.dtype), "shape": list(array.shape)} for name, array in inputs.items()
            ],
            "sessions": len(timings.blocks),
            "rounds": timings.rounds,
            "confidence": CONFIDENCE,
            "onnxruntime": _runtime_version(),
        },
        "objective": judged.objective if judged else None,
        "data": _data(judged) if judged else None,
    }


def _latency(timings: Timings, position: int) -> Latency:
    series = timings.series(position)
    return {"median": float(np.median(series)), "p90": float(np.percentile(series, 90))}


def _ratio(timings: Timings, position: int, seed: int) -> Ratio | None:
    if not position:
        return None
    found = ratio_interval(timings.blocks, position, seed=seed)
    return {"value": found.value, "low": found.low, "high": found.high}


def _data(judged: "JudgedModels") -> DataRow:
    samples: SampleCounts = {"validation": judged.samples("validation"), "test": judged.samples("test")}
    return {"name": judged.name, "samples": samples}


def _runtime_version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)
