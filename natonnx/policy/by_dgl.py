"""Sums along links by DGL. Alone in importing it: `natonnx.policy.backend` says whether that can be."""

import os
from collections.abc import Mapping

os.environ.setdefault("DGLBACKEND", "pytorch")  # without it the first import prints, and writes to the home folder

import dgl
import torch
from torch import Tensor

__all__ = ["heterograph", "links_graph", "sums", "try_out"]


def links_graph(sources: Tensor, targets: Tensor, nodes: int, into: int) -> dgl.DGLGraph:
    """Links [links] from so many nodes into so many others."""
    return dgl.heterograph({("from", "link", "into"): (sources, targets)}, {"from": nodes, "into": into})


def sums(graph: dgl.DGLGraph, values: Tensor) -> Tensor:
    """Sum at each target the values of its sources [nodes, width] → [targets, width]."""
    found: Tensor = dgl.ops.copy_u_sum(graph, values)
    return found


def heterograph(pairs: Mapping[str, tuple[Tensor, Tensor]], sizes: Tensor) -> dgl.DGLGraph:
    """A batch of architectures of so many edges, which are nodes "edge", with sources and targets of each relation."""
    relations = {("edge", name, "edge"): ends for name, ends in pairs.items()}
    graph = dgl.heterograph(relations, {"edge": int(sizes.sum())})
    owner = torch.arange(len(sizes)).repeat_interleave(sizes)
    counts = {name: owner[sources].bincount(minlength=len(sizes)) for name, (sources, _) in relations.items()}
    graph.set_batch_num_nodes(sizes)
    graph.set_batch_num_edges(counts)
    return graph


def try_out() -> None:
    """Sum one message and its gradient, which a DGL that does not fit torch or numpy cannot."""
    with torch.inference_mode(False), torch.enable_grad():
        value = torch.ones(1, 1, requires_grad=True)
        torch.autograd.backward(sums(links_graph(torch.tensor([0]), torch.tensor([1]), 1, 2), value).sum())
