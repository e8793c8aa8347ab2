"""The gates of `check` that need no stopwatch: what models cost, and what they say of data."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from natonnx.architecture import cost
from natonnx.contract.check import GateName, GateRow, gate_row
from natonnx.errors import InputError
from natonnx.frontend import Source
from natonnx.verbs.earlier import Earlier
from natonnx.verbs.model_comparison import ModelComparison
from natonnx.verbs.thresholds import Thresholds

if TYPE_CHECKING:
    from natonnx.verbs.judging import JudgedModels

__all__ = ["Tell", "cost_gates", "data_gates", "memory_gate"]

Tell = Callable[[str], None]

_COSTS: tuple[tuple[GateName, str, str], ...] = (
    ("madds_ratio", "MAdds", ""),
    ("params_ratio", "parameters", ""),
    ("size_ratio", "size", " bytes"),
)


def cost_gates(models: ModelComparison, thresholds: Thresholds, earlier: Earlier | None) -> Iterator[GateRow]:
    """Judge counts: exact, and the same on every provider.

    Args:
        models: The model last; first what it is compared with, where there is no report.
        thresholds: The limits.
        earlier: Figures to compare with.

    Raises:
        InputError: If a count is not known, or there is no multiple of it.
    """
    source, first = models.sources[-1], models.sources[0]
    counts = _costs(source)
    others = _costs(first) if earlier is None else earlier.costs
    other = str(first.path) if earlier is None else str(earlier)
    for name, noun, unit in _COSTS:
        limit, before, after = getattr(thresholds, f"max_{name}"), others[name], counts[name]
        if limit is None:
            continue
        if before is None and earlier is not None:
            raise InputError(f"{other}: its {noun} are not known there; give another report")
        if before is None or after is None:
            unknown = other if before is None else source.path
            raise InputError(f"{unknown}: its {noun} are unknown, some size is open; give --input-shape")
        if not before:
            option = f"--max-{name.replace('_', '-')}"
            raise InputError(f"{other}: its {noun} are 0, which has no multiples; leave out {option}")
        if name == "madds_ratio" and earlier is not None and (reason := earlier.other_sizes(models)) is not None:
            yield gate_row(name, limit, None, reason)
        else:
            detail = f"{noun} {after:,} against {before:,}{unit}" + (f" of {earlier}" if earlier else "")
            yield gate_row(name, limit, after / before, detail)


def _costs(source: Source) -> dict[GateName, int | None]:
    total = cost(source.network.architecture)
    return {"madds_ratio": total.madds, "params_ratio": total.params, "size_ratio": source.size_bytes}


def memory_gate(models: ModelComparison, limit: float, earlier: Earlier | None, tell: Tell) -> GateRow:
    """Judge peak memory on a provider.

    Raises:
        InputError: If a model cannot be run, or the system does not tell.
    """
    inputs, provider = models.inputs(), models.provider
    if earlier is not None and (reason := next(earlier.differences(models, inputs), None)) is not None:
        return gate_row("memory_ratio", limit, None, reason, provider=provider)
    tell("memory")
    models.try_out(inputs)
    after = models.peak_memory(models.sources[-1], inputs)
    if earlier is None:
        before = models.peak_memory(models.sources[0], inputs)
    else:
        before = earlier.figures.measured[provider]["peak_memory_bytes"]
    if not before or not after:
        raise InputError("peak memory is not known, the system does not tell; leave out --max-memory-ratio")
    detail = f"{after:,} against {before:,} bytes of a fresh process" + (f" of {earlier}" if earlier else "")
    return gate_row("memory_ratio", limit, after / before, detail, provider=provider)


def data_gates(
    judged: "JudgedModels", thresholds: Thresholds, models: ModelComparison, earlier: Earlier | None
) -> Iterator[GateRow]:
    """Judge what models say of data on a provider.

    Raises:
        InputError: If there is nothing to compare with.
    """
    found, provider = judged.splits[judged.split], models.provider
    where, after = f"{found.samples:,} {judged.split} samples", found.scores[-1]
    if len(models.sources) > 1 and found.scores[0].broken == found.samples:
        raise InputError(f"the baseline gives NaN or infinity for all {where}; nothing can be compared with it")
    if thresholds.min_accuracy is not None:
        if found.labels is None:
            raise InputError(f"{judged.name}: has no labels, which --min-accuracy needs; use --min-agreement")
        detail = f"{_count(after.value, found.samples)} of {where} right"
        yield gate_row("accuracy", thresholds.min_accuracy, after.value, detail, provider=provider)
    if thresholds.max_drop is not None:
        yield _drop_gate(judged, thresholds.max_drop, models, earlier)
    if thresholds.min_agreement is not None:
        for figure, value in zip(judged.figures, found.agreement[-1].figures, strict=True):
            detail = f"{figure.measure} {value:.4f} on {where}"
            if figure.measure == "top-1 agreement":
                detail = f"{_count(value, found.samples)} of {where} given the same class"
            label = f"agreement of {figure.name}" if len(judged.figures) > 1 else None
            yield gate_row("agreement", thresholds.min_agreement, value, detail, label=label, provider=provider)


def _drop_gate(judged: "JudgedModels", limit: float, models: ModelComparison, earlier: Earlier | None) -> GateRow:
    found, measure = judged.splits[judged.split], judged.objective["measure"]
    where, label = f"{found.samples:,} {judged.split} samples", f"{measure} lost"
    before, after = found.scores[0].value, found.scores[-1].value
    if found.labels is None and len(models.sources) == 1:
        raise InputError(f"{judged.name}: has no labels, so that --max-drop compares outputs; give --baseline too")
    if earlier is not None:
        then = earlier.score(models.provider, judged.split)
        reason = _other_scores(judged, models, earlier)
        if reason is not None or then is None:
            reason = reason or f"{earlier} has no {judged.split} score"
            return gate_row("drop", limit, None, reason, label=label, provider=models.provider)
        before = then
    if found.labels is None:
        against = f", {100 * before:.2f} % of {earlier}" if earlier else ""
        detail = f"{measure} with the baseline {100 * after:.2f} % on {where}{against}"
    else:
        detail = f"{_count(after, found.samples)} right against {_count(before, found.samples)} of {where}"
        detail += f", by {earlier}" if earlier else ""
    lost = round(100 * (before - after), 9)
    return gate_row("drop", limit, lost, detail, label=label, provider=models.provider)


def _other_scores(judged: "JudgedModels", models: ModelComparison, earlier: Earlier) -> str | None:
    """Say why scores of then and now are not of the same thing; None where they are.

    Raises:
        InputError: If the report has no scores.
    """
    report, split = earlier.report, judged.split
    if report.objective is None:
        raise InputError(f"{report.path}: has no scores, which --max-drop needs; make it with --data")
    if earlier.figures.measured and models.provider not in earlier.figures.measured:
        return f"{report.path} has no figures on {models.provider}, but on {', '.join(earlier.figures.measured)}"
    pairs: list[tuple[str, object, object]] = [
        ("scores", report.objective["measure"], judged.objective["measure"]),
        ("data", report.data, judged.name),
        (f"{split} samples", report.samples.get(split), judged.samples(split)),
        ("seed", report.seed, models.conditions.seed),
    ]
    if judged.splits[split].labels is None:
        first = next(iter(report.models[0].measured.values()), None)
        pairs.append(("agreement with", first and first["sha256"], models.sources[0].sha256))
    for what, then, now in pairs:
        if then != now:
            return f"{what}: {then} in {report.path}, {now} now"
    return None


def _count(share: float, samples: int) -> str:
    """Return how many samples a share is; of positions of samples it need not be a whole number."""
    count = share * samples
    return f"{round(count):,}" if abs(count - round(count)) < 1e-6 * samples else f"{count:,.1f}"
