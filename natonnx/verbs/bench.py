"""`benchmark`: what models cost and what they are worth, measured side by side."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from natonnx.bench import CONFIDENCE, Clock, Timings, level_interval, profile, ratio_interval
from natonnx.contract.bench import (
    BenchReport,
    DataRow,
    Latency,
    LeftOutRow,
    MeasuredModel,
    OperatorTimeRow,
    Ratio,
    SampleCounts,
)
from natonnx.contract.rows import cost_row
from natonnx.contract.schema import SCHEMA_VERSION
from natonnx.data import Data, LoadOptions
from natonnx.frontend import Source
from natonnx.verbs.model_comparison import (
    Conditions,
    ModelComparison,
    describe_inputs,
    describe_machine,
    runtime_version,
)

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
    workers: int | None = None,
    cache: float | str | None = None,
    memory: float | str | None = None,
    profiled: bool = False,
    tell: Callable[[str], None] = lambda _message: None,
) -> BenchReport:
    """Measure models in onnxruntime.

    Args:
        models: ONNX files that take the same inputs, or one file. Ratios are to the first, on the same provider.
        data: See `natonnx.data.Data`; no scores where None.
        conditions: What they are measured under.
        preprocessing: Fields of `natonnx.data.Preprocessing` that override those of the models' metadata.
        objective: What models are scored by: "labels", "agreement" with the first model, or "auto".
        classes: Which of the model's classes each class folder is; see `natonnx.optimize`.
        workers: Threads that decode pictures while the model runs, or processes that read a torch data set; 0 for none.
        cache: Most memory for samples: a share of what is free, such as 0.25, or bytes, such as "4GiB".
        memory: Most that the whole process takes, such as "1GiB": what samples, look-ups and refits hold is a part
            of it. No limit where None.
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
    providers, left_out = _usable(comparison)
    judged: list[JudgedModels] = []
    if data is not None:
        from natonnx.verbs.judging import judge_on_each  # torch loads only where outputs are scored

        tell("scores")
        runs = [comparison.on(provider) for provider in providers]
        judged = judge_on_each(
            runs,
            data,
            preprocessing or {},
            objective=objective,
            class_names=classes,
            loading=LoadOptions(workers, cache, memory),
        )
        comparison = judged[0].size(comparison)  # what the files leave open is as the data has it
    inputs = comparison.inputs()
    measured = [
        row
        for provider, found in zip_longest(providers, judged)
        for row in _measure(comparison.on(provider), inputs, found, profiled, tell)
    ]
    return {
        "schema": SCHEMA_VERSION,
        "models": measured,
        "left_out": left_out,
        "conditions": {
            "providers": list(comparison.providers),
            "threads": conditions.threads,
            "seconds": conditions.seconds,
            "warm_up": conditions.warm_up,
            "seed": conditions.seed,
            "inputs": describe_inputs(inputs),
            "confidence": CONFIDENCE,
            "onnxruntime": runtime_version(),
            "machine": describe_machine(),
        },
        "objective": judged[0].objective if judged else None,
        "data": _data(judged[0]) if judged else None,
    }


def _usable(models: ModelComparison) -> tuple[list[str], list[LeftOutRow]]:
    """The providers to measure on, and those that are left out; what onnxruntime took, where none can be used."""
    fallbacks = {provider: models.on(provider).fallback() for provider in models.providers}
    usable = [provider for provider, fallback in fallbacks.items() if fallback is None]
    left_out: list[LeftOutRow] = []
    for provider, fallback in fallbacks.items():
        if fallback is not None:
            then = "it is left out" if usable or left_out else f"onnxruntime took {fallback.took}"
            _log.warning("%s; %s", fallback, then)
            left_out.append({"provider": provider, "reason": fallback.reason or f"onnxruntime took {fallback.took}"})
    return usable or [models.provider], left_out


def _measure(
    models: ModelComparison,
    inputs: Mapping[str, npt.NDArray[np.generic]],
    judged: "JudgedModels | None",
    profiled: bool,
    tell: Callable[[str], None],
) -> Iterator[MeasuredModel]:
    """Measure all models on one provider."""
    where = f" on {models.provider}" if len(models.providers) > 1 else ""
    seconds, seed = models.conditions.seconds, models.conditions.seed
    tell(f"loading{where}")
    models.try_out(inputs)
    tell(f"memory{where}")
    memory = [models.peak_memory(source, inputs) for source in models.sources]
    profiles: list[list[OperatorTimeRow] | None] = [None] * len(models.sources)
    if profiled:
        tell(f"profile{where}")
        profiles = [_profile(models, source, inputs) for source in models.sources]
    tell(f"latency{where} ({seconds:g} s)")
    timings = models.timings(inputs)
    timings.extend(seconds)
    has_cpu_time = "cpu" in models.clocks
    for position, source in enumerate(models.sources):
        yield {
            "path": str(source.path),
            "sha256": source.sha256,
            "provider": models.used(source),
            **cost_row(source.network.architecture),
            "size_bytes": source.size_bytes,
            "peak_memory_bytes": memory[position],
            "score": {
                "validation": judged.score("validation", position) if judged else None,
                "test": judged.score("test", position) if judged else None,
            },
            "latency_ms": _latency(timings, position, "wall", seed),
            "ratio": _ratio(timings, position, "wall", seed),
            "cpu_ms": _latency(timings, position, "cpu", seed) if has_cpu_time else None,
            "cpu_ratio": _ratio(timings, position, "cpu", seed) if has_cpu_time else None,
            "sessions": len(timings.blocks),
            "rounds": timings.rounds,
            "profile": profiles[position],
        }


def _profile(
    models: ModelComparison, source: Source, inputs: Mapping[str, npt.NDArray[np.generic]]
) -> list[OperatorTimeRow]:
    return [
        {"op_type": row.op_type, "provider": row.provider, "nodes": row.nodes, "ms": row.ms, "share": row.share}
        for row in profile(partial(models.open, source), inputs)
    ]


def _latency(timings: Timings, position: int, clock: Clock, seed: int) -> Latency:
    series = timings.series(position, clock)
    median = float(np.median(series))
    found = level_interval(timings.by(clock), position, seed=seed)
    return {
        "median": median,
        "p90": float(np.percentile(series, 90)),
        "low": min(median, found.low),
        "high": max(median, found.high),
    }


def _ratio(timings: Timings, position: int, clock: Clock, seed: int) -> Ratio | None:
    if not position:
        return None
    found = ratio_interval(timings.by(clock), position, seed=seed)
    return {"value": found.value, "low": found.low, "high": found.high}


def _data(judged: "JudgedModels") -> DataRow:
    samples: SampleCounts = {"validation": judged.samples("validation"), "test": judged.samples("test")}
    return {"name": judged.name, "samples": samples}
