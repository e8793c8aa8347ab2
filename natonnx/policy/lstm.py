"""The paper's baseline without a graph: an LSTM over the edges in topological order."""

import torch
from torch import Tensor, nn
from torch.nn.utils import rnn

from natonnx.policy.base import Head, Policy
from natonnx.policy.encode import FEATURES
from natonnx.policy.graph import Graph
from natonnx.policy.registry import register_learner

__all__ = ["LSTMPolicy"]


@register_learner("lstm")
class LSTMPolicy(Policy):
    """A bidirectional LSTM and a `Head`; it knows of the graph only what the order and each edge's features tell.

    Args:
        edits: How many edges the first α's change on average.
        hidden: Width of each direction.
        layers: Number of layers.
        seed: Of the initial weights.
    """

    def __init__(self, *, edits: float = 3.0, hidden: int = 64, layers: int = 1, seed: int = 0) -> None:
        super().__init__(edits)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.lstm = nn.LSTM(FEATURES, hidden, layers, bidirectional=True)
            self.head = Head(2 * hidden)

    def forward(self, features: Tensor, choices: Tensor, graph: Graph) -> Tensor:
        """See `Policy.forward`."""
        if not len(features):
            return features.new_zeros(choices.shape[:2])
        sizes = graph.sizes[graph.sizes > 0]
        sequences = rnn.pack_sequence(list(torch.split(features, sizes.tolist())), enforce_sorted=False)
        hidden, _ = rnn.pad_packed_sequence(self.lstm(sequences)[0], batch_first=True)
        present = torch.arange(hidden.shape[1]) < sizes[:, None]
        scores: Tensor = self.head(hidden[present], choices)
        return scores
