"""A whole search: look α's up, and spend the training images on the few that are worth them."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch

from natonnx.architecture import Architecture, transition_mask
from natonnx.search.assess import assess, original_runner
from natonnx.search.clock import Clock
from natonnx.search.finetune import Finetuning, Limit, count_samples
from natonnx.search.keys import from_key, key
from natonnx.search.look import Looker, as_arrays, refit_on
from natonnx.search.lookup import Lookups
from natonnx.search.outcome import Candidate, Images, Outcome, Scored
from natonnx.search.paper import search_by_algorithm_1
from natonnx.search.problem import Problem
from natonnx.search.progress import Progress, Stage, silent
from natonnx.search.propose import make_proposer
from natonnx.search.propose.moves import Moves
from natonnx.search.runner import Runner
from natonnx.search.score import Score
from natonnx.search.settings import Settings
from natonnx.search.spend import Halving, Start, planned_images
from natonnx.supernet import Supernet

__all__ = ["LADDER", "search"]

_log = logging.getLogger(__name__)

LADDER = (0.8, 0.65, 0.5, 0.4, 0.3)
"""Costs, as fractions of β's, that are tried one after the other where there is no target."""
_LOOK_UP_SHARE = 0.3
"""Of the time that is left, for look-ups."""
_REFIT = 640
"""Training samples on which the weights are refitted that training starts from, or that are written without any."""
_SCORED = 200
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
    """
    progress, save = progress or silent, save or (lambda _state: None)
    clock = clock or Clock(settings.time_budget)
    given = Supernet(problem.network).to(problem.device).eval()
    original = original_runner(problem, given)
    beta = problem.network.architecture
    _log.debug("settings: %s", settings)
    if not (transition_mask(beta).sum(1) > 1).any():
        _log.info("no edge of the model may change: nothing is searched")
        return Outcome(None, ())
    if settings.algorithm == "paper":
        return search_by_algorithm_1(
            problem, settings, original, clock, enough=enough, progress=progress, resume=resume, save=save
        )
    return _Search(problem, settings, given, original, clock, progress, save).run(enough, resume)


class _Search:
    """One search, and what it knows so far."""

    def __init__(
        self,
        problem: Problem,
        settings: Settings,
        given: Supernet,
        original: Runner,
        clock: Clock,
        progress: Progress,
        save: Save,
    ) -> None:
        self.problem, self.settings, self.original, self.clock = problem, settings, original, clock
        self.progress, self._save = progress, save
        self.beta = problem.network.architecture
        self.looker = Looker(problem, given, original, settings.seed)
        self.refit = refit_on(problem, given, _REFIT, settings.seed)
        self.given = given
        self.done: list[Candidate] = []
        self.training, self.teacher = 0.0, 0.0
        self.halving: Halving | None = None
        self._resumed: Mapping[str, Any] | None = None

    def run(self, enough: Callable[[Outcome], bool], resume: Mapping[str, Any] | None) -> Outcome:
        """Look up, and go down the targets."""
        if resume is not None:
            self._load(resume)
        targets = self.settings.targets or LADDER
        lookups = self._look_up(targets)
        tried = list(self.done)
        for target in targets:
            found = next((done for done in tried if done.target == target), None) or self._candidate(lookups, target)
            if found is None:
                _log.info("no architecture at %.3g of the cost was looked up", target)
                continue
            if found not in self.done:
                self.done.append(found)
                self.save()
            out_of_time = self.clock.left is not None and self.clock.left <= 0
            if out_of_time or (not self.settings.targets and not enough(self._outcome((found,)))):
                break
        return self._outcome(tuple(self.done))

    def _look_up(self, targets: tuple[float, ...]) -> Lookups:
        """Look up what the proposer proposes."""
        settings, price = self.settings, self.problem.prices[0]
        until = None if self.clock.left is None else (1 - _LOOK_UP_SHARE) * self.clock.left
        limit = settings.lookups or _usual_lookups(Moves(self.beta, price), targets)
        stage = Stage(self.progress, "look up", limit)

        def score(alpha: Architecture) -> float:
            known = len(self.looker.scores)
            found = self.looker(alpha)
            if len(self.looker.scores) % 10 == 0 and len(self.looker.scores) > known:
                self.save()
            stage.advance(f"score {found:.4g}")
            return found

        def stop() -> bool:
            return until is not None and (self.clock.left or 0.0) < until

        lookups = Lookups(self.beta, price, score, limit, stop)
        proposer = make_proposer(settings.learner, edits=settings.edits, seed=settings.seed, policy=settings.policy)
        proposer.propose(lookups, targets, torch.Generator().manual_seed(settings.seed))
        _log.info("look up: %d architectures, %d images", lookups.used, self.looker.images)
        self.save()
        return lookups

    def _candidate(self, lookups: Lookups, target: float) -> Candidate | None:
        """Make the candidate of a target: the most promising α's, refitted, and trained as far as that is wanted."""
        entries = lookups.within(target)[: 2 * self.settings.finalists]
        starts = [self._start(entry.architecture) for entry in entries]
        ranked = sorted(starts, key=lambda pair: pair[0].ranking, reverse=True)[: self.settings.finalists]
        if not ranked:
            return None
        for score, start in ranked:
            share = lookups.share(start.architecture)
            _log.info("finalist at %.3g of the cost: held-out score %.4g, ranked by %.4g", share, *score[:2])
        if not self.settings.training:
            return self._finished(self._training(ranked[0][1], Limit(0)), target, 0, settle=False)
        limit = self._limit()
        self.halving = Halving(
            lambda start: self._training(start, limit),
            self._score,
            [start for _, start in ranked],
            self.progress,
            self.save,
        )
        if self._resumed is not None:
            self.halving.load_dict(self._resumed)
            self._resumed = None
        start, training = self.halving.run()
        self.training += self.halving.images
        self.teacher += self.halving.images / 3 if training.follows else 0.0
        self.halving = None
        return self._finished(training, target, start.images + training.images, settle=True)

    def _limit(self) -> Limit:
        """Return how long each architecture of a target may be trained."""
        images = round(self.settings.finetune_epochs * count_samples(self.problem.train))
        left = self.clock.left
        if left is None:
            return Limit(images)
        rest = len(self.settings.targets or LADDER[:2]) - len(self.done)
        return Limit(images, left / max(1, rest) / _overhead(self.settings.finalists))

    def _start(self, alpha: Architecture) -> tuple[Score, Start]:
        """Choose where an α starts: from refitted weights, the file's, or those of the candidate before it."""
        changed, _ = self.refit.run(alpha)
        self.looker.images += _REFIT
        options = [Start(alpha, as_arrays(changed)), Start(alpha, {})]
        if self.done:
            options.append(Start(alpha, self.done[-1].weights, self.done[-1].images))
        scored = [(self._scored(option), option) for option in options]
        return max(scored, key=lambda pair: pair[0].ranking)

    def _scored(self, start: Start) -> Score:
        return self.looker.score(start.architecture, {k: torch.from_numpy(v) for k, v in start.weights.items()})

    def _training(self, start: Start, limit: Limit) -> Finetuning:
        return Finetuning(
            self.problem,
            start.architecture,
            self.settings,
            original=self.original,
            limit=limit,
            start=start.weights,
        )

    def _score(self, training: Finetuning) -> Score:
        """Score a training as it stands, on the held-out samples."""
        training.settle()
        return self.looker.score(training.architecture, training.supernet.named_tensors())

    def _finished(self, training: Finetuning, target: float, images: int, *, settle: bool) -> Candidate:
        if settle:
            training.settle()
        score = assess(self.problem, training.supernet, training.architecture, self.original)
        return Candidate(training.architecture, training.supernet.weights(), score, target, images)

    def _outcome(self, candidates: tuple[Candidate, ...]) -> Outcome:
        ranked = sorted(candidates, key=lambda found: found.validation[:2], reverse=True)
        best = sorted(self.looker.scores.items(), key=lambda item: item[1].ranking, reverse=True)[:_SCORED]
        scored = tuple(Scored(from_key(self.beta, text), score) for text, score in best)
        images = Images(self.looker.images / 3, self.training, self.teacher)
        return Outcome(None, tuple(ranked), (), scored, images)

    # Checkpoints

    def save(self) -> None:
        """Save what is known."""
        self._save(
            {
                "looker": self.looker.to_dict(),
                "done": [
                    {
                        "states": key(found.architecture),
                        "weights": {name: torch.from_numpy(value) for name, value in found.weights.items()},
                        "validation": found.validation.plain(),
                        "target": found.target,
                        "images": found.images,
                    }
                    for found in self.done
                ],
                "training": self.training,
                "teacher": self.teacher,
                "halving": None if self.halving is None else self.halving.to_dict(),
            }
        )

    def _load(self, state: Mapping[str, Any]) -> None:
        self.looker.load_dict(state["looker"])
        self.done = [
            Candidate(
                from_key(self.beta, found["states"]),
                {name: value.numpy() for name, value in found["weights"].items()},
                Score(*found["validation"]),
                found["target"],
                found["images"],
            )
            for found in state["done"]
        ]
        self.training, self.teacher = state["training"], state["teacher"]
        self._resumed = state["halving"]
        _log.info("resumed behind %d look-ups and %d candidates", len(self.looker.scores), len(self.done))


def _usual_lookups(moves: Moves, targets: tuple[float, ...]) -> int:
    """Return how many look-ups a space is worth: each transition once, and some for their combinations."""
    return min(200, len(moves.savers) + 30) + 10 * (len(targets) - 1)


def _overhead(finalists: int) -> float:
    """Return the training of all finalists together, as a multiple of that of the one that is left."""
    return planned_images(1_000_000, finalists) / 1_000_000
