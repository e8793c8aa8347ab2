"""`benchmark`: what models cost and what they are worth, measured side by side."""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from natonnx.architecture import cost
from natonnx.bench import CONFIDENCE, Timings, peak_memory, profile, ratio_interval
from natonnx.contract.bench import BenchReport, DataRow, Latency, MeasuredModel, OperatorTimeRow, Ratio
from natonnx.contract.schema import SCHEMA_VERSION
from natonnx.data import Data, Dataset, Held, data_name, hold
from natonnx.verbs.model_comparison import Conditions, ModelComparison, Predictions, labels_objective

__all__ = ["Conditions", "benchmark"]

_log = logging.getLogger(__name__)


def benchmark(
    models: Iterable[Path | str] | Path | str,
    data: Data | None = None,
    *,
    conditions: Conditions | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    profiled: bool = False,
    tell: Callable[[str], None] = lambda _message: None,
) -> BenchReport:
    """Measure models in onnxruntime.

    Args:
        models: ONNX files that take the same inputs, or one file. Ratios are to the first.
        data: See `natonnx.data.Data`; no accuracy where None.
        conditions: What they are measured under.
        preprocessing: Fields of `natonnx.data.Preprocessing` that override those of the models' metadata.
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
    inputs = comparison.inputs()
    tell("loading")
    used = comparison.providers(inputs)
    for source, provider in zip(comparison.sources, used, strict=True):
        if provider != comparison.provider:
            _log.warning("%s: %s cannot be used here; onnxruntime took %s", source.path, comparison.provider, provider)
    predictions: list[Predictions | None] = [None] * len(comparison.sources)
    held = None if data is None else hold(data)
    if held is not None:
        tell("accuracy")
        predictions = list(comparison.predictions(held, preprocessing or {}))
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
    rows = zip(comparison.sources, used, memory, predictions, profiles, strict=True)
    measured: list[MeasuredModel] = []
    for position, (source, provider, bytes_used, answers, by_operator) in enumerate(rows):
        params, madds = cost(source.network.architecture)
        measured.append(
            {
                "path": str(source.path),
                "provider": provider,
                "params": params,
                "madds": madds,
                "size_bytes": source.size_bytes,
                "peak_memory_bytes": bytes_used,
                "score": {
                    "validation": answers.accuracy("validation") if answers else None,
                    "test": answers.accuracy("test") if answers else None,
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
        "objective": None if held is None else labels_objective(comparison.sources[0]),
        "data": _data(held, predictions[0]),
    }


def _latency(timings: Timings, position: int) -> Latency:
    series = timings.series(position)
    return {"median": float(np.median(series)), "p90": float(np.percentile(series, 90))}


def _ratio(timings: Timings, position: int, seed: int) -> Ratio | None:
    if not position:
        return None
    found = ratio_interval(timings.blocks, position, seed=seed)
    return {"value": found.value, "low": found.low, "high": found.high}


def _data(held: str | Dataset | Held | None, answers: Predictions | None) -> DataRow | None:
    if held is None or answers is None:
        return None
    return {
        "name": data_name(held),
        "samples": {"validation": answers.samples("validation"), "test": answers.samples("test")},
    }


def _runtime_version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)
