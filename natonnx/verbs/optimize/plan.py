"""Before the work: what will be done, about how long it takes, and what a time budget leaves of the held-out data."""

import logging
import math
import time
from dataclasses import replace

import numpy as np
import torch

from natonnx.architecture import Architecture, transition_mask
from natonnx.data import ArrayBatches, Batches
from natonnx.data.indexing import kept_bytes
from natonnx.errors import InputError
from natonnx.notices import NOTICE
from natonnx.search import Settings, expected
from natonnx.search.effort import likely_targets
from natonnx.search.price import Price, share
from natonnx.search.reach import cheapest, least
from natonnx.search.runner import EVALUATION_BATCH, supernet_runner, tensor_batches
from natonnx.search.settings import option_of
from natonnx.search.targets import limited_prices, targets_of
from natonnx.supernet import Supernet
from natonnx.verbs.objectives import FEWEST
from natonnx.verbs.optimize.prepare import Prepared

__all__ = ["check_reach", "keep_held_out", "memory_of", "most_held_out", "seconds_per_sample", "tell_plan", "work_of"]

_log = logging.getLogger(__name__)

_SAMPLES = 64
_SCORING_SHARE = 0.1
"""Of a time budget, for scoring the input on one split."""
_MEASURED = 2.5
"""Times that as much is measured of a target as of a pair of models: its finalists, and what was made."""
_COPIES = 6
"""Of the weights, that training holds: gradients, momentum, averages, the original, the files."""
_LIBRARIES = 700 << 20
"""Bytes that Python, torch, dgl and onnxruntime take."""


def seconds_per_sample(prepared: Prepared) -> float:
    """Return what the model takes for one sample in torch, from one small batch of validation."""
    problem = prepared.problem
    supernet = Supernet(problem.network).to(problem.device).eval()
    run = supernet_runner(supernet, problem.network.architecture, problem.objective.captures)
    samples = problem.validation.sample(_SAMPLES)
    best = float("inf")
    for _ in range(2):  # the first call of a kernel is slow
        for batch in tensor_batches(samples, _SAMPLES, problem.device):
            begun = time.monotonic()
            run(batch.inputs, batch.size)
            if problem.device.type == "cuda":
                torch.cuda.synchronize(problem.device)
            best = min(best, (time.monotonic() - begun) / batch.size)
    return best


def tell_plan(prepared: Prepared, settings: Settings, each: float) -> None:
    """Say, once on a command's stderr, what will be done and about how long it takes.

    Args:
        prepared: The model and its data.
        settings: Of the search.
        each: See `seconds_per_sample`.
    """
    told, seconds = work_of(prepared, settings, each)
    path, beta = prepared.source.path, prepared.source.network.architecture
    changes = int(transition_mask(beta).sum()) - len(beta.states)
    bounds = [(price.label, least(beta, price)) for price in prepared.problem.prices]
    known = ", ".join(f"{label} {bound:.3f}" for label, bound in bounds if bound is not None)
    told_bounds = f"; of the input's costs at least remain: {known}" if known else ""
    _log.log(NOTICE, "%s: %d edges, %d legal transitions%s", path, len(beta.states), changes, told_bounds)
    limit, memory = settings.time_budget, memory_of(prepared, settings) / 2**30
    about = f"about {seconds:.0f} s" if limit is None or seconds < limit else f"cut down to {limit:.0f} s"
    _log.log(NOTICE, "%s: %s; %s, %.1f GiB of memory", path, told, about, memory)


def work_of(prepared: Prepared, settings: Settings, each: float) -> tuple[str, float]:
    """Return what will be done, in words, and about how many seconds that would take without a time budget."""
    work = expected(prepared.problem, settings)
    splits = (prepared.parts.validation, prepared.parts.test)
    scored = 2 * sum(split.samples or 0 for split in splits if split is not None)
    once = 0.0 if prepared.meter is None else _MEASURED * prepared.meter.stopwatch.seconds
    measured = once * len(likely_targets(prepared.problem, settings))
    return work.told, (work.passes + scored) * each + measured


def memory_of(prepared: Prepared, settings: Settings) -> int:
    """Guess the bytes that a search needs: the data, weights, and the feature maps of a batch in training."""
    network, parts = prepared.problem.network, prepared.parts
    maps = sum(
        math.prod(size for size in fmap.shape[1:] if isinstance(size, int))
        for fmap in network.architecture.topology.maps
    )
    splits = [split for split in (parts.train, parts.validation, parts.test) if split is not None]
    held = sum(2 * _array_bytes(split) for split in splits) + kept_bytes(splits)
    running = max(2 * settings.batch * maps, EVALUATION_BATCH * maps)
    return int(_LIBRARIES + held + 4 * running + _COPIES * prepared.source.size_bytes)


def _array_bytes(split: Batches) -> int:
    return sum(value.nbytes for value in split.inputs.values()) if isinstance(split, ArrayBatches) else 0


def check_reach(prepared: Prepared, settings: Settings) -> None:
    """Refuse, before any work, a target that no architecture meets.

    Raises:
        InputError: Saying how far the cost can be brought down.
    """
    prices, beta = prepared.problem.prices, prepared.source.network.architecture
    targets = targets_of(prices, settings)
    if not targets:
        return
    alpha = cheapest(beta, prices[0], min(targets))
    prices[0].settle([alpha])
    if prices[0].cost(alpha) <= min(targets) * prices[0].full:
        return
    alpha = cheapest(beta, prices[0])
    prices[0].settle([alpha])
    missed = [
        f"{option_of(price.name)}: {limit:.3g} of the input's {price.label} cannot be reached, "
        f"{_told_least(beta, price, share(price, alpha))}"
        for price, limit in limited_prices(prices, min(targets))
        if price.cost(alpha) > limit * price.full
    ]
    if missed:
        raise InputError(f"{prepared.source.path}: {'; '.join(missed)}; ask for less, or include more edges")


def _told_least(beta: Architecture, price: Price, found: float) -> str:
    bound = least(beta, price)
    is_least = bound is not None and np.isclose(found, bound, atol=1e-6)
    return f"{'nothing is below' if is_least else 'the least that was found is'} {found:.3f}"


def most_held_out(settings: Settings, each: float) -> int | None:
    """Return how many samples of a split a time budget is long enough to score; None where there is no budget."""
    budget = settings.time_budget
    return None if budget is None else max(FEWEST, int(_SCORING_SHARE * budget / max(each, 1e-9)))


def keep_held_out(prepared: Prepared, most: int | None, seed: int) -> Prepared:
    """Leave out held-out samples beyond so many, drawn at random, and note it; none where `most` is None."""
    if most is None:
        return prepared
    parts, notes = prepared.parts, list(prepared.parts.notes)
    cut = {}
    for name in ("validation", "test"):
        split = getattr(parts, name)
        if split is None or split.samples is None or split.samples <= most:
            continue
        cut[name] = split.subset(most, torch.Generator().manual_seed(seed))
        notes.append(f"{name}: {most:,} of {split.samples:,} samples, as the time budget is short")
    if not cut:
        return prepared
    parts = replace(parts, notes=tuple(notes), **cut)
    problem = replace(prepared.problem, validation=parts.validation)
    return replace(prepared, parts=parts, problem=problem)
