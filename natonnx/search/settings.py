"""What a search may be told."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from natonnx.errors import InputError
from natonnx.policy import LEARNERS, PROPOSERS, is_learner
from natonnx.search.amount import Amount, amounts

__all__ = ["REWARDS", "Algorithm", "Amp", "Limit", "Protocol", "Recipe", "Reward", "Settings", "Weights", "option_of"]

Algorithm = Literal["refit", "paper"]
Reward = Literal["score", "likelihood"]
Amp = Literal["off", "bf16"]
Weights = Literal["file", "scratch"]
Protocol = Literal["refitted", "fine-tuned", "scratch"]
REWARDS: tuple[Reward, ...] = get_args(Reward)
Limit = float | str | Iterable[float | str] | None
"""Most that something may cost: a fraction of the input's, an amount such as "5ms", several of them, or nothing."""
_LIMITED = {
    "latency_ms": "target_latency",
    "madds": "target_madds",
    "params": "target_params",
    "peak_memory_bytes": "target_memory",
    "size_bytes": "target_size",
}
"""The settings that limit a cost, by the price's name."""


def option_of(price: str) -> str:
    """Return the option that limits a cost, by the price's name."""
    return f"--{_LIMITED[price].replace('_', '-')}"


class Recipe(NamedTuple):
    """How the models that are made are trained.

    Attributes:
        epochs: Passes over the training split.
        learning_rate: The highest, behind a short warm-up; a cosine takes it to 0.
        distillation: Share of the loss that follows β's own outputs instead of the labels.
    """

    epochs: float
    learning_rate: float
    distillation: float


_RECIPES: dict[Weights, Recipe] = {"file": Recipe(6, 0.03, 0.5), "scratch": Recipe(60, 0.1, 0.0)}
"""Where the user does not say."""


@dataclass(frozen=True)
class Settings:
    """Settings of a search; each default is what `natonnx optimize` uses.

    Attributes:
        algorithm: "refit": architectures are looked up by refitted weights, and training goes into the few that are
            worth it. "paper": Algorithm 1, a supernet whose shared weights are trained with the policy.
        learner: What proposes architectures: a policy, one of `natonnx.policy.LEARNERS` or one of your own, as
            "package.module:name" or registered by `natonnx.policy.register_learner`; or, for "refit", a baseline of
            `natonnx.policy.PROPOSERS`.
        policy: Where θ starts: "scratch", "pretrained", or a file; see `natonnx.policy.pretrained.load_policy`.
        target_madds: Most multiply-adds of α, as a fraction of β's, or an amount such as "50M"; or several of them, for
            each of which a model is made; None for no target.
        target_latency: Most that one inference may take, as a fraction of what β takes, or "5ms"; likewise.
        target_params: Most parameters, likewise.
        target_size: Most bytes of the file and its data files, likewise.
        target_memory: Most bytes of a process that loads the file and runs it, likewise. Of several costs that are
            limited at once, each may have one limit only.
        max_drop: Most that α may lose to β on the validation split, in the unit that is printed: points where scores
            are fractions, else the objective's own. Where None: half a point; 5 points where the objective is agreement
            with the original, which agrees with itself wholly; 0 of the user's own reward.
        confidence: At which samples that nothing was selected on must rule out that more than `max_drop` is lost, above
            0.5 and below 1; where None, what validation loses decides.
        seed: Of everything random.
        time_budget: Seconds that all should take at most; there are fewer look-ups then, and less training.
        lookups: Architectures that are looked up; where None as many as the space is worth.
        training: Whether anything is trained; else the refitted weights are what is written.
        weights: Where the training of a model starts: "file", from the file's weights or refitted ones; "scratch", from
            numbers that are drawn anew, and β is trained so too, equally long.
        finetune_epochs: Passes over the training split for each model that is made. Where None 6, from scratch 60.
        finalists: α's of a target whose training begins; half of them are dropped again and again.
        finetune_learning_rate: The highest, behind a short warm-up; a cosine takes it to 0. Where None 0.03, from
            scratch 0.1.
        distillation: Share of the loss that follows β's own outputs instead of the labels. Where None a half, from
            scratch none.
        weight_decay: Of all that is trained but biases, scales and shifts.
        batch: Training batch.
        epochs: Passes of Algorithm 1, each once over the training split (w) and once over the validation split (θ).
        reward: What R measures in Algorithm 1: the objective's score, or the mean loss with a minus sign, which for
            labels is the mean log-likelihood in nats.
        alphas: α's that Algorithm 1 draws for each β (the paper's n).
        reward_batch: Validation minibatch on which it compares α and β.
        learning_rate: Of its w; low, since shared weights diverge (docs/design/search.md#shared-weights).
        policy_learning_rate: Of θ, by Adam.
        entropy: λ at the start; a line takes it to 0.
        edits: Edges that the first α's change on average.
        evaluated: α's that its selection scores on the whole validation split.
        amp: "bf16": training steps run in bfloat16 where torch.autocast does; weights and the loss stay as they are,
            and all that is scored, refitted, verified and written is computed in single precision.
    """

    algorithm: Algorithm = "refit"
    learner: str = LEARNERS[0]
    policy: str = "scratch"
    target_madds: Limit = None
    target_latency: Limit = None
    target_params: Limit = None
    target_size: Limit = None
    target_memory: Limit = None
    max_drop: float | None = None
    confidence: float | None = None
    seed: int = 0
    time_budget: float | None = None
    lookups: int | None = None
    training: bool = True
    weights: Weights = "file"
    finetune_epochs: float | None = None
    finalists: int = 2
    finetune_learning_rate: float | None = None
    distillation: float | None = None
    weight_decay: float = 5e-4
    batch: int = 32
    epochs: int = 8
    reward: Reward = "score"
    alphas: int = 8
    reward_batch: int = 125
    learning_rate: float = 0.01
    policy_learning_rate: float = 0.003
    entropy: float = 0.003
    edits: float = 3.0
    evaluated: int = 18
    amp: Amp = "off"

    @property
    def limits(self) -> dict[str, tuple[Amount, ...]]:
        """What is limited, by the price's name, and the most that it may cost, the largest first."""
        given = {name: getattr(self, field) for name, field in _LIMITED.items()}
        return {name: amounts(value, name, option_of(name)) for name, value in given.items() if value is not None}

    @property
    def recipe(self) -> Recipe:
        """How the models that are made are trained: as the user says, else as usual for where the weights start."""
        given = (self.finetune_epochs, self.finetune_learning_rate, self.distillation)
        usual = _RECIPES[self.weights]
        return Recipe(*(other if one is None else one for one, other in zip(given, usual, strict=True)))

    @property
    def protocol(self) -> Protocol:
        """What the weights of the models that are made are."""
        if self.weights == "scratch":
            return "scratch"
        return "fine-tuned" if self.training else "refitted"

    def __post_init__(self) -> None:
        for field in _LIMITED.values():
            if isinstance(value := getattr(self, field), Iterable) and not isinstance(value, str):
                object.__setattr__(self, field, tuple(value))
        limits = self.limits
        learners = LEARNERS if self.algorithm == "paper" else PROPOSERS
        checks = (
            (
                self.algorithm in get_args(Algorithm),
                f"unknown algorithm {self.algorithm!r}: choose {' or '.join(get_args(Algorithm))}",
            ),
            (
                self.learner in learners or is_learner(self.learner),
                f"unknown learner {self.learner!r}: choose one of {', '.join(learners)}, or package.module:name",
            ),
            (
                self.reward in REWARDS,
                f"unknown reward {self.reward!r}: choose {' or '.join(REWARDS)}; functions go to optimize(reward=...)",
            ),
            (
                is_learner(self.learner) or self.policy == "scratch",
                f"policy {self.policy} is for a learned policy: {self.learner} has none",
            ),
            (self.amp in get_args(Amp), f"unknown amp {self.amp!r}: choose {' or '.join(get_args(Amp))}"),
            (
                self.amp == "off" or self.training,
                f"amp {self.amp} is for training: leave it out, or --no-training",
            ),
            (
                self.weights in get_args(Weights),
                f"unknown weights {self.weights!r}: choose {' or '.join(get_args(Weights))}",
            ),
            (
                self.weights == "file" or self.training,
                f"weights {self.weights} are to be trained: leave that out, or --no-training",
            ),
            (self.epochs >= 1, f"epochs {self.epochs} must be at least 1"),
            (
                self.finetune_epochs is None or 0 <= self.finetune_epochs < math.inf,
                f"fine-tuning epochs {self.finetune_epochs} must be a number, not negative",
            ),
            (
                len(limits) < 2 or all(len(one) == 1 for one in limits.values()),
                "several targets are for one cost: where several costs are limited, give each one limit",
            ),
            (
                self.algorithm != "paper" or all(len(one) == 1 for one in limits.values()),
                "several targets of a cost are for --algorithm refit: Algorithm 1 looks for one",
            ),
            (
                self.algorithm != "paper" or self.training,
                "no training is for --algorithm refit: Algorithm 1 trains shared weights",
            ),
            (
                self.max_drop is None or 0 <= self.max_drop < math.inf,
                f"max drop {self.max_drop} must be 0 or more: points, or the unit of your own objective",
            ),
            (
                self.confidence is None or 0.5 < self.confidence < 1,
                f"confidence {self.confidence} must be above 0.5 and below 1, such as 0.95",
            ),
            (
                self.time_budget is None or 0 < self.time_budget < math.inf,
                f"time budget {self.time_budget} must be seconds above 0",
            ),
            (self.lookups is None or self.lookups >= 1, f"look-ups {self.lookups} must be at least 1"),
            *(
                (0 < rate < math.inf, f"{name} {rate} must be a number above 0")
                for name, rate in (
                    ("learning rate", self.learning_rate),
                    ("policy's learning rate", self.policy_learning_rate),
                    ("edits", self.edits),
                )
            ),
            (0 <= self.entropy < math.inf, f"entropy {self.entropy} must be a number, not negative"),
            (self.alphas >= 2, f"alphas {self.alphas} must be at least 2: their rewards are each other's baseline"),
            (self.batch >= 2, f"batch {self.batch} must be at least 2 samples"),
            (self.reward_batch >= 2, f"reward batch {self.reward_batch} must be at least 2 samples"),
            (self.evaluated >= 1, f"evaluated {self.evaluated} must be at least 1"),
            (self.finalists >= 1, f"finalists {self.finalists} must be at least 1"),
            (
                self.finetune_learning_rate is None or 0 < self.finetune_learning_rate < math.inf,
                f"fine-tuning's learning rate {self.finetune_learning_rate} must be a number above 0",
            ),
            (
                self.distillation is None or 0 <= self.distillation <= 1,
                f"distillation {self.distillation} must be from 0 to 1",
            ),
            (0 <= self.weight_decay < math.inf, f"weight decay {self.weight_decay} must be a number, not negative"),
        )
        for passed, message in checks:
            if not passed:
                raise InputError(message)
