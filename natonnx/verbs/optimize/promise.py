"""A promise about the loss: judged on the test part, which nothing was selected on."""

import logging
from collections.abc import Callable

from natonnx.contract.objective import SplitName
from natonnx.notices import NOTICE
from natonnx.search import Candidate, Constraint, Criteria, promised
from natonnx.search.promise import promise_of
from natonnx.verbs.objectives import FEWEST, check_samples
from natonnx.verbs.optimize.rebuild import Workshop

__all__ = ["SPLIT", "make_promise", "tell_promise"]

_log = logging.getLogger(__name__)

SPLIT: SplitName = "test"


def make_promise(workshop: Workshop, criteria: Criteria, confidence: float) -> Callable[[Candidate], Constraint]:
    """Return what judges a candidate's file against the input's on the test part; each is run on it once."""
    before, least = workshop.original.test_score, workshop.prepared.problem.objective.least
    assert before is not None, "a promise needs a test part"

    def judge(candidate: Candidate) -> Constraint:
        after = workshop.test_score(workshop.rebuild(candidate))
        assert after is not None, "the input was scored on the test part"
        found = promise_of(before, after, criteria.max_drop / criteria.unit.scale, confidence, least)
        return promised(found, criteria, SPLIT)

    return judge


def tell_promise(workshop: Workshop, criteria: Criteria, confidence: float, *, force: bool) -> None:
    """Say, once on a command's stderr, what the test part can promise: of a model that scores as the input does.

    Raises:
        InputError: If hardly any of its samples differ, unless forced.
    """
    prepared, before, test = workshop.prepared, workshop.original.test_score, workshop.prepared.parts.test
    assert before is not None, "a promise needs a test part"
    assert test is not None, "a promise needs a test part"
    path, objective = prepared.source.path, prepared.problem.objective
    if before.samples >= FEWEST:  # of fewer the bound itself tells
        check_samples(path, objective, test, force=force, name=SPLIT)
    best = promise_of(before, before, criteria.max_drop / criteria.unit.scale, confidence, objective.least)
    unit, scale = criteria.unit.difference or criteria.measure, criteria.unit.scale
    told = f"{path}: of a model that scores the same on all {best.samples:,} {SPLIT} samples they rule out a loss above"
    told = f"{told} {scale * best.bound:.3g} {unit}, at {100 * confidence:g} % confidence"
    if best.met:
        _log.log(NOTICE, "%s", told)
    else:
        enough = "" if best.enough is None else f", or about {best.enough:,} samples"
        _log.warning("%s; to rule out one above %g takes a model that gains%s", told, criteria.max_drop, enough)
