"""The gate of `check` on latency: which clock tells, what it is compared with, and when that is decided."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from natonnx.bench import CONFIDENCE, Clock, Interval, Timings, level_interval, quotient, ratio_interval
from natonnx.contract.check import GateRow, gate_row
from natonnx.verbs.earlier import Earlier
from natonnx.verbs.model_comparison import ModelComparison

__all__ = ["latency_gate"]

_PROLONGATIONS = 3
_APART = 1.1
"""What CPU times of one model may differ by that were not measured side by side: 1.06 was the most of 14 measurements
within five minutes on a busy machine, where 34 of 182 intervals of their ratios did not hold 1."""
_NO_WAY = (
    "not measured side by side, and by the wall clock that says as much of what else the machine did; give --baseline "
    "a model that the report has too"
)
_NAMES: Mapping[Clock, str] = {"wall": "by the wall clock", "cpu": "of CPU time"}


class _Found(NamedTuple):
    """A ratio by a clock, and what it is made of in words."""

    ratio: Interval
    words: str


class _Way(NamedTuple):
    """How a ratio is found from the times of the models.

    Attributes:
        clocks: The clocks that can tell it; the last one decides.
        apart: What its interval is widened by at both ends, where times were not measured side by side; else 1.
        find: The ratio by one of the clocks.
    """

    clocks: tuple[Clock, ...]
    apart: float
    find: Callable[[Timings, Clock], _Found]


def latency_gate(
    models: ModelComparison, limit: float, earlier: Earlier | None, tell: Callable[[str], None]
) -> GateRow:
    """Judge latency on a provider, measuring longer while that is undecided.

    Args:
        models: The model last; first what it is compared with.
        limit: Most latency, as a multiple.
        earlier: Figures to compare with. If the first model is in that report too, each model's ratio to it is what is
            compared, as latencies of another day are not measured side by side.
        tell: Told what is being done.

    Raises:
        InputError: If a model cannot be run, or the report has no latency.
    """
    inputs, given = models.inputs(), models.conditions
    if earlier is None:
        way = _Way(models.clocks, 1.0, lambda timings, clock: _side_by_side(timings, clock, given.seed))
    else:
        reason = next(earlier.differences(models, inputs), None)
        found = _way_of(models, earlier) if reason is None else None
        if found is None:
            return gate_row("latency_ratio", limit, None, reason or _NO_WAY, provider=models.provider)
        way = found
    models.try_out(inputs)
    timings = models.timings(inputs)
    where = f" on {models.provider}" if len(models.providers) > 1 else ""
    for turn in range(1 + _PROLONGATIONS):
        tell(f"latency{where} ({given.seconds:g} s)" + (f", still undecided, prolonged {turn} times" if turn else ""))
        timings.extend(given.seconds)
        gate = _judge(way, timings, limit, models.provider)
        if gate["state"] != "undecided":
            break
    return gate


def _way_of(models: ModelComparison, earlier: Earlier) -> _Way | None:
    """How to compare with a report: through the model that is in both, else by CPU time; None where neither can be."""
    first, *others = models.sources
    seed, provider = models.conditions.seed, models.provider
    ratios = {clock: earlier.ratio(first.sha256, provider, clock) for clock in models.clocks if others}
    if through := {clock: ratio for clock, ratio in ratios.items() if ratio is not None}:
        return _Way(
            tuple(through),
            1.0,
            lambda timings, clock: _through(timings, clock, seed, through[clock], first.path, earlier),
        )
    then = earlier.latency(provider, "cpu") if "cpu" in models.clocks else None
    if then is None:
        return None
    return _Way(("cpu",), _APART, lambda timings, clock: _by_itself(timings, clock, seed, then, earlier))


def _judge(way: _Way, timings: Timings, limit: float, provider: str) -> GateRow:
    """Judge by the clock that decides; the wall clock may object."""
    *others, clock = way.clocks
    (value, low, high), words = way.find(timings, clock)
    low, high = low / way.apart, high * way.apart
    widened = f" and {way.apart:g} times at both ends" if way.apart > 1 else ""
    detail = (
        f"{words}, {100 * CONFIDENCE:g} % interval{widened} {low:.3f} to {high:.3f} of {timings.rounds:,} rounds in "
    )
    detail += f"{len(timings.blocks)} sessions"
    gate = gate_row("latency_ratio", limit, value, detail, interval=(low, high), provider=provider, clock=clock)
    for other in others:
        found = way.find(timings, other).ratio
        state = gate_row("latency_ratio", limit, found.value, "", interval=found[1:])["state"]
        gate["detail"] += f"; {_NAMES[other]} {found.value:.3f}, {found.low:.3f} to {found.high:.3f}"
        if {state, gate["state"]} == {"met", "failed"}:
            gate["state"] = "undecided"
            gate["detail"] += ", which contradicts"
    return gate


def _side_by_side(timings: Timings, clock: Clock, seed: int) -> _Found:
    before, after = (float(np.median(timings.series(position, clock))) for position in range(2))
    words = f"{after:.3f} ms {_NAMES[clock]} against {before:.3f} ms"
    return _Found(ratio_interval(timings.by(clock), 1, seed=seed), words)


def _through(timings: Timings, clock: Clock, seed: int, then: Interval, other: Path, earlier: Earlier) -> _Found:
    """The ratio to another model now, by what it was to the same model then."""
    now = ratio_interval(timings.by(clock), 1, seed=seed)
    words = f"{now.value:.3f} times {other} {_NAMES[clock]}, against {then.value:.3f} times it of {earlier}"
    return _Found(quotient(now, then), words)


def _by_itself(timings: Timings, clock: Clock, seed: int, then: Interval, earlier: Earlier) -> _Found:
    now = level_interval(timings.by(clock), -1, seed=seed)
    words = f"{now.value:.3f} ms {_NAMES[clock]} against {then.value:.3f} ms of {earlier}, not measured side by side"
    return _Found(quotient(now, then), words)
