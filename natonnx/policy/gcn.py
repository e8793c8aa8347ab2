"""The paper's policy: Z = softmax(A·σ(A·X·W⁰)·W¹·W^FC), a graph convolution in DGL.

The graph's nodes are the architecture's edges, each with its operation's features, joined where one reads what the
other writes. The slides give A alone, and the authors' code neither adds self-loops nor normalises it: there an
operation never reaches its own logits, and for DARTS no logit depends on any operation (facts/nat.md). Here A is
A + Aᵀ + I with symmetric normalisation (Kipf and Welling 2017), a stated deviation.
"""

import os
import warnings

os.environ.setdefault("DGLBACKEND", "pytorch")  # without it the first import prints, and writes to the home folder

import dgl
import torch
from dgl.nn.pytorch import GraphConv
from torch import Tensor, nn

from natonnx.architecture import Architecture, Topology
from natonnx.policy.base import Policy
from natonnx.policy.encode import FEATURES, adjacency, encode

__all__ = ["GCNPolicy"]


class GCNPolicy(Policy):
    """Two graph convolutions and a linear head, on the CPU.

    Args:
        edits: How many edges the first α's change on average.
        hidden: Width of both layers.
        seed: Of the initial weights.
    """

    def __init__(self, *, edits: float = 3.0, hidden: int = 64, seed: int = 0) -> None:
        super().__init__(edits)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first = GraphConv(FEATURES, hidden, norm="both")
            self.second = GraphConv(hidden, hidden, norm="both")
            self.head = nn.Linear(hidden, 3)
            nn.init.normal_(self.head.weight, std=0.1 / hidden**0.5)  # close to the prior, "keep everything"
            nn.init.zeros_(self.head.bias)
        self._graph: tuple[Topology, dgl.DGLGraph] | None = None

    def logits(self, architecture: Architecture) -> Tensor:
        """Scores [edges, 3], columns O, S, N."""
        graph = self._graph_of(architecture.topology)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse invariant checks", category=UserWarning)
            hidden = torch.relu(self.first(graph, torch.from_numpy(encode(architecture))))
            hidden = self.second(graph, hidden)
        scores: Tensor = self.head(hidden)
        return scores

    def _graph_of(self, topology: Topology) -> dgl.DGLGraph:
        if self._graph is None or self._graph[0] is not topology:
            first, second = (torch.from_numpy(side) for side in adjacency(topology))
            count = len(topology.edges)
            loops = torch.arange(count)
            ends = torch.cat([first, second, loops]), torch.cat([second, first, loops])
            self._graph = topology, dgl.graph(ends, num_nodes=count)
        return self._graph[1]
