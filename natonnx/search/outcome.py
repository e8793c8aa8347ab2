"""What a search returns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from natonnx.architecture import Architecture
from natonnx.search.score import Score

__all__ = ["Candidate", "Outcome", "Scored"]


@dataclass(frozen=True)
class Candidate:
    """An architecture after fine-tuning.

    Attributes:
        architecture: α, or β itself, over the topology of `Problem.network`.
        weights: Arrays by ONNX name of that network.
        validation: Its score on the validation split.
    """

    architecture: Architecture
    weights: Mapping[str, np.ndarray]
    validation: Score


@dataclass(frozen=True)
class Scored:
    """An architecture that selection scored before any fine-tuning.

    Attributes:
        architecture: α, over the topology of `Problem.network`.
        validation: Its score on the validation split, by the supernet's weights or the file's, whichever did better.
    """

    architecture: Architecture
    validation: Score


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
        beta: The given model, fine-tuned by the same budget as the candidates.
        candidates: Fine-tuned α's, best validation score first; may be empty.
        history: One row an epoch.
        scored: What the candidates were chosen from.
    """

    beta: Candidate
    candidates: tuple[Candidate, ...]
    history: tuple[Mapping[str, Any], ...]
    scored: tuple[Scored, ...] = ()
