"""Figures of models in an earlier report, of `natonnx bench --json` or `natonnx optimize --json`."""

import json
from collections.abc import Iterator, Mapping
from math import inf
from pathlib import PurePath
from typing import Any, NamedTuple, TypedDict

from natonnx.contract.bench import BenchReport, ConditionsRow, MeasuredModel
from natonnx.contract.conforms import departures
from natonnx.contract.objective import SPLITS, Objective, Scores
from natonnx.contract.schema import SCHEMA_VERSION
from natonnx.errors import InputError

__all__ = ["BaselineReport", "Figures", "parse_report"]

_REMEDY = "give what natonnx bench --json or natonnx optimize --json printed"
_LONGEST = 160
"""Of what is said to be wrong within."""
_AMOUNTS = ("params", "madds", "size_bytes", "peak_memory_bytes")
_TIMES = ("latency_ms", "ratio", "cpu_ms", "cpu_ratio")


class Figures(NamedTuple):
    """What a report says of a model.

    Attributes:
        path: Where it was.
        params: Trainable parameters.
        madds: Multiply-adds a sample; None where they were not known.
        size_bytes: Of the file and its data files; None where they were not known.
        score: By the report's objective.
        measured: What was measured of it, by execution provider; empty in a report of optimize.
    """

    path: str
    params: int
    madds: int | None
    size_bytes: int | None
    score: Scores
    measured: Mapping[str, MeasuredModel]


class BaselineReport(NamedTuple):
    """An earlier report.

    Attributes:
        path: Where it is.
        models: What it says of each model.
        conditions: What latency and memory were measured under; None in a report of optimize.
        objective: What scores mean; None where there are none.
        data: Name of what they are of.
        samples: How many by split.
        seed: Of what was drawn by chance.
    """

    path: str
    models: tuple[Figures, ...]
    conditions: ConditionsRow | None
    objective: Objective | None
    data: str | None
    samples: Mapping[str, int | None]
    seed: int

    def figures_of(self, model: str) -> Figures:
        """The only model, or else the one whose file is called like a model's.

        Raises:
            InputError: If that is none, or several.
        """
        found = self.models
        if len(found) > 1:
            found = tuple(each for each in found if PurePath(each.path).name == PurePath(model).name)
        if len(found) != 1:
            known = ", ".join(each.path for each in self.models)
            many = "several" if found else "none"
            raise InputError(
                f"{self.path}: has figures of {known}, {many} called {PurePath(model).name}; give a report of one model"
            )
        return found[0]


class _OptimizedModel(TypedDict):
    path: str | None
    params: int
    madds: int | None
    size_bytes: int | None
    score: Scores


class _OptimizedData(TypedDict):
    name: str
    samples: dict[str, int | None]


class _Optimized(TypedDict):
    """What is read of a report of optimize."""

    schema: int
    objective: Objective
    input: _OptimizedModel
    output: _OptimizedModel | None
    seed: int
    data: _OptimizedData


def parse_report(text: str, origin: str) -> BaselineReport:
    """Read a report.

    Args:
        text: JSON.
        origin: Where it comes from, for messages.

    Raises:
        InputError: If it is not JSON, not such a report, or one of another version.
    """
    try:
        payload = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise InputError(f"{origin}: not JSON (line {error.lineno}: {error.msg}); {_REMEDY}") from None
    except (RecursionError, ValueError) as error:  # nested too deeply, NaN, or a number of thousands of digits
        raise InputError(f"{origin}: not a report ({error}); {_REMEDY}") from None
    if not isinstance(payload, dict) or not isinstance(payload.get("schema"), int):
        raise InputError(f"{origin}: not a report of natonnx, or one of a version before schemas; {_REMEDY}")
    if "gates" in payload:
        raise InputError(f"{origin}: a report of natonnx check, which has ratios and no figures; {_REMEDY}")
    kind: Any = BenchReport if "conditions" in payload else _Optimized if "input" in payload else None
    if kind is None:
        raise InputError(f"{origin}: a report of another command; {_REMEDY}")
    if payload["schema"] != SCHEMA_VERSION:
        made = "an older" if payload["schema"] < SCHEMA_VERSION else "a newer"
        raise InputError(
            f"{origin}: made by {made} natonnx (schema {payload['schema']}, this one reads {SCHEMA_VERSION}); "
            "make it anew"
        )
    wrong = departures(payload, kind, further=True) or [*_impossible(payload)]
    if wrong:
        raise InputError(f"{origin}: damaged at {wrong[0][:_LONGEST]}; {_REMEDY}")
    checked: Any = payload
    return _of_bench(checked, origin) if kind is BenchReport else _of_optimize(checked, origin)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _impossible(payload: Mapping[str, Any]) -> Iterator[str]:
    """Name amounts of models that are below zero, and times and ratios that are not above it, or are infinite."""
    rows = [(f"models[{i}]", row) for i, row in enumerate(payload.get("models", []))]
    rows += [(key, payload[key]) for key in ("input", "output") if payload.get(key)]
    for where, row in rows:
        for key in _AMOUNTS:
            if (row.get(key) or 0) < 0:
                yield f"$.{where}.{key}: {row[key]!r}"
        for key, part in ((key, row.get(key)) for key in _TIMES):
            for name, value in part.items() if isinstance(part, dict) else ():
                if not 0 < value < inf:
                    yield f"$.{where}.{key}.{name}: {value!r}"


def _of_bench(payload: BenchReport, origin: str) -> BaselineReport:
    rows: dict[str, dict[str, MeasuredModel]] = {}
    for row in payload["models"]:
        rows.setdefault(row["path"], {})[row["provider"]] = row
    if not rows:
        raise InputError(f"{origin}: has no models; {_REMEDY}")
    models = []
    for path, measured in rows.items():
        first = next(iter(measured.values()))
        models.append(Figures(path, first["params"], first["madds"], first["size_bytes"], first["score"], measured))
    given, data = payload["conditions"], payload["data"]
    return BaselineReport(
        origin,
        tuple(models),
        given,
        payload["objective"],
        data and data["name"],
        {split: data["samples"][split] for split in SPLITS} if data else {},
        given["seed"],
    )


def _of_optimize(payload: _Optimized, origin: str) -> BaselineReport:
    row, data = payload["output"] or payload["input"], payload["data"]
    figures = Figures(row["path"] or "its output", row["params"], row["madds"], row["size_bytes"], row["score"], {})
    return BaselineReport(
        origin, (figures,), None, payload["objective"], data["name"], data["samples"], payload["seed"]
    )
