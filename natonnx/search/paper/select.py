"""Choose the α's that are worth fine-tuning, by validation, statistics re-estimated for each."""

import logging
from collections.abc import Iterable, Mapping
from itertools import pairwise, zip_longest

import torch

from natonnx.architecture import Architecture
from natonnx.policy.base import draw, greedy
from natonnx.policy.random_search import RandomPolicy
from natonnx.search.assess import assess
from natonnx.search.keys import from_key, key, signature
from natonnx.search.paper.state import SearchState
from natonnx.search.problem import Problem
from natonnx.search.progress import Progress, Stage
from natonnx.search.runner import Runner
from natonnx.search.samples import estimated_on
from natonnx.search.score import CALIBRATION, Score, reestimate
from natonnx.search.settings import Settings
from natonnx.supernet import Supernet

__all__ = ["choose_finalists"]

_log = logging.getLogger(__name__)

_FRESH = 64
"""α's drawn from the final policy."""
_RESCORED = 2
"""How many times as many α's as finalists are scored by the file's own weights too."""


def choose_finalists(
    state: SearchState,
    problem: Problem,
    settings: Settings,
    original: Runner,
    progress: Progress,
) -> dict[str, bool]:
    """Choose finalists.

    Half of the α's that are scored are those that did best in the search, half are drawn from the final policy. What
    each scored is kept in `state.scored`.

    Returns:
        States of the finalists, then of as many reserves, and whether each should start from the supernet's weights
        rather than the file's. None of them computes the same as β or as another.
    """
    beta = problem.network.architecture
    state.budget.approach(1.0)
    state.budget.calibrate(state.policy, beta, state.generator)
    pool = _distinct(_pool(state, beta), beta, settings.evaluated)
    calibration = problem.train.sample(CALIBRATION, state.generator)

    def score(supernet: Supernet, alpha: Architecture) -> Score:
        captures, batch = problem.objective.captures, estimated_on(problem)
        reestimate(supernet, alpha, calibration, problem.device, captures, batch)
        return assess(problem, supernet, alpha, original)

    shares = {key(alpha): state.budget.share(alpha) for alpha in pool}
    bands = _bands(shares, settings.finalists if state.budget.target is None else 1)
    rescored = _RESCORED * settings.finalists // max(1, len(bands))
    stage = Stage(progress, "select", len(pool) + sum(min(rescored, len(band)) for band in bands))
    by_supernet: dict[str, float] = {}
    for alpha in pool:
        state.scored[key(alpha)] = score(state.supernet, alpha)
        by_supernet[key(alpha)] = state.scored[key(alpha)].ranking
        stage.advance()
    given = Supernet(problem.network).to(problem.device)
    ranked: list[list[tuple[float, str, bool]]] = []
    for band in bands:
        best: list[tuple[float, str, bool]] = []
        for text in sorted(band, key=by_supernet.__getitem__, reverse=True)[:rescored]:
            found = score(given, from_key(beta, text))
            by_file = found.ranking
            if by_file >= by_supernet[text]:
                state.scored[text] = found
            best.append((max(by_file, by_supernet[text]), text, by_supernet[text] > by_file))
            stage.advance()
        ranked.append(sorted(best, reverse=True))
    in_turn = [entry for row in zip_longest(*ranked) for entry in row if entry is not None]
    chosen = in_turn[: 2 * settings.finalists]
    _log.info("select: %d α's scored; %d finalists, with reserves %d", len(pool), settings.finalists, len(chosen))
    for ranking, text, from_supernet in chosen:
        _log.info(
            "select: validation %s %.4g, ranked by %.4f, cost %.3f, from %s weights",
            problem.objective.measure,
            problem.objective.unit.scale * state.scored[text].value,
            ranking,
            shares[text],
            "the supernet's" if from_supernet else "the file's",
        )
    return {text: from_supernet for _, text, from_supernet in chosen}


def _bands(shares: Mapping[str, float], count: int) -> list[list[str]]:
    """Divide α's by cost into bands of equal size, dearest first; fewer where there are fewer α's than bands.

    Without a cost target each band has a finalist, so that cheap α's are tried beside dear ones. Under a target all are
    about as cheap: one band.
    """
    texts = sorted(shares, key=shares.__getitem__, reverse=True)
    edges = [len(texts) * band // count for band in range(count + 1)]
    return [texts[start:end] for start, end in pairwise(edges) if end > start]


def _pool(state: SearchState, beta: Architecture) -> Iterable[Architecture]:
    """Yield α's within the limits, the search's best and the policy's in turn, then random ones."""
    meets_target, tilt = state.budget.met_by, state.budget.logits(beta)
    seen = [(text, visit) for text, visit in state.visits.items() if meets_target(from_key(beta, text))]
    mean = sum(visit.total for _, visit in seen) / max(1, sum(visit.times for _, visit in seen))
    seen.sort(key=lambda item: (item[1].total + mean) / (item[1].times + 1), reverse=True)  # shrunk towards the mean
    visited = [from_key(beta, text) for text, _ in seen]
    with torch.no_grad():
        fresh = draw(state.policy, beta, _FRESH, state.generator, meets_target, tilt).architectures
    likely = greedy(state.policy, beta, state.generator, tilt)
    if meets_target(likely):
        fresh.insert(0, likely)
    for position in range(max(len(visited), len(fresh))):
        yield from visited[position : position + 1]
        yield from fresh[position : position + 1]
    yield from draw(RandomPolicy(), beta, _FRESH, state.generator, meets_target).architectures


def _distinct(pool: Iterable[Architecture], beta: Architecture, most: int) -> list[Architecture]:
    """Take the first `most` of those that compute something of their own, and something else than β."""
    seen = {signature(beta)}
    found: list[Architecture] = []
    for alpha in pool:
        if len(found) == most:
            break
        effective = signature(alpha)
        if effective not in seen:
            seen.add(effective)
            found.append(alpha)
    return found
