"""Which edges of an architecture touch: a DGL graph whose nodes are the architecture's edges.

Null edges count, as in the paper. There are no self-loops: each learner adds what it wants.
"""

import functools
import os
import warnings
from typing import TypeAlias

os.environ.setdefault("DGLBACKEND", "pytorch")  # without it the first import prints, and writes to the home folder

import dgl
import dgl.function as fn
import torch
from torch import Tensor

from natonnx.architecture import Join, Topology

__all__ = ["RELATIONS", "Graph", "aggregate", "edge_graph"]

Graph: TypeAlias = dgl.DGLGraph
RELATIONS = ("feeds", "reads", "joins")
"""From an edge to those that read what it writes, directly or through opaque maps; the reverse of that; to the others
that enter the same feature map."""


@functools.lru_cache(maxsize=64)
def edge_graph(topology: Topology) -> Graph:
    """The graph of one topology, on the CPU, with the three `RELATIONS`; join several by `dgl.batch`."""
    feeders: list[set[int]] = []
    for i, fmap in enumerate(topology.maps):
        through = {e for source in topology.fixed_inputs[i] for e in feeders[source]}
        feeders.append(through if fmap.join is Join.OPAQUE else set(topology.incoming[i]))
    feeds = [(e, f) for f, (source, _) in enumerate(topology.ends) for e in sorted(feeders[source])]
    joins = [(e, f) for entering in topology.incoming for e in entering for f in entering if e != f]
    pairs = {"feeds": feeds, "reads": [(f, e) for e, f in feeds], "joins": joins}
    return dgl.heterograph(
        {("edge", name, "edge"): torch.tensor(pairs[name]).reshape(-1, 2).unbind(1) for name in RELATIONS},
        num_nodes_dict={"edge": len(topology.edges)},
        idtype=torch.int64,
    )


def aggregate(graph: Graph, relation: str, values: Tensor) -> Tensor:
    """Mean over the neighbours that a relation leads from, zero where there are none [nodes, width]."""
    with graph.local_scope(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse invariant checks", category=UserWarning)
        graph.ndata["value"] = values
        graph.update_all(fn.copy_u("value", "message"), fn.mean("message", "mean"), etype=relation)
        mean: Tensor = graph.ndata["mean"]
    return mean
