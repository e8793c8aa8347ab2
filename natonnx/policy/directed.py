"""Our policy: a graph convolution that tells upstream from downstream.

Messages from what an edge reads, from what reads it, from the other members of its join, and from the whole
architecture have weights of their own (as relations have in Schlichtkrull et al. 2018), layers are residual and
normalised. The paper's formula mixes all neighbours alike, so that "before a pool" and "behind a pool" look the same.
"""

import torch
from torch import Tensor, nn

from natonnx.policy.base import Head, Policy
from natonnx.policy.encode import FEATURES
from natonnx.policy.graph import RELATIONS, Graph
from natonnx.policy.registry import register_learner

__all__ = ["DirectedGCN", "DirectedGCNPolicy"]


class DirectedGCN(nn.Module):
    """Residual layers over three relations and the mean of all edges: features to a hidden state an edge.

    Args:
        hidden: Width of every layer.
        layers: Their number.
    """

    def __init__(self, hidden: int, layers: int) -> None:
        super().__init__()
        self.embed = nn.Linear(FEATURES, hidden)
        self.layers = nn.ModuleList(_Layer(hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)

    def forward(self, features: Tensor, graph: Graph) -> Tensor:
        """Maps [edges, FEATURES] to [edges, hidden]."""
        state = self.embed(features)
        for layer in self.layers:
            state = state + layer(state, graph)
        normalised: Tensor = self.norm(state)
        return normalised


@register_learner("gcn-directed")
class DirectedGCNPolicy(Policy):
    """A `DirectedGCN` and a `Head`.

    Args:
        edits: How many edges the first α's change on average.
        hidden: Width of every layer.
        layers: Their number.
        seed: Of the initial weights.
    """

    def __init__(self, *, edits: float = 3.0, hidden: int = 64, layers: int = 3, seed: int = 0) -> None:
        super().__init__(edits)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.body = DirectedGCN(hidden, layers)
            self.head = Head(hidden)

    def forward(self, features: Tensor, choices: Tensor, graph: Graph) -> Tensor:
        """See `Policy.forward`."""
        scores: Tensor = self.head(self.body(features, graph), choices)
        return scores


class _Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear((2 + len(RELATIONS)) * width, width)
        self.out = nn.Linear(width, width)

    def forward(self, hidden: Tensor, graph: Graph) -> Tensor:
        """What the layer adds to the hidden state [nodes, width]."""
        hidden = self.norm(hidden)
        everything = graph.spread(graph.mean(hidden))
        around = [graph.links[relation].mean(hidden) for relation in RELATIONS]
        mixed: Tensor = self.out(torch.relu(self.mix(torch.cat([hidden, *around, everything], 1))))
        return mixed
