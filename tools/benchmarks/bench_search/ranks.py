"""Rank fidelity: how well scores without training order α's by their accuracy after fine-tuning."""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from natonnx.architecture import Architecture, edits_between, violation
from natonnx.search import Score
from natonnx.search.finetune import Finetuning, Limit
from natonnx.search.keys import from_key, key, signature
from natonnx.search.look import as_arrays, refit_on
from natonnx.search.lookup import Lookups
from natonnx.search.propose import make_proposer
from natonnx.verbs.optimize.prepare import Prepared, torch_settings
from tools.benchmarks.bench_search.kendall import correlate
from tools.benchmarks.bench_search.run import make_file, right_answers
from tools.benchmarks.bench_search.scorer import Scorer
from tools.benchmarks.bench_search.selection import random_alphas
from tools.benchmarks.bench_search.task import Found, Task

__all__ = ["Ranked", "choose", "rank", "table"]

_LOWEST, _HIGHEST = 0.42, 0.5
_EVOLVED = 60
"""Look-ups of each evolution."""
_EPOCHS = 2
_CALIBRATIONS = (64, 160, 640)
_HELD_OUT = (500, 2500)

Scores = Mapping[str, float]
_Scored = Callable[[Architecture], Scores]


@dataclass(frozen=True)
class Ranked:
    """An α, what it is worth, and what scores said.

    Attributes:
        states: Its edges' states.
        share: Its cost, as a fraction of β's.
        truth: Test accuracy after fine-tuning from the file's weights.
        scores: By name; higher is better.
    """

    states: str
    share: float
    truth: float
    scores: Scores


def choose(task: Task, count: int) -> list[Architecture]:
    """Choose α's of nearly the same cost: evolved ones, by likelihood without and with refit, and random ones."""
    third = math.ceil(count / 3)
    plain, refitted = _raw(task), _refitted(task, _CALIBRATIONS[1], _HELD_OUT[0])
    found: dict[str, Architecture] = {}
    for score in (plain, refitted):
        lookups = Lookups(task.beta, task.price, lambda alpha, score=score: score(alpha).ranking, _EVOLVED)  # type: ignore[misc]
        make_proposer("evolution").propose(lookups, (_HIGHEST,), torch.Generator().manual_seed(task.seed))
        fresh = [e for e in lookups.within(_HIGHEST) if e.share >= _LOWEST and signature(e.architecture) not in found]
        found |= {signature(entry.architecture): entry.architecture for entry in fresh[:third]}
    for alpha in itertools.islice(random_alphas(task.beta, task.price, _HIGHEST, task.seed), 100 * count):
        if len(found) < count and task.price.cost(alpha) >= _LOWEST * task.price.full:
            found.setdefault(signature(alpha), alpha)
    return list(found.values())


def rank(prepared: Prepared, path: Path, count: int, seed: int = 0) -> list[Ranked]:
    """Fine-tune and score α's; what the file has is not done again.

    Args:
        prepared: Network and data.
        path: A file of JSON lines: the α's, then one for each that is done.
        count: How many there are.
        seed: Of everything random.
    """
    task = Task(prepared, _HIGHEST, seed, math.inf)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    with torch_settings(1):
        if not lines:
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps([key(alpha) for alpha in choose(task, count)])]
            path.write_text(lines[0] + "\n", encoding="utf-8")
        done = [Ranked(**json.loads(line)) for line in lines[1:]]
        scorers = list(_scorers(task))
        for text in json.loads(lines[0])[len(done) :]:
            done.append(_rank(task, from_key(task.beta, text), scorers))
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(done[-1]), ensure_ascii=False) + "\n")
            print(f"{len(done)}: {100 * done[-1].truth:.2f} % at {done[-1].share:.3f}", flush=True)
    return done


def table(network: str, ranked: Sequence[Ranked]) -> str:
    """Render Kendall's τ of each score with the truth, over all α's and over the better half of them."""
    truth = np.array([each.truth for each in ranked])
    better = np.argsort(-truth, kind="stable")[: math.ceil(len(truth) / 2)]
    lines = [
        f"## Rank fidelity: {network}, {len(ranked)} α's, {100 * truth.min():.1f} to {100 * truth.max():.1f} %",
        "",
        "| score | τ, all | τ, better half |",
        "|---|---|---|",
    ]
    for name in ranked[0].scores:
        score = np.array([each.scores[name] for each in ranked])
        found = correlate(score, truth), correlate(score[better], truth[better])
        lines.append(f"| {name} | {' | '.join(f'{each.value:.2f} ± {each.error:.2f}' for each in found)} |")
    return "\n".join([*lines, ""])


def _rank(task: Task, alpha: Architecture, scorers: Sequence[_Scored]) -> Ranked:
    scores: dict[str, float] = {}
    for scorer in scorers:
        scores |= scorer(alpha)
    limit = Limit(_EPOCHS * (task.problem.train.samples or 0))
    training = Finetuning(task.problem, alpha, task.settings, original=task.original, limit=limit, start={})
    training.run(1.0)
    training.settle()
    model = make_file(task.prepared, Found(alpha, training.supernet.weights()))
    assert task.prepared.parts.test is not None
    truth = float(right_answers(model, task.prepared.parts.test).mean())
    return Ranked(key(alpha), task.price.cost(alpha) / task.price.full, truth, scores)


def _scorers(task: Task) -> Iterator[_Scored]:
    """Make what scores α's, each giving one score or several by name."""
    for held_out in _HELD_OUT:
        yield _both(f"raw, {held_out} held out", _raw(task, held_out))
        divergence = Scorer(task, held_out=held_out, objective=task.problem.distillation)
        name = f"divergence from β, {held_out} held out"
        yield lambda alpha, name=name, score=divergence: {name: score(alpha)}  # type: ignore[misc]
    yield _single_edits(task, "single-edit losses, raw", _raw(task))
    yield _single_edits(task, "single-edit losses, refit", _refitted(task, 160, 500))
    for calibration, held_out in itertools.product(_CALIBRATIONS, _HELD_OUT):
        name = f"refit by {calibration}, {held_out} held out"
        yield _both(name, _refitted(task, calibration, held_out))


def _both(name: str, score: Callable[[Architecture], Score]) -> _Scored:
    def scored(alpha: Architecture) -> Scores:
        found = score(alpha)
        return {f"likelihood, {name}": found.ranking, f"accuracy, {name}": found.value}

    return scored


def _raw(task: Task, held_out: int = 500) -> Callable[[Architecture], Score]:
    return Scorer(task, held_out=held_out).score


def _refitted(task: Task, calibration: int, held_out: int) -> Callable[[Architecture], Score]:
    scorer = Scorer(task, held_out=held_out)
    refit, _ = refit_on(task.problem, task.given, calibration, task.seed)

    def score(alpha: Architecture) -> Score:
        changed, _ = refit.run(alpha)
        return scorer.score(alpha, as_arrays(changed))

    return score


def _single_edits(task: Task, name: str, score: Callable[[Architecture], Score]) -> _Scored:
    """Add up what each edit loses by itself, with a minus sign; one that is not legal by itself adds nothing."""
    base = score(task.beta).ranking
    known: dict[str, float] = {}

    def loss(alpha: Architecture) -> float:
        if violation(alpha, task.beta):
            return 0.0
        text = signature(alpha)
        if text not in known:
            known[text] = base - score(alpha).ranking
        return known[text]

    def scored(alpha: Architecture) -> Scores:
        position = task.beta.topology.edge_index
        total = 0.0
        for edit in edits_between(task.beta, alpha):
            states = list(task.beta.states)
            states[position[edit.edge]] = edit.after
            total += loss(task.beta.with_states(tuple(states)))
        return {name: -total}

    return scored
