"""Report: what `natonnx optimize --json` prints."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from natonnx.architecture import edits_between
from natonnx.bench import latencies_ms
from natonnx.contract import objective as contract
from natonnx.contract.edits import edit_rows
from natonnx.contract.optimize import (
    CandidateRow,
    ConstraintRow,
    DataRow,
    FrontRow,
    ModelRow,
    NearestRow,
    OptimizeReport,
    PromiseRow,
    QualityRow,
)
from natonnx.contract.rows import check_rows, cost_row, idle_edges
from natonnx.contract.schema import SCHEMA_VERSION, finite
from natonnx.data import Parts
from natonnx.rewrite import Check
from natonnx.search import Candidate, Criteria, Decision, Outcome, Score, Scored, Settings, judge
from natonnx.search.decide import Constraint
from natonnx.search.objective import Unit
from natonnx.search.promise import Promise
from natonnx.verbs.objectives import objective_row, unit_row
from natonnx.verbs.optimize.prepare import Prepared
from natonnx.verbs.optimize.promise import SPLIT
from natonnx.verbs.optimize.rebuild import Rebuilt, Workshop
from natonnx.verbs.optimize.write import Written, front_name

__all__ = ["data_row", "make_report"]


def make_report(
    workshop: Workshop,
    settings: Settings,
    criteria: Criteria,
    outcome: Outcome,
    decision: Decision,
    winner: Rebuilt | None,
    checks: list[Check],
    written: Written,
    paths: Mapping[str, Path],
    begun: float,
) -> OptimizeReport:
    """Put the payload together. The test split is scored here, and latencies are measured.

    Args:
        workshop: The model, its data, and the files made of candidates.
        settings: Of the search.
        criteria: What candidates are judged by.
        outcome: What it found, scored by files.
        decision: The constraints.
        winner: The better model; None where the input stands.
        checks: That it passed.
        written: Where it is.
        paths: Where the models of the front were written, by `front_name`; empty where they were not.
        begun: When all this began, by `time.monotonic`.
    """
    prepared, original = workshop.prepared, workshop.original
    source, problem = prepared.source, prepared.problem
    beta = None if outcome.beta is None else workshop.rebuild(outcome.beta)
    ordered = sorted(outcome.candidates, key=criteria.costs, reverse=True)
    latencies = _latencies(prepared, winner)
    given: ModelRow = {
        "path": str(source.path),
        **cost_row(source.network.architecture),
        "size_bytes": source.size_bytes,
        "latency_ms": latencies[0],
        **_quality(prepared, original.score, original.test_score),
    }
    after: ModelRow | None = None
    if winner is not None:
        after = {
            "path": None if written.path is None else str(written.path),
            **cost_row(winner.alpha),
            "size_bytes": written.size_bytes,
            "latency_ms": latencies[1],
            **_quality(prepared, winner.candidate.validation, workshop.test_score(winner)),
        }
    alpha = source.network.architecture if winner is None else winner.alpha
    report: OptimizeReport = {
        "schema": SCHEMA_VERSION,
        "status": "unchanged" if winner is None else "improved",
        "objective": objective_row(problem.objective, problem.reward),
        "input": given,
        "output": after,
        "edits": [] if winner is None else edit_rows(winner.edits),
        "idle_edges": idle_edges(source.network.architecture, alpha),
        "constraints": [_constraint(limit) for limit in decision.constraints],
        "checks": check_rows(checks),
        "without_gradient": list(problem.without_gradient),
        "algorithm": settings.algorithm,
        "learner": settings.learner,
        "protocol": settings.protocol,
        "seed": settings.seed,
        "seconds": time.monotonic() - begun,
        "data": data_row(prepared.parts),
        "history": [dict(row) for row in outcome.history],  # type: ignore[misc]
        "images": {
            "look_ups": round(outcome.images.look_ups),
            "training": round(outcome.images.training),
            "teacher": round(outcome.images.teacher),
            "output": None if winner is None else winner.candidate.images,
        },
        "finetuned_input": None
        if beta is None
        else _quality(prepared, beta.candidate.validation, workshop.test_score(beta)),
        "front": [_front(workshop, settings, criteria, outcome, decision, one, paths) for one in ordered],
        "nearest": _nearest(criteria, decision, ordered),
        "scored": [_candidate(prepared, scored) for scored in outcome.scored],
    }
    found: OptimizeReport = finite(report)
    return found


def _constraint(limit: Constraint) -> ConstraintRow:
    unit = None if limit.unit is None else contract.difference_unit(unit_row(limit.unit))
    value = limit.value if math.isfinite(limit.value) else None
    row: ConstraintRow = {
        "name": limit.name,
        "label": limit.label,
        "unit": unit,
        "limit": limit.limit,
        "value": value,
        "met": limit.met,
        "interval": limit.interval,
    }
    if limit.promise is not None and limit.unit is not None:
        row["promise"] = _promise(limit.promise, limit.unit)
    return row


def _promise(made: Promise, unit: Unit) -> PromiseRow:
    return {
        "confidence": made.confidence,
        "split": SPLIT,
        "samples": made.samples,
        "lost": float(f"{unit.scale * made.lost:.9g}"),
        "enough": made.enough,
    }


def _latencies(prepared: Prepared, winner: Rebuilt | None) -> list[float]:
    """Measure milliseconds of one sample, or of as many as the model takes, on one thread: input, and winner."""
    network = prepared.source.network
    models = [network.model] if winner is None else [network.model, winner.model]
    size = network.batch_axes.size or 1
    sample = prepared.parts.validation.sample(size).repeat(size)
    return latencies_ms(models, sample.inputs, folder=network.folder)


def _quality(prepared: Prepared, validation: Score, test: Score | None) -> QualityRow:
    names = [figure.name for figure in prepared.problem.objective.figures]
    return {
        "score": {
            "validation": validation.value,
            "test": None if test is None or prepared.problem.reward is not None else test.value,
        },
        "standard_error": {"validation": _error(prepared, validation), "test": _error(prepared, test)},
        "outputs": {
            "validation": dict(zip(names, validation.figures, strict=True)),
            "test": None if test is None else dict(zip(names, test.figures, strict=True)),
        },
    }


def _error(prepared: Prepared, score: Score | None) -> float | None:
    known = score is not None and score.samples > 0 and prepared.problem.reward is None
    return score.standard_error if known and score is not None else None


def _front(
    workshop: Workshop,
    settings: Settings,
    criteria: Criteria,
    outcome: Outcome,
    decision: Decision,
    candidate: Candidate,
    paths: Mapping[str, Path],
) -> FrontRow:
    scale = criteria.unit.scale
    limits = judge(candidate, workshop.original.score, outcome, criteria)
    lost = next(limit for limit in limits if limit.name == "lost")
    path = paths.get(front_name(workshop.prepared, candidate))
    promise = decision.promises.get(candidate)
    met: bool | None = all(limit.met for limit in limits)
    if met and settings.confidence is not None:
        met = None if promise is None else promise.met
    made = _candidate(workshop.prepared, candidate)
    row: FrontRow = {
        "params": made["params"],
        "madds": made["madds"],
        "score": made["score"],
        "edits": made["edits"],
        "target": candidate.target,
        "share": criteria.costs(candidate)[0] / (criteria.full[0] or 1.0),
        "lost": lost.value / scale,
        "interval": None if lost.interval is None else (lost.interval[0] / scale, lost.interval[1] / scale),
        "met": met,
        "images": candidate.images,
        "path": None if path is None else str(path),
    }
    if promise is not None:
        row["lost_at_most"] = promise.value / scale
    if (behind := criteria.behind(candidate, outcome)) is not None:
        row["behind"], between = behind.value / scale, behind.interval
        row["behind_interval"] = None if between is None else (between[0] / scale, between[1] / scale)
    return row


def _nearest(criteria: Criteria, decision: Decision, ordered: Sequence[Candidate]) -> NearestRow | None:
    nearest = decision.nearest
    if nearest is None:
        return None
    missed = [limit for limit in decision.constraints if not limit.met]
    over = max((one.value - one.limit for one in missed if one.unit is not None and one.promise is None), default=0.0)
    points, each = criteria.unit.difference == "points", nearest.validation.each
    right_or_wrong = points and bool(each) and set(each) <= {0.0, 1.0}
    counted = right_or_wrong and any(limit.promise is None for limit in missed)
    by_amount = all(limit.unit is not None and limit.value > limit.limit for limit in missed)
    enough = math.ceil(10 * max(limit.value for limit in missed)) / 10 if by_amount else 0.0
    return {
        "front": next(i for i, candidate in enumerate(ordered, 1) if candidate is nearest),
        "samples": math.ceil(round(over / 100 * len(each), 6)) if counted else None,
        "option": f"--max-drop {enough:g}" if by_amount else None,
    }


def _candidate(prepared: Prepared, candidate: Candidate | Scored) -> CandidateRow:
    architecture = prepared.source.network.architecture
    alpha = architecture.with_states(candidate.architecture.states)
    return {
        **cost_row(alpha),
        "score": {"validation": candidate.validation.value, "test": None},
        "edits": edit_rows(edits_between(architecture, alpha)),
    }


def data_row(parts: Parts) -> DataRow:
    """Describe the data."""
    return {
        "name": parts.name,
        "samples": {
            "train": parts.train.samples,
            "validation": parts.validation.samples,
            "test": None if parts.test is None else parts.test.samples,
        },
        "notes": list(parts.notes),
    }
