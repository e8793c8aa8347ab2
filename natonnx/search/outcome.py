"""What a search returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from natonnx.architecture import Architecture
from natonnx.search.score import Score

if TYPE_CHECKING:
    from natonnx.policy import Policy

__all__ = ["Candidate", "Images", "Outcome", "Scored"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """An architecture with weights of its own.

    Attributes:
        architecture: α, or β itself, over the topology of `Problem.network`.
        weights: Arrays by ONNX name of that network.
        validation: Its score on the validation split, or on a part of it.
        target: The cost target that it was looked for under, as a fraction of β's; None where there was none.
        images: Training images that went into its weights.
    """

    architecture: Architecture
    weights: Mapping[str, np.ndarray]
    validation: Score
    target: float | None = None
    images: int = 0


@dataclass(frozen=True)
class Scored:
    """An architecture that was scored before any training.

    Attributes:
        architecture: α, over the topology of `Problem.network`.
        validation: Its score on held-out samples: by refitted weights, or, in Algorithm 1, by the supernet's or the
            file's, whichever did better.
    """

    architecture: Architecture
    validation: Score


@dataclass(frozen=True)
class Images:
    """Where the images went: forward and backward counts 1, forward alone a third.

    Attributes:
        look_ups: Into scores of architectures that were not trained.
        training: Into the weights of all candidates, and of β where it was trained.
        teacher: Into the original's outputs, which training follows.
    """

    look_ups: float = 0.0
    training: float = 0.0
    teacher: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
        beta: The given model, trained by the same budget as the candidates: fine-tuned, or from scratch as they were;
            None where no decision needs it.
        candidates: α's with their weights, best validation score first; may be empty.
        history: One row an epoch of Algorithm 1.
        scored: What the candidates were chosen from.
        images: Where the images went.
        policy: θ as the search left it; None where it has none.
    """

    beta: Candidate | None
    candidates: tuple[Candidate, ...]
    history: tuple[Mapping[str, Any], ...] = ()
    scored: tuple[Scored, ...] = ()
    images: Images = field(default_factory=Images)
    policy: "Policy | None" = None
