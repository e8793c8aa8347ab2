"""What a search is given: a network to train, three splits less the test one, and a device."""

from dataclasses import dataclass

import torch

from natonnx.architecture import Architecture
from natonnx.data.dataset import Augment
from natonnx.frontend import Network
from natonnx.search.reward import RewardFunction
from natonnx.search.score import TensorSplit

__all__ = ["Problem"]


@dataclass(frozen=True)
class Problem:
    """What is searched.

    Attributes:
        network: The network whose weights are trained: the model, or the model with normalisation unfolded.
        train: Split for w.
        validation: Split for θ and for selection.
        augment: What may be done to training images.
        device: Where the supernet runs.
        reference: The cost-bearing architecture: β of the file's own network.
        without_gradient: Operators that onnxruntime runs, so that no gradient flows through them.
        reward: What judges architectures in place of the accuracy; None for the accuracy.
    """

    network: Network
    train: TensorSplit
    validation: TensorSplit
    augment: Augment
    device: torch.device
    reference: Architecture
    without_gradient: tuple[str, ...] = ()
    reward: RewardFunction | None = None
