"""What a search may be told."""

import math
from dataclasses import dataclass
from typing import Literal

from natonnx.errors import InputError
from natonnx.policy import LEARNERS

__all__ = ["REWARDS", "Reward", "Settings"]

Reward = Literal["score", "likelihood"]
REWARDS: tuple[Reward, ...] = ("score", "likelihood")


@dataclass(frozen=True)
class Settings:
    """Settings of a search; each default is what `natonnx optimize` uses.

    Attributes:
        learner: Policy learner, one of `natonnx.policy.LEARNERS`.
        policy: Where θ starts: "scratch", "pretrained", or a file; see `natonnx.policy.pretrained.load_policy`.
        epochs: Passes of Algorithm 1, each once over the training split (w) and once over the validation split (θ).
        finetune_epochs: Passes over the training split for each finalist, and for β.
        target_madds: Highest cost of α in multiply-adds, as a fraction of β's; None for no target.
        max_drop: Most that α may lose to β on the validation split, in the unit that is printed: points where scores
            are fractions, else the objective's own. Where None: nothing; 5 points where the objective is agreement with
            the original, which agrees with itself wholly.
        seed: Of everything random.
        time_budget: Seconds that the search should take at most; it does fewer epochs then.
        reward: What R measures: the objective's score, or the mean loss with a minus sign, which for labels is the mean
            log-likelihood in nats.
        alphas: α's drawn for each β (the paper's n).
        batch: Training batch.
        reward_batch: Validation minibatch on which α and β are compared.
        learning_rate: Of w in the search; low, since shared weights diverge (docs/design/search.md#shared-weights).
        finetune_learning_rate: At the start of fine-tuning; a cosine takes it to 0.
        policy_learning_rate: Of θ, by Adam.
        entropy: λ at the start; a line takes it to 0.
        edits: Edges that the first α's change on average.
        distillation: Share of the loss that follows β's own outputs instead of the labels.
        evaluated: α's that selection scores on the whole validation split.
        finalists: α's that are fine-tuned.
    """

    learner: str = LEARNERS[0]
    policy: str = "scratch"
    epochs: int = 8
    finetune_epochs: int = 5
    target_madds: float | None = None
    max_drop: float | None = None
    seed: int = 0
    time_budget: float | None = None
    reward: Reward = "score"
    alphas: int = 8
    batch: int = 64
    reward_batch: int = 125
    learning_rate: float = 0.01
    finetune_learning_rate: float = 0.02
    policy_learning_rate: float = 0.003
    entropy: float = 0.003
    edits: float = 3.0
    distillation: float = 0.5
    evaluated: int = 18
    finalists: int = 3

    @property
    def target(self) -> float | None:
        """Highest cost of α by the first price, as a fraction of β's; None for no target."""
        return self.target_madds

    def __post_init__(self) -> None:
        checks = (
            (self.learner in LEARNERS, f"unknown learner {self.learner!r}: choose one of {', '.join(LEARNERS)}"),
            (
                self.reward in REWARDS,
                f"unknown reward {self.reward!r}: choose {' or '.join(REWARDS)}; functions go to optimize(reward=...)",
            ),
            (self.epochs >= 1, f"epochs {self.epochs} must be at least 1"),
            (self.finetune_epochs >= 0, f"fine-tuning epochs {self.finetune_epochs} must not be negative"),
            (
                self.target_madds is None or 0 < self.target_madds <= 1,
                f"MAdds target {self.target_madds} must be above 0 and at most 1: a fraction of the input model's",
            ),
            (
                self.max_drop is None or 0 <= self.max_drop < math.inf,
                f"max drop {self.max_drop} must be 0 or more: points, or the unit of your own objective",
            ),
            (
                self.time_budget is None or 0 < self.time_budget < math.inf,
                f"time budget {self.time_budget} must be seconds above 0",
            ),
            (self.alphas >= 2, f"alphas {self.alphas} must be at least 2: their rewards are each other's baseline"),
            (self.edits > 0, f"edits {self.edits} must be above 0: the first α's change so many edges on average"),
            (self.batch >= 2, f"batch {self.batch} must be at least 2 samples"),
            (self.reward_batch >= 2, f"reward batch {self.reward_batch} must be at least 2 samples"),
            (self.evaluated >= 1, f"evaluated {self.evaluated} must be at least 1"),
            (self.finalists >= 1, f"finalists {self.finalists} must be at least 1"),
        )
        for passed, message in checks:
            if not passed:
                raise InputError(message)
