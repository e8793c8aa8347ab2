"""The paper's policies: Z = softmax(A·σ(A·X·W⁰)·W¹·W^FC), a graph convolution in DGL.

The graph's nodes are the architecture's edges, each with its operation's features, joined where one reads what the
other writes. The slides give A alone, and the authors' code neither adds self-loops nor normalises it: there an
operation never reaches its own logits, and for DARTS no logit depends on any operation
(docs/design/policy.md#the-papers-form). Here A is A + Aᵀ + I with symmetric normalisation (Kipf and Welling 2017), a
stated deviation.
"""

import itertools
import warnings

import dgl
import torch
from dgl.nn.pytorch import GraphConv
from torch import Generator, Tensor, nn

from natonnx.policy.base import Head, Policy
from natonnx.policy.encode import FEATURES
from natonnx.policy.graph import Graph
from natonnx.policy.registry import register_learner

__all__ = ["GCNPolicy", "MaximumGCNPolicy"]


@register_learner("gcn")
class GCNPolicy(Policy):
    """Graph convolutions and a `Head`, on the CPU; α's are sampled (the paper's Sampling-GCN).

    Args:
        edits: How many edges the first α's change on average.
        hidden: Width of every layer.
        layers: Number of graph convolutions; the paper has two.
        directed: A alone instead of A + Aᵀ.
        loops: Whether to add I.
        seed: Of the initial weights.
    """

    def __init__(
        self,
        *,
        edits: float = 3.0,
        hidden: int = 64,
        layers: int = 2,
        directed: bool = False,
        loops: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(edits)
        self.directed, self.loops = directed, loops
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            widths = [FEATURES, *[hidden] * layers]
            self.layers = nn.ModuleList(
                GraphConv(source, target, norm="both", allow_zero_in_degree=True)
                for source, target in itertools.pairwise(widths)
            )
            self.head = Head(hidden)
        self._mixing: tuple[Graph, Graph] | None = None

    def forward(self, features: Tensor, choices: Tensor, graph: Graph) -> Tensor:
        """See `Policy.forward`."""
        mixing, hidden = self._mixing_of(graph), features
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse invariant checks", category=UserWarning)
            for i, layer in enumerate(self.layers):
                hidden = layer(mixing, torch.relu(hidden) if i else hidden)
        scores: Tensor = self.head(hidden, choices)
        return scores

    def _mixing_of(self, graph: Graph) -> Graph:
        """The graph of A, kept while the same one comes again."""
        if self._mixing is None or self._mixing[0] is not graph:
            sources, targets = graph.edges(etype="feeds")
            loops = torch.arange(graph.num_nodes() if self.loops else 0)
            back = (sources[:0], targets[:0]) if self.directed else (targets, sources)
            ends = torch.cat([sources, back[0], loops]), torch.cat([targets, back[1], loops])
            self._mixing = graph, dgl.graph(ends, num_nodes=graph.num_nodes())
        return self._mixing[1]


@register_learner("gcn-max")
class MaximumGCNPolicy(GCNPolicy):
    """The same, but α is the most probable one, in training too (the paper's Maximum-GCN).

    It never draws anything else, so there is no prior for β: it would hold α = β for ever.
    """

    explores = False

    def prior(self, mask: Tensor, current: Tensor, generator: Generator) -> Tensor:
        """None: zeros."""
        del current, generator
        return torch.zeros(mask.shape)
