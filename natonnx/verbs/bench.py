"""`benchmark`: what models cost and what they are worth, measured side by side."""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from natonnx.architecture import cost
from natonnx.bench import CONFIDENCE, Timings, peak_memory, profile, ratio_interval
from natonnx.data import Data, Dataset, Held, data_name, hold
from natonnx.frontend import Source
from natonnx.verbs.model_comparison import Conditions, ModelComparison, Predictions

__all__ = ["Conditions", "benchmark"]

_log = logging.getLogger(__name__)

_MANY = 90  # the percentile that is reported beside the median


def benchmark(
    models: Iterable[Path | str] | Path | str,
    data: Data | None = None,
    *,
    conditions: Conditions | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    profiled: bool = False,
    tell: Callable[[str], None] = lambda _message: None,
) -> dict[str, Any]:
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
    profiles: list[list[dict[str, Any]] | None] = [None] * len(comparison.sources)
    if profiled:
        tell("profile")
        profiles = [
            [row._asdict() for row in profile(partial(comparison.open, source), inputs)]
            for source in comparison.sources
        ]
    tell(f"latency ({conditions.seconds:g} s)")
    timings = comparison.timings(inputs)
    timings.extend(conditions.seconds)
    rows = zip(comparison.sources, used, memory, predictions, profiles, strict=True)
    return {
        "models": [
            {
                **_row(source, provider, bytes_used, answers),
                **_times(timings, position, conditions.seed),
                "profile": by_operator,
            }
            for position, (source, provider, bytes_used, answers, by_operator) in enumerate(rows)
        ],
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
        "data": _data(held, predictions[0]),
    }


def _row(source: Source, provider: str, memory: int | None, answers: Predictions | None) -> dict[str, Any]:
    params, madds = cost(source.network.architecture)
    return {
        "path": str(source.path),
        "provider": provider,
        "params": params,
        "madds": madds,
        "size_bytes": source.size_bytes,
        "peak_memory_bytes": memory,
        "accuracy": {split: answers.accuracy(split) if answers else None for split in ("validation", "test")},
    }


def _times(timings: Timings, position: int, seed: int) -> dict[str, Any]:
    series = timings.series(position)
    ratio = ratio_interval(timings.blocks, position, seed=seed) if position else None
    return {
        "latency_ms": {"median": float(np.median(series)), f"p{_MANY}": float(np.percentile(series, _MANY))},
        "ratio": ratio._asdict() if ratio else None,
    }


def _data(held: str | Dataset | Held | None, answers: Predictions | None) -> dict[str, Any] | None:
    if held is None or answers is None:
        return None
    sizes = {split: len(answers.labels[split]) if split in answers.labels else None for split in ("validation", "test")}
    return {"name": data_name(held), "samples": sizes}


def _runtime_version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)
