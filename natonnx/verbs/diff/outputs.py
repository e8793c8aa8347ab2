"""Run two models in onnxruntime on the same random inputs, and compare what they give."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from natonnx.bench import check_inputs, random_inputs
from natonnx.contract.diff import OutputRow, Outputs
from natonnx.errors import InputError
from natonnx.frontend import Source
from natonnx.frontend.load import true_inputs
from natonnx.rewrite.trial import relative_difference
from natonnx.session import run, session
from natonnx.verbs.runnable import check_sizes

__all__ = ["compare_outputs"]

_RUNS = 4
_BATCH = 8
"""Samples a run, where the batch is open."""

_Arrays = Mapping[str, np.ndarray]


class _Pair(NamedTuple):
    """One name of each model for the same input or output."""

    before: str
    after: str
    by: Literal["name", "position"]


def compare_outputs(before: Source, after: Source, input_shapes: Mapping[str, Sequence[int]], seed: int) -> Outputs:
    """Compare the outputs of two models.

    Inputs and outputs are matched by name; those that are left, by position, where each model has as many of them.

    Args:
        before: One model.
        after: The other.
        input_shapes: Sizes of what the files leave open, by input.
        seed: Of the inputs; each run has the next one.

    Returns:
        Rows by output. Nothing but the `reason` where they cannot both be run on the same inputs.
    """
    try:
        return _compare(before, after, input_shapes, seed)
    except InputError as error:
        reason = " ".join(str(error).split())
        return {"reason": reason, "runs": 0, "samples": None, "inputs_matched_by": None, "outputs": []}


class _RefusedError(InputError):
    """A model that onnxruntime does not load, whatever the inputs."""


class _Results(NamedTuple):
    """A model's outputs by run, and the names of those that differ between two runs of the same inputs."""

    runs: Sequence[_Arrays]
    varying: set[str]


def _compare(before: Source, after: Source, shapes: Mapping[str, Sequence[int]], seed: int) -> Outputs:
    inputs = _pairs(*([info.name for info in true_inputs(source.network.model)] for source in (before, after)))
    _require_all(before, after, inputs)
    obstacle: InputError | None = None
    for first in (True, False):
        for batch in (_BATCH, None) if not shapes else (None,):
            try:
                fed = [_inputs(before, after, inputs, shapes, batch, seed + i, first=first) for i in range(_RUNS)]
                results = _run(before, [one for one, _ in fed]), _run(after, [other for _, other in fed])
            except _RefusedError:
                raise
            except InputError as error:
                obstacle = error if obstacle is None or (first and batch is None) else obstacle
                continue
            sizes = [before.network.batch_axes.count(one) for one, _ in fed]
            return {
                "reason": None,
                "runs": _RUNS,
                "samples": sum(sizes),
                "inputs_matched_by": _how(inputs),
                "outputs": list(_rows(*results)),
            }
    assert obstacle is not None
    raise obstacle


def _run(source: Source, inputs: Sequence[_Arrays]) -> _Results:
    """Run a model on all inputs, and once more on the last; only one model is loaded at a time."""
    try:
        check_sizes(source)
    except InputError as error:
        raise _RefusedError(str(error)) from None
    try:
        runtime = session(source.network.model, folder=source.network.folder)
    except InputError as error:
        raise _RefusedError(f"{source.path}: {error}") from None
    try:
        *runs, again = [run(runtime, one) for one in (*inputs, inputs[-1])]
    except InputError as error:
        raise InputError(f"{source.path}: {error}") from None
    return _Results(runs, {name for name, value in again.items() if not _is_same(value, runs[-1][name])})


def _pairs(old: Sequence[str], new: Sequence[str]) -> list[_Pair]:
    """Match names with the same ones, and those that are left by position where there are as many of them."""
    found = [_Pair(name, name, "name") for name in old if name in new]
    rest = [name for name in old if name not in new], [name for name in new if name not in old]
    if len(rest[0]) == len(rest[1]):
        found += [_Pair(one, other, "position") for one, other in zip(*rest, strict=True)]
    return found


def _how(pairs: Sequence[_Pair]) -> Literal["name", "position"]:
    return "position" if any(pair.by == "position" for pair in pairs) else "name"


def _require_all(before: Source, after: Source, pairs: Sequence[_Pair]) -> None:
    """Refuse models of which one has inputs that the other has nothing for."""
    names = [[info.name for info in true_inputs(source.network.model)] for source in (before, after)]
    if not len(pairs) == len(names[0]) == len(names[1]):
        told = [", ".join(some) or "none" for some in names]
        raise InputError(f"{after.path}: its inputs are {told[1]}, those of {before.path} are {told[0]}")


def _inputs(
    before: Source,
    after: Source,
    pairs: Sequence[_Pair],
    shapes: Mapping[str, Sequence[int]],
    batch: int | None,
    seed: int,
    *,
    first: bool,
) -> tuple[_Arrays, _Arrays]:
    """Return inputs for both models, made for the first one, or for the other.

    Raises:
        InputError: If they do not fit both.
    """
    source, other = (before, after) if first else (after, before)
    model = source.network.model
    names = {info.name for info in true_inputs(model)}
    known = {name: sizes for name, sizes in shapes.items() if name in names}
    axes = source.network.batch_axes.inputs
    made = random_inputs(model, str(source.path), input_shapes=known, batch=batch, seed=seed, axes=axes)
    to = {pair.before: pair.after for pair in pairs} if first else {pair.after: pair.before for pair in pairs}
    told = {to[name]: value for name, value in made.items()}
    check_inputs(other.network.model, str(other.path), told, str(source.path))
    return (made, told) if first else (told, made)


def _rows(before: _Results, after: _Results) -> Iterator[OutputRow]:
    names = [list(results.runs[0]) for results in (before, after)]
    pairs = _pairs(*names)
    for pair in pairs:
        values = [(old[pair.before], new[pair.after]) for old, new in zip(before.runs, after.runs, strict=True)]
        varies = pair.before in before.varying or pair.after in after.varying
        yield _difference(pair, values, varies=varies)
    lonely = "the other model has no such output"
    yield from (_row(name, None, reason=lonely) for name in names[0] if name not in {pair.before for pair in pairs})
    yield from (_row(None, name, reason=lonely) for name in names[1] if name not in {pair.after for pair in pairs})


def _row(
    before: str | None, after: str | None, by: Literal["name", "position"] | None = None, reason: str | None = None
) -> OutputRow:
    """Return a row of which nothing is known but the names."""
    return {
        "before": before,
        "after": after,
        "matched_by": by,
        "bit_equal": None,
        "max_abs": None,
        "max_rel": None,
        "same_argmax": None,
        "reason": reason,
    }


def _difference(names: _Pair, pairs: Sequence[tuple[Any, Any]], *, varies: bool) -> OutputRow:
    """Return how two outputs differ over all runs.

    The relative difference is the largest one, relative to the largest magnitude of the first model's output in a run.
    """
    row = _row(*names)
    if varies:  # of two fresh sessions, both may start at the same random numbers
        return {**row, "reason": "varies from run to run by itself"}
    row["bit_equal"] = all(_is_same(*pair) for pair in pairs)
    old, new = pairs[0]
    if any(not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf" for value in (old, new)):
        return {**row, "reason": None if row["bit_equal"] else "no tensor of numbers"}
    if any(one.shape != other.shape for one, other in pairs):
        return {**row, "reason": f"its shape is {list(new.shape)}, not {list(old.shape)}"}
    row["max_rel"] = relative = max(relative_difference(other, one) for one, other in pairs)
    row["max_abs"] = max(_largest(one, other) for one, other in pairs)
    row["same_argmax"] = _same_argmax(pairs)
    if relative == np.inf:
        row["reason"] = "it is NaN or infinite in one only"
    return row


def _largest(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest absolute difference of the numbers that are finite in both."""
    finite = np.isfinite(one) & np.isfinite(other)
    return float(np.max(np.abs(one[finite].astype(np.float64) - other[finite].astype(np.float64)), initial=0.0))


def _same_argmax(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float | None:
    """Return the share of samples whose largest entry is the same one; None for what cannot be scores [n, classes]."""
    first = pairs[0][0]
    if first.dtype.kind != "f" or first.ndim < 2 or first.shape[1] < 2 or first[0].size != first.shape[1]:
        return None
    one, other = (np.concatenate([pair[i].reshape(len(pair[i]), -1) for pair in pairs]) for i in range(2))
    return float(np.mean(one.argmax(1) == other.argmax(1)))


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two outputs are of one type and shape and equal bit for bit."""
    if not isinstance(one, np.ndarray) or not isinstance(other, np.ndarray):
        return repr(one) == repr(other)
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return one.tolist() == other.tolist() if one.dtype.kind == "O" else one.tobytes() == other.tobytes()
