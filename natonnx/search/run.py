"""A whole search: look α's up, and spend the training images on the few that are worth them."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch

from natonnx.architecture import LETTERS, Architecture, transition_mask
from natonnx.data.load_options import LoadOptions
from natonnx.errors import restoring
from natonnx.notices import NOTICE
from natonnx.search.assess import original_runner
from natonnx.search.clock import Clock
from natonnx.search.effort import LADDER, likely_targets, usual_lookups
from natonnx.search.keys import from_key, key, signature
from natonnx.search.lookup import Lookups
from natonnx.search.make import Maker
from natonnx.search.outcome import Candidate, Images, Outcome, Scored
from natonnx.search.paper import search_by_algorithm_1
from natonnx.search.parallel.executor import Executor, InProcess
from natonnx.search.parallel.tasks import LookUp, RankByGiven, score_of
from natonnx.search.parallel.worker import Worker
from natonnx.search.problem import Problem
from natonnx.search.progress import Progress, Stage, silent
from natonnx.search.propose import make_proposer
from natonnx.search.propose.additive import compose_singles
from natonnx.search.propose.greedy import Greedy
from natonnx.search.propose.moves import Moves
from natonnx.search.propose.variation import EXPLORED
from natonnx.search.reach import nearest
from natonnx.search.samples import Samples
from natonnx.search.score import Score
from natonnx.search.settings import Settings
from natonnx.search.targets import targets_of
from natonnx.supernet import Supernet

__all__ = ["search"]

_log = logging.getLogger(__name__)

_FIRST_RUNG = 0.9
"""Where the first of the ladder loses too much."""
_LOOK_UP_SHARE = 0.3
"""Of the time that is left, for look-ups."""
_RIVAL_SHARE = 0.15
"""Of what is left then, for greedy removal by the file's weights."""
_SPARE = 30
"""Of its look-ups, beside two for each transition."""
_FINISH_SHARE = 0.25
"""Of it, for all that a target takes besides training."""
_LONGER = 2.0
"""What a look-up takes, times that of β, where nothing is refitted."""
_SETTLINGS = 5
"""Times that α's are measured for a target, where costs are predicted."""
_SAVED = 10
"""Look-ups behind which the state is saved."""
_TOLD = 200
"""Look-ups that are told of."""

Save = Callable[[Mapping[str, Any]], None]


def search(
    problem: Problem,
    settings: Settings,
    *,
    clock: Clock | None = None,
    enough: Callable[[Outcome], bool] = lambda _outcome: True,
    progress: Progress | None = None,
    resume: Mapping[str, Any] | None = None,
    save: Save | None = None,
    executor: Callable[[Worker], Executor] = InProcess,
) -> Outcome:
    """Search a better architecture.

    Args:
        problem: Model and data.
        settings: Settings.
        clock: Of the time budget; one that begins now where None.
        enough: Whether one of some candidates will do. Without a cost target the search goes on to cheaper ones as long
            as the last one will; Algorithm 1 trains its reserves as long as none will.
        progress: Told of every step.
        resume: State of an interrupted search of the same problem and settings.
        save: Called with the state again and again.
        executor: Makes what carries out the independent parts: in this process, unless it spreads them.
    """
    progress, save = progress or silent, save or (lambda _state: None)
    clock = clock or Clock(settings.time_budget)
    _log.debug("settings: %s", settings)
    if not (transition_mask(problem.network.architecture).sum(1) > 1).any():
        _log.info("no edge of the model may change: nothing is searched")
        return Outcome(None, ())
    if settings.algorithm == "paper":
        original = original_runner(problem, Supernet(problem.network).to(problem.device).eval())
        return search_by_algorithm_1(
            problem, settings, original, clock, enough=enough, progress=progress, resume=resume, save=save
        )
    if resume is None:
        samples = _samples(problem, settings, clock)
    else:
        with restoring():
            samples = Samples(**resume["samples"])
    worker = Worker(problem, settings, samples)
    return _Search(worker, executor(worker), settings, clock, progress, save).run(enough, resume)


def _samples(problem: Problem, settings: Settings, clock: Clock) -> Samples:
    """Return how many samples are looked at besides training, as memory and time allow."""
    samples = Samples().fitting(problem)
    if samples != Samples().fitting(replace(problem, loading=LoadOptions())):
        told = "memory leaves room for %d samples that look-ups score, %d that they refit on, and %d at a start"
        _log.log(NOTICE, told, samples.held_out, samples.calibrated, samples.refitted)
    if clock.left is None or clock.each is None:
        return samples
    share = _FINISH_SHARE * clock.left / len(likely_targets(problem, settings))
    return samples.within(share, clock.each, settings.finalists)


class _Search:
    """One search, and what it knows so far."""

    def __init__(
        self,
        worker: Worker,
        executor: Executor,
        settings: Settings,
        clock: Clock,
        progress: Progress,
        save: Save,
    ) -> None:
        self._problem, self._executor, self._looker = worker.problem, executor, worker.looker
        self._settings, self._clock, self._progress, self._save = settings, clock, progress, save
        self._beta, self._price = self._problem.network.architecture, self._problem.prices[0]
        self._moves = Moves(self._beta, self._price)
        self._proposer = make_proposer(
            settings.learner, edits=settings.edits, seed=settings.seed, policy=settings.policy
        )
        self._given = targets_of(self._problem.prices, settings)
        self._targets = self._given or LADDER
        self._maker = Maker(worker, executor, settings, clock, progress, self.save)
        self._samples = worker.samples
        self._done: list[Candidate] = []
        self._resumed: Mapping[str, Any] | None = None
        self._rivals: Lookups | None = None

    def run(self, enough: Callable[[Outcome], bool], resume: Mapping[str, Any] | None) -> Outcome:
        """Look up, and go down the targets."""
        if resume is not None:
            with restoring():
                self._load(resume)
        lookups = self._look_up()
        self._rivals = self._go_down_by_given()
        if self._settings.weights == "scratch" and self._maker.beta is None:
            resumed, self._resumed = self._resumed, None
            self._maker.make_beta(resumed)
            self.save()
        for target in self._targets:
            if self._is_late() and self._done:
                _log.log(NOTICE, "no time was left for %g of the cost, and what is cheaper", target)
                break
            found = self._candidate(lookups, target)
            if found is None:
                told = NOTICE if self._given else logging.INFO
                _log.log(told, "no architecture at %g of the cost was found", target)
            elif not self._given and not enough(self._outcome((found,), lookups)):
                if len(self._done) == 1 and not self._is_late():
                    self._first_rung(lookups)
                break
        if not self._given and not self._done:
            self._first_rung(lookups)
        return self._outcome(tuple(self._done), lookups)

    def _is_late(self) -> bool:
        return self._clock.left is not None and self._clock.left <= 0

    def _first_rung(self, lookups: Lookups) -> None:
        """Make one more candidate, of little less than the whole cost, where the ladder's do not do."""
        cheapest = min((entry.share for entry in lookups.within(1.0)), default=1.0)
        if cheapest < 1.0:
            self._candidate(lookups, max(_FIRST_RUNG, cheapest))

    def _look_up(self) -> Lookups:
        """Look up what the proposer proposes."""
        settings = self._settings
        limit = settings.lookups or usual_lookups(self._moves, self._targets)
        left, stop = self._clock.left, self._stop(_LOOK_UP_SHARE)
        if left is not None:
            begun = time.monotonic()
            self._looker(self._beta)
            limit = max(1, min(limit, int(_LOOK_UP_SHARE * left / (_LONGER * max(1e-9, time.monotonic() - begun)))))

        def score(alpha: Architecture) -> float:
            known = len(self._looker.scores)
            found = self._looker(alpha)
            if known < len(self._looker.scores) and len(self._looker.scores) % _SAVED == 0:
                self.save()
            return found

        lookups = self._lookups("look up", score, self._look_ahead, limit, stop)
        self._proposer.propose(lookups, self._targets, torch.Generator().manual_seed(settings.seed))
        _log.info("look up: %d architectures", lookups.used)
        self.save()
        return lookups

    def _go_down_by_given(self) -> Lookups | None:
        """Remove greedily by the file's own weights: what that leads to has a place among the finalists.

        Where refits leave many α's alike, what they can do without one tells more (docs/search.md#rivals). Operations
        are left out, not exchanged: so the paper's transitions have their say beside those of NAT++.
        """
        if self._problem.reward is not None:
            return None
        moves = Moves(self._beta, self._price, LETTERS)
        limit = 2 * len(moves.savers) + _SPARE
        rank, ahead = self._looker.rank_by_given, self._rank_ahead
        lookups = self._lookups("remove", rank, ahead, limit, self._stop(_RIVAL_SHARE))
        Greedy().explore(lookups, moves, min(self._targets))
        self.save()
        return lookups

    def _lookups(
        self,
        stage: str,
        rank: Callable[[Architecture], float],
        ahead: Callable[[Sequence[Architecture]], None],
        limit: int,
        stop: Callable[[], bool],
    ) -> Lookups:
        """Make look-ups that are told of as a stage."""
        told = Stage(self._progress, stage, limit)

        def score(alpha: Architecture) -> float:
            found = rank(alpha)
            if alpha is not self._beta:
                told.advance(f"score {found:.4g}")
            return found

        return Lookups(self._beta, self._price, score, limit, stop, ahead, lambda: self._executor.width)

    def _look_ahead(self, alphas: Sequence[Architecture]) -> None:
        """Look up architectures at once, so that they are known when they are asked for."""
        unknown = [alpha for alpha in alphas if signature(alpha) not in self._looker.scores]
        for alpha, found in zip(unknown, self._executor.map([LookUp(key(a)) for a in unknown]), strict=True):
            self._looker.scores[signature(alpha)] = score_of(found)
        self.save()

    def _rank_ahead(self, alphas: Sequence[Architecture]) -> None:
        """Rank architectures by the file's own weights at once."""
        unknown = [alpha for alpha in alphas if signature(alpha) not in self._looker.by_given]
        for alpha, found in zip(unknown, self._executor.map([RankByGiven(key(a)) for a in unknown]), strict=True):
            self._looker.by_given[signature(alpha)] = found["rank"]

    def _stop(self, share: float) -> Callable[[], bool]:
        """Return what tells when a share of the time that is left now is used."""
        left = self._clock.left
        return lambda: left is not None and (self._clock.left or 0.0) < (1 - share) * left

    def _candidate(self, lookups: Lookups, target: float) -> Candidate | None:
        """Return the candidate of a target: of an earlier run of the same search, or a new one."""
        for found in self._done:
            if found.target == target:
                return found
        resumed, self._resumed = self._resumed, None
        alphas, rival = ([], None) if resumed else self._affordable(lookups, target)
        if not alphas and resumed is None:
            return None
        found = self._maker.make(alphas, target, self._done, rival=rival, resumed=resumed)
        self._done.append(found)
        self.save()
        return found

    def _affordable(self, lookups: Lookups, target: float) -> tuple[list[Architecture], Architecture | None]:
        """Return the most promising α's of a target, and the rival; only such as really meet it.

        What is measured corrects the prediction, and so what is promising.
        """
        alphas: list[Architecture] = []
        rival: Architecture | None = None
        for _ in range(_SETTLINGS):
            alphas = self._promising(lookups, target) or self._unseen(lookups, target)
            rival = self._rival(alphas, target) if alphas else None
            if not self._price.settle([*alphas, *([] if rival is None else [rival])]):
                break
            for known in filter(None, (lookups, self._rivals)):
                known.reprice()
        met = [alpha for alpha in alphas if lookups.share(alpha) <= target]
        return met, rival if rival is not None and lookups.share(rival) <= target else None

    def _rival(self, alphas: Sequence[Architecture], target: float) -> Architecture | None:
        """Return what greedy removal led to, unless that is known or leaves much of what a target allows unused."""
        entries = [] if self._rivals is None else self._rivals.within(target)[:1]
        known = {signature(alpha) for alpha in alphas}
        for entry in entries:
            if entry.share >= EXPLORED * target and signature(entry.architecture) not in known:
                return entry.architecture
        return None

    def _promising(self, lookups: Lookups, target: float) -> list[Architecture]:
        """Return the best α's of a target that differ in what they leave out, not in added shortcuts alone."""
        moves, found = self._moves, dict[bytes, Architecture]()
        for entry in lookups.within(target):
            found.setdefault(moves.within([entry.architecture])[0, moves.savers].tobytes(), entry.architecture)
            if len(found) == 2 * self._settings.finalists:
                break
        return list(found.values())

    def _unseen(self, lookups: Lookups, target: float) -> list[Architecture]:
        """Return an α that meets a target that no look-up met; nothing where there is none."""
        found = compose_singles(lookups, self._moves, target, torch.Generator().manual_seed(self._settings.seed))
        if found is not None:
            _log.info("no look-up met %g of the cost: what single ones lost decides", target)
            return [found]
        found = nearest(self._beta, self._price, target) if self._given else None
        return [] if found is None else [found]

    def _outcome(self, candidates: tuple[Candidate, ...], lookups: Lookups) -> Outcome:
        ranked = sorted(candidates, key=lambda found: found.validation[:2], reverse=True)
        best, scores = lookups.within(1.0)[:_TOLD], self._looker.scores
        scored = tuple(Scored(entry.architecture, scores[signature(entry.architecture)]) for entry in best)
        images = Images(self._looker.images / 3, self._maker.training, self._maker.teacher)
        return Outcome(self._maker.beta, tuple(ranked), (), scored, images, self._proposer.policy)

    # Checkpoints

    def save(self) -> None:
        """Save what is known."""
        halving = self._maker.halving
        self._save(
            {
                "samples": asdict(self._samples),
                "looker": self._looker.to_dict(),
                "beta": None if self._maker.beta is None else _to_dict(self._maker.beta),
                "done": [_to_dict(found) for found in self._done],
                "training": self._maker.training,
                "teacher": self._maker.teacher,
                "halving": self._resumed if halving is None else halving.to_dict(),
            }
        )

    def _load(self, state: Mapping[str, Any]) -> None:
        self._looker.load_dict(state["looker"])
        self._done = [self._from_dict(found) for found in state["done"]]
        self._maker.beta = None if state["beta"] is None else self._from_dict(state["beta"])
        self._maker.training, self._maker.teacher = state["training"], state["teacher"]
        self._resumed = state["halving"]
        _log.info("resumed behind %d look-ups and %d candidates", len(self._looker.scores), len(self._done))

    def _from_dict(self, state: Mapping[str, Any]) -> Candidate:
        weights = {name: value.numpy() for name, value in state["weights"].items()}
        score = Score(*state["validation"])
        return Candidate(from_key(self._beta, state["states"]), weights, score, state["target"], state["images"])


def _to_dict(found: Candidate) -> dict[str, Any]:
    return {
        "states": key(found.architecture),
        "weights": {name: torch.from_numpy(value) for name, value in found.weights.items()},
        "validation": found.validation.plain(),
        "target": found.target,
        "images": found.images,
    }
