"""Everything a search has learned so far, in a form that a checkpoint can hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from natonnx.policy.base import Policy
from natonnx.search.budget import Budget
from natonnx.search.finetune import Finetuned
from natonnx.search.reinforce import Reinforce
from natonnx.search.score import Score
from natonnx.search.train import Trainer
from natonnx.supernet import Supernet

__all__ = ["SearchState", "Visit"]


class Visit(NamedTuple):
    """An α that the search has drawn from the given model: the sum of its rewards and how often it was seen."""

    total: float
    times: int


@dataclass
class SearchState:
    """The parts of a search that change.

    Attributes:
        supernet: Shared weights w.
        trainer: Of w.
        policy: θ.
        reinforce: Optimiser of θ.
        budget: Cost target and its multiplier.
        generator: Source of all randomness of the search.
        history: One row an epoch.
        visits: α's drawn from the given model, by their states.
        finalists: States of the α's chosen for fine-tuning, and whether they start from the supernet's weights; None
            before selection.
        finetune_epochs: Passes that each of them gets.
        finetuned: Finished fine-tunings by states.
        scored: Validation scores of the α's that selection compared, before fine-tuning, by states.
        images: Training images that were used.
    """

    supernet: Supernet
    trainer: Trainer
    policy: Policy
    reinforce: Reinforce | None
    budget: Budget
    generator: torch.Generator
    history: list[dict[str, Any]] = field(default_factory=list)
    visits: dict[str, Visit] = field(default_factory=dict)
    finalists: dict[str, bool] | None = None
    finetune_epochs: int = 0
    finetuned: dict[str, Finetuned] = field(default_factory=dict)
    scored: dict[str, Score] = field(default_factory=dict)
    images: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return tensors and plain Python values only, so that torch.load(weights_only=True) reads it."""
        return {
            "supernet": self.supernet.state_dict(),
            "optimizer": self.trainer.optimizer.state_dict(),
            "policy": self.policy.state_dict(),
            "reinforce": self.reinforce.state_dict() if self.reinforce else None,
            "budget": self.budget.to_list(),
            "generator": self.generator.get_state(),
            "history": self.history,
            "visits": {key: tuple(visit) for key, visit in self.visits.items()},
            "finalists": self.finalists,
            "finetune_epochs": self.finetune_epochs,
            "finetuned": {
                key: (
                    {name: torch.from_numpy(array) for name, array in done.weights.items()},
                    done.validation.plain(),
                    done.images,
                )
                for key, done in self.finetuned.items()
            },
            "scored": {key: score.plain() for key, score in self.scored.items()},
            "images": self.images,
        }

    def load_dict(self, data: Mapping[str, Any]) -> None:
        """Restore what `to_dict` gave, in place."""
        self.supernet.load_state_dict(data["supernet"])
        self.trainer.optimizer.load_state_dict(data["optimizer"])
        self.policy.load_state_dict(data["policy"])
        if self.reinforce is not None:
            self.reinforce.load_state_dict(data["reinforce"])
        self.budget.load_list(data["budget"])
        self.generator.set_state(data["generator"])
        self.history = list(data["history"])
        self.visits = {key: Visit(*visit) for key, visit in data["visits"].items()}
        self.finalists = data["finalists"]
        self.finetune_epochs = data["finetune_epochs"]
        self.finetuned = {
            key: Finetuned({name: tensor.numpy() for name, tensor in weights.items()}, Score(*score), images)
            for key, (weights, score, images) in data["finetuned"].items()
        }
        self.scored = {key: Score(*score) for key, score in data["scored"].items()}
        self.images = data["images"]
