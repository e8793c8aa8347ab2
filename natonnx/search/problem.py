"""What a search is given: a network to train, data, what is good and what is cheap, and a device."""

from dataclasses import dataclass, field

import torch

from natonnx.data.batches import Batches
from natonnx.data.dataset import Augment
from natonnx.data.load_options import LoadOptions
from natonnx.frontend import Network
from natonnx.search.agreement import Agreement
from natonnx.search.objective import Objective
from natonnx.search.own import RewardFunction
from natonnx.search.price import Price

__all__ = ["Problem"]


@dataclass(frozen=True, eq=False)
class Problem:
    """What is searched.

    Attributes:
        network: The network whose weights are trained: the model, or the model with normalisation unfolded.
        train: Split for w.
        validation: Split for θ and for selection.
        objective: What is good.
        distillation: Agreement with the original model, which training follows beside the objective.
        prices: What is cheap. The first is what a target is about; at equal cost the next one decides.
        device: Where the supernet runs.
        augment: What may be done to training images.
        without_gradient: Operators that onnxruntime runs, so that no gradient flows through them.
        loading: How samples are read, and what the process may take in memory.
        reward: The user's own function, which judges architectures in the objective's place; None for the objective.
    """

    network: Network
    train: Batches
    validation: Batches
    objective: Objective
    distillation: Agreement
    prices: tuple[Price, ...]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    augment: Augment = "none"
    without_gradient: tuple[str, ...] = ()
    reward: RewardFunction | None = None
    loading: LoadOptions = field(default_factory=LoadOptions)
