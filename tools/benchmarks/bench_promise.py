"""How often `--confidence 0.95` is wrong, and how often it helps.

`python -m tools.benchmarks.bench_promise` says how often it is promised that no more than half a point is lost, of
models whose true loss is known: of right and wrong answers exactly, over all samples that could be drawn; of other
scores by draws; and of real models (`--pairs`), chosen on one part of their pictures and promised on another.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import numpy.typing as npt
from scipy import stats

from natonnx.search.paired import p_of_answers, p_of_scores
from tools.benchmarks.bench_search.row import Row, read
from tools.command import run_command

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_LIMIT, _LEVEL = 0.005, 0.05
_RATES = (0.005, 0.02, 0.06)
"""Of pairs that differ."""
_RESAMPLES = 200
"""Of a plain bootstrap."""
_PICTURES = 1_000
"""In each part of a split of real pairs."""


class Chosen(NamedTuple):
    """How many splits led to a model that loses more than it may, and how many to one that does not."""

    wrong: int
    right: int


@functools.cache
def most_lost(differ: int, samples: int) -> int:
    """Return how many of so many pairs that differ may be lost where the promise is made; -1 where none may."""

    def is_promised(lost: int) -> bool:
        return p_of_answers(lost, differ - lost, samples, _LIMIT, _LEVEL) <= _LEVEL

    allowed = samples * _LIMIT + stats.norm.ppf(_LEVEL) * max(differ, samples * _LIMIT) ** 0.5
    lost = min(differ, max(-1, round(float(differ + allowed) / 2) - 1))  # about
    while lost < differ and is_promised(lost + 1):
        lost += 1
    while lost >= 0 and not is_promised(lost):
        lost -= 1
    return lost


def promised_answers(loss: float, rate: float, samples: int) -> float:
    """Return the probability that right and wrong answers promise it, of all that could be drawn.

    Args:
        loss: What the model loses in truth, as a fraction.
        rate: Of pairs that differ.
        samples: How many are drawn.
    """
    spread = 6 * (samples * rate) ** 0.5 + 20
    counts = np.arange(max(0, round(samples * rate - spread)), min(samples, round(samples * rate + spread)) + 1)
    accepted = np.array([most_lost(int(count), samples) for count in counts])
    chances = stats.binom.pmf(counts, samples, rate)
    return float(chances @ stats.binom.cdf(accepted, counts, (1 + loss / rate) / 2))


SHAPES: Mapping[str, Callable[[np.random.Generator, int], Floats]] = {
    "one in 200 loses all": lambda draw, count: (draw.random(count) < _LIMIT).astype(float),
    "one in 20 loses a tenth": lambda draw, count: np.where(draw.random(count) < 10 * _LIMIT, 0.1, 0.0),
    "most lose a little": lambda draw, count: draw.beta(1, 1 / _LIMIT - 1, count),
    "as many gain, by 0.05": lambda draw, count: np.clip(draw.normal(_LIMIT, 0.05, count), -1, 1),
}
"""Losses of scores from 0 to 1, whose mean is the limit."""


def promised_scores(shape: str, samples: int, splits: int, generator: np.random.Generator) -> tuple[int, int]:
    """Count how many draws promise it of losses of a shape, and how many would by the percentile of a bootstrap."""
    ours, plain = 0, 0
    for _ in range(splits):
        losses = SHAPES[shape](generator, samples)
        ours += p_of_scores(losses, 1.0, _LIMIT) <= _LEVEL
        means = losses[generator.integers(0, samples, (_RESAMPLES, samples))].mean(1)
        plain += bool(np.quantile(means, 1 - _LEVEL) <= _LIMIT)
    return ours, plain


RULES = ("the estimate, on what chose", "the promise, on what chose", "the promise, on other pictures")


def choose(given: Flags, rungs: Sequence[Sequence[Flags]], splits: int, generator: np.random.Generator) -> list[Chosen]:
    """Choose one model of several in splits of pictures, by each of `RULES`.

    Of each cost the one that validation says is best is asked, dearest first, down to the first that fails.

    Args:
        given: Which pictures the given model gets right [n].
        rungs: Of each cost, dearest first, which ones each model gets right.
        splits: How many.
        generator: Draws pictures with replacement, so that what all of them say is the truth.
    """
    counts = np.zeros((len(RULES), 2), int)
    for _ in range(splits):
        first, second = generator.integers(0, len(given), (2, _PICTURES))
        for rule, held_out in enumerate((None, first, second)):
            found: Flags | None = None
            for rung in rungs:
                best = max(rung, key=lambda right: int(right[first].sum()))
                lost = int(given[first].sum()) - int(best[first].sum())
                if lost > _LIMIT * _PICTURES or (held_out is not None and not _keeps(given, best, held_out)):
                    break
                found = best
            if found is not None:
                counts[rule, int(given.mean() - found.mean() <= _LIMIT)] += 1
    return [Chosen(int(wrong), int(right)) for wrong, right in counts]


def _keeps(given: Flags, found: Flags, index: npt.NDArray[np.int64]) -> bool:
    before, after = given[index], found[index]
    return int((before & ~after).sum()) <= most_lost(int((before != after).sum()), len(index))


def networks(rows: Sequence[Row]) -> Iterator[tuple[str, Flags, list[list[Flags]]]]:
    """Yield each network with its given model and those that were found, by cost, dearest first."""
    for name in sorted({row.network for row in rows}):
        own = [row for row in rows if row.network == name]
        given = [row for row in own if row.method == "given"]
        targets = sorted({row.target for row in own if row.target < 1}, reverse=True)
        if given and targets:
            yield name, given[0].right(), [[row.right() for row in own if row.target == one] for one in targets]


def _table(header: Sequence[str], lines: Iterator[Sequence[str]]) -> None:
    click.echo(f"\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for line in lines:
        click.echo(f"| {' | '.join(line)} |")


def _answers(loss: float, counts: Sequence[int]) -> Iterator[Sequence[str]]:
    for rate in _RATES:
        shares = (promised_answers(loss, rate, samples) for samples in counts)
        yield [f"{100 * loss:g}", f"{100 * rate:g} %", *(f"{100 * share:.1f} %" for share in shares)]


def _scores(splits: int, counts: Sequence[int]) -> Iterator[Sequence[str]]:
    for shape in SHAPES:
        cells = []
        for samples in counts:
            found = promised_scores(shape, samples, splits, np.random.default_rng(0))
            cells += [f"{100 * count / splits:.1f} %" for count in found]
        yield [shape, *cells]


def _real(path: Path, splits: int) -> Iterator[Sequence[str]]:
    for name, given, rungs in networks(list(read(path).values())):
        models = [right for rung in rungs for right in rung]
        allowed = sum(given.mean() - right.mean() <= _LIMIT for right in models)
        found = choose(given, rungs, splits, np.random.default_rng(0))
        cells = (f"{100 * each.wrong / splits:.1f} % / {100 * each.right / splits:.1f} %" for each in found)
        yield [name, f"{allowed} of {len(models)}", *cells]


@click.command()
@click.option("--samples", default="200,1000,4000,10000", show_default=True, help="Of answers, with commas between.")
@click.option("--splits", default=2_000, show_default=True, type=click.IntRange(1), help="Drawn for each line.")
@click.option(
    "--pairs", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Rows of bench_search alone."
)
def main(samples: str, splits: int, pairs: Path | None) -> None:
    """Count wrong promises, and kept ones."""
    if pairs is not None:
        columns = [f"{rule}: wrong / right" for rule in RULES]
        _table(("network", "models that lose no more", *columns), _real(pairs, splits))
        return
    counts = [int(count) for count in samples.split(",")]
    header = ("points lost in truth", "pairs that differ", *(f"{count:,} samples" for count in counts))
    _table(header, _answers(_LIMIT, counts))
    _table(header, _answers(0.0, counts))
    columns = [f"{count:,} samples{of}" for count in counts[:2] for of in ("", ", plain bootstrap")]
    _table(("half a point is lost", *columns), _scores(splits, counts[:2]))


if __name__ == "__main__":
    run_command(main)
