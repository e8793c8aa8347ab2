"""Slow, plain versions of what the policies compute."""

import numpy as np
import torch
from numpy.typing import NDArray

from natonnx.architecture import Architecture, Join, State, Topology, edits_between
from natonnx.policy.encode import encode
from natonnx.policy.gcn import GCNPolicy
from tests.architecture import naive

__all__ = ["edit_count", "enumerate_alphas", "gcn_logits", "readers", "seeded"]

STATES = list(State)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def edit_count(alpha: Architecture, beta: Architecture) -> int:
    return len(edits_between(beta, alpha))


def readers(topology: Topology) -> set[tuple[int, int]]:
    """Pairs of edges of which the second reads what the first writes, through fixed nodes if need be."""
    maps = {fmap.name: fmap for fmap in topology.maps}

    def written_by_edges(name: str) -> set[str]:
        if maps[name].join is not Join.OPAQUE:
            return {name}
        return {found for source in maps[name].inputs for found in written_by_edges(source)}

    return {
        (e, f)
        for e, writer in enumerate(topology.edges)
        for f, reader in enumerate(topology.edges)
        if writer.target in written_by_edges(reader.source)
    }


def gcn_logits(policy: GCNPolicy, architecture: Architecture) -> NDArray[np.float64]:
    """Z = (A·σ(A·X·W⁰ + b⁰)·W¹ + b¹)·W^FC + b^FC with A = D^-1/2·(A + Aᵀ + I)·D^-1/2, dense, in float64."""
    weights = {name: value.detach().double().numpy() for name, value in policy.named_parameters()}
    touching = np.eye(len(architecture.states))
    for e, f in readers(architecture.topology):
        touching[e, f] += 1
        touching[f, e] += 1
    scale = touching.sum(1) ** -0.5
    mixing = scale[:, None] * touching * scale[None, :]
    hidden = np.maximum(0, mixing @ encode(architecture) @ weights["first.weight"] + weights["first.bias"])
    hidden = mixing @ hidden @ weights["second.weight"] + weights["second.bias"]
    logits: NDArray[np.float64] = hidden @ weights["head.weight"].T + weights["head.bias"]
    return logits


def enumerate_alphas(beta: Architecture, logits: NDArray[np.float64]) -> dict[tuple[State, ...], float]:
    """Every α that edge-by-edge choices can reach, and log π of it."""
    found: dict[tuple[State, ...], float] = {}

    def decide(alpha: Architecture, edge: int, log_pi: float) -> None:
        if edge == len(beta.states):
            assert alpha.states not in found
            found[alpha.states] = log_pi
            return
        options = naive.walk_options(alpha, edge, beta)
        scores = np.array([logits[edge, STATES.index(option)] for option in options])
        normaliser = np.log(np.exp(scores - scores.max()).sum()) + scores.max()
        for option, score in zip(options, scores, strict=True):
            decide(naive.change(alpha, edge, option), edge + 1, log_pi + float(score - normaliser))

    decide(beta, 0, 0.0)
    return found
