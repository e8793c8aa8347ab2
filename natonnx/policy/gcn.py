"""The paper's policies: Z = softmax(A·σ(A·X·W⁰)·W¹·W^FC), two graph convolutions and a linear head.

The graph's nodes are the architecture's edges, each with its operation's features, joined where one reads what the
other writes. The slides give A alone, and the authors' code neither adds self-loops nor normalises it: there an
operation never reaches its own logits, and for DARTS no logit depends on any operation
(docs/design/policy.md#the-papers-form). Here A is A + Aᵀ + I with symmetric normalisation (Kipf and Welling 2017), a
stated deviation.
"""

import itertools

import torch
from torch import Generator, Tensor, nn

from natonnx.policy.base import Head, Policy
from natonnx.policy.encode import FEATURES
from natonnx.policy.graph import Graph
from natonnx.policy.links import Links
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
            self.layers = nn.ModuleList(_Convolution(source, target) for source, target in itertools.pairwise(widths))
            self.head = Head(hidden)
        self._mixing: tuple[Graph, Links] | None = None

    def forward(self, features: Tensor, choices: Tensor, graph: Graph) -> Tensor:
        """See `Policy.forward`."""
        mixing, hidden = self._mixing_of(graph), features
        for i, layer in enumerate(self.layers):
            hidden = layer(torch.relu(hidden) if i else hidden, mixing)
        scores: Tensor = self.head(hidden, choices)
        return scores

    def _mixing_of(self, graph: Graph) -> Links:
        """A, kept while the same graph comes again."""
        if self._mixing is None or self._mixing[0] is not graph:
            relations = [graph.links[name] for name in (("feeds",) if self.directed else ("feeds", "reads"))]
            loops = torch.arange(graph.nodes if self.loops else 0)
            sources = torch.cat([*(links.sources for links in relations), loops])
            targets = torch.cat([*(links.targets for links in relations), loops])
            self._mixing = graph, Links(sources, targets, graph.nodes)
        return self._mixing[1]


class _Convolution(nn.Module):
    """A·X·W + b, A divided by the roots of both nodes' numbers of links."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(source, target)))
        self.bias = nn.Parameter(torch.zeros(target))

    def forward(self, values: Tensor, mixing: Links) -> Tensor:
        """Map [nodes, source] to [nodes, target]."""
        sent = values * mixing.leaving[:, None] ** -0.5
        source, target = self.weight.shape
        mixed = mixing.sum(sent @ self.weight) if source > target else mixing.sum(sent) @ self.weight
        made: Tensor = mixed * mixing.entering[:, None] ** -0.5 + self.bias
        return made


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
