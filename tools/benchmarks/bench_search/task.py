"""What a method is given, and what it gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from natonnx.architecture import Architecture
from natonnx.search import Price, Problem, Settings
from natonnx.search.assess import original_runner
from natonnx.search.outcome import Images
from natonnx.search.runner import Runner
from natonnx.supernet import Supernet
from natonnx.verbs.optimize.prepare import Prepared

__all__ = ["Found", "Images", "Task", "total"]


def total(images: Images) -> float:
    """Return how many training images a method's passes are worth: forward alone counts a third."""
    return images.look_ups + images.training + images.teacher


@dataclass(frozen=True, eq=False)
class Found:
    """A model that a method made.

    Attributes:
        architecture: α over the topology of the problem's network.
        weights: Arrays by ONNX name that differ from the file's.
        images: Where the training images went.
        own: Training images that went into these very weights.
    """

    architecture: Architecture
    weights: Mapping[str, np.ndarray]
    images: Images = field(default_factory=Images)
    own: float = 0.0


@dataclass(frozen=True, eq=False)
class Task:
    """One comparison: find the best model at a cost, with so many training images in all.

    Attributes:
        prepared: Model and data.
        target: Highest cost, as a fraction of β's.
        seed: Of everything random.
        budget: Training images: forward and backward counts 1, forward a third, the teacher's too.
    """

    prepared: Prepared
    target: float
    seed: int
    budget: float

    @property
    def problem(self) -> Problem:
        """The network that is trained, and its data."""
        return self.prepared.problem

    @property
    def beta(self) -> Architecture:
        """The given architecture."""
        return self.problem.network.architecture

    @property
    def price(self) -> Price:
        """What is cheap."""
        return self.problem.prices[0]

    @property
    def settings(self) -> Settings:
        """The defaults of natonnx, for this seed."""
        return Settings(seed=self.seed)

    @cached_property
    def given(self) -> Supernet:
        """The original, whose weights nothing changes."""
        return Supernet(self.problem.network).to(self.problem.device).eval()

    @cached_property
    def original(self) -> Runner:
        """The original as the teacher."""
        return original_runner(self.problem, self.given)
