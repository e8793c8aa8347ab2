"""Which edges of an architecture touch: a graph whose nodes are the architecture's edges.

Null edges count, as in the paper. There are no self-loops: each learner adds what it wants.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from natonnx.architecture import Join, Topology
from natonnx.errors import InputError
from natonnx.policy.backend import serving
from natonnx.policy.links import Links

__all__ = ["RELATIONS", "Graph", "edge_graph", "joined"]

RELATIONS = ("feeds", "reads", "joins")
"""From an edge to those that read what it writes, directly or through opaque maps; the reverse of that; to the others
that enter the same feature map."""


class Graph:
    """The edges of one architecture, or of several one after the other, and how they touch.

    Args:
        sizes: Edges of each architecture, int64 [architectures].
        pairs: Sources and targets of each of the `RELATIONS`, int64 [pairs] each.

    Attributes:
        sizes: As given.
        nodes: Edges of all architectures.
        links: By relation: `links["feeds"].mean(values)` is what each edge gets from those that it reads.
    """

    def __init__(self, sizes: Tensor, pairs: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        self.sizes, self.nodes = sizes, int(sizes.sum())
        self.links = {name: Links(*pairs[name], self.nodes) for name in RELATIONS}
        self._owner = torch.arange(len(sizes)).repeat_interleave(sizes)
        self._members = Links(torch.arange(self.nodes), self._owner, self.nodes, len(sizes))

    def mean(self, values: Tensor) -> Tensor:
        """Mean over each architecture's edges [nodes, width] → [architectures, width]; zero where it has none."""
        return self._members.mean(values)

    def spread(self, values: Tensor) -> Tensor:
        """Give each edge what its architecture has [architectures, width] → [nodes, width]."""
        return values.index_select(0, self._owner)

    def dgl(self) -> Any:
        """Return the same as a new `dgl.DGLGraph`, for learners that call DGL: nodes "edge", and the `RELATIONS`.

        Raises:
            InputError: If DGL does not serve here.
        """
        found = serving()
        if found.name != "dgl":
            raise InputError(f"graph.dgl(): messages are summed by {found}; graph.links and graph.mean work with both")
        from natonnx.policy import by_dgl

        return by_dgl.heterograph({name: (one.sources, one.targets) for name, one in self.links.items()}, self.sizes)


@functools.lru_cache(maxsize=64)
def edge_graph(topology: Topology) -> Graph:
    """The graph of one topology, on the CPU."""
    feeders: list[set[int]] = []
    for i, fmap in enumerate(topology.maps):
        through = {e for source in topology.fixed_inputs[i] for e in feeders[source]}
        feeders.append(through if fmap.join is Join.OPAQUE else set(topology.incoming[i]))
    feeds = [(e, f) for f, (source, _) in enumerate(topology.ends) for e in sorted(feeders[source])]
    joins = [(e, f) for entering in topology.incoming for e in entering for f in entering if e != f]
    pairs = {"feeds": feeds, "reads": [(f, e) for e, f in feeds], "joins": joins}
    ends = {name: torch.tensor(some, dtype=torch.int64).reshape(-1, 2).T.contiguous() for name, some in pairs.items()}
    return Graph(torch.tensor([len(topology.edges)]), {name: (found[0], found[1]) for name, found in ends.items()})


def joined(graphs: Sequence[Graph]) -> Graph:
    """Several graphs, at least one, as one, in their order."""
    nodes = torch.tensor([graph.nodes for graph in graphs])
    firsts = (nodes.cumsum(0) - nodes).tolist()
    numbered = list(zip(graphs, firsts, strict=True))
    pairs = {
        name: (
            torch.cat([graph.links[name].sources + first for graph, first in numbered]),
            torch.cat([graph.links[name].targets + first for graph, first in numbered]),
        )
        for name in RELATIONS
    }
    return Graph(torch.cat([graph.sizes for graph in graphs]), pairs)
